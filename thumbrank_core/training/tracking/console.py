"""The guide's lines, for whoever watches: one every some epochs, with what is left."""

import math
from collections.abc import Sequence

from thumbrank_core.model.bundle import EpochRecord
from thumbrank_core.progress import say
from thumbrank_core.training.tracking.interface import Facts, NothingOpen, RunOutcome


class ConsoleTracker(NothingOpen):
    """Says the guide's line every `every` epochs and for the last one; notes and findings as they are."""

    def __init__(self, every: int = 10) -> None:
        self._every = every
        self._facts: Facts
        self._last: EpochRecord | None = None
        self._last_said = False
        self._seconds: list[float] = []

    def begin(self, facts: Facts, history: Sequence[EpochRecord]) -> None:
        """Say what is trained on, and where an earlier run left off."""
        self._facts = facts
        say(
            f"The data: {facts.n_items:,} thumbnails of {facts.n_channels:,} channels in {facts.n_pairs:,} pairs, all splits "
            f"({', '.join(facts.niches)}; label {facts.label}; encoders {facts.encoders})"
        )
        for note in facts.notes:
            say(note)
        if history:
            say(f"Going on after epoch {history[-1].epoch} of an earlier run")

    def epoch(self, record: EpochRecord) -> None:
        """Say how it goes, when it is time to."""
        self._seconds.append(record.seconds)
        left = self._facts.epochs - record.epoch - 1
        self._last, self._last_said = record, record.epoch % self._every == 0 or left <= 0
        if self._last_said:
            say(epoch_line(record, self._facts) + self._eta(left))

    def end(self, outcome: RunOutcome) -> None:
        """Say the last epoch's line if it is still to be said, what ships, and what is wrong with it."""
        if self._last is not None and not self._last_said:
            say(epoch_line(self._last, self._facts))
        if outcome.interrupted:
            say("Training was asked to stop before its end")
        elif outcome.best_epoch >= 0:
            say(f"The model is {outcome.shipped}")
        for finding in outcome.findings:
            say(finding.sentence)

    def _eta(self, epochs: int) -> str:
        """From the mean epoch of this process; an upper bound where the recipe may stop early."""
        if epochs <= 0:
            return ""
        seconds = epochs * sum(self._seconds) / len(self._seconds)
        bound = "at most " if self._facts.recipe.get("patience") is not None else ""
        return f", {bound}{duration(seconds)} left"


def epoch_line(record: EpochRecord, facts: Facts) -> str:
    """The guide's line. What the absolute head learnt is called click-through rate only where it was one."""
    correlation = math.nan if record.validation_correlation is None else record.validation_correlation
    return (
        f"Epoch {record.epoch:3d}: Pair Loss={record.pair_loss:.4f}, {facts.absolute_loss}={record.engagement_loss:.4f}, "
        f"Val AUC={record.validation_auc:.4f}, Val Corr={correlation:.4f}"
    )


def duration(seconds: float) -> str:
    """Rounded up, in the unit that people would use: 40 s, 3 min, 2 h 10 min."""
    if seconds <= 59:
        return f"{math.ceil(seconds)} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
