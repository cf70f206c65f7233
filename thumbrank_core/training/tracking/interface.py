"""What every listener to a training run is told: facts once, each epoch, the outcome once.

What belongs here: the interface, what crosses it, and the context of listeners that hold nothing open. The sinks are a file
each beside this one; what a figure means is metrics.py; versions and aliases are registry.py. Listeners that do nothing are an
empty sequence, not ifs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.model.bundle import EpochRecord
from thumbrank_core.training.diagnostics import Finding


class TrackingError(ThumbrankError):
    """A tracker that was asked for and cannot work."""


@dataclass(frozen=True)
class Facts:
    """What shapes a run and does not change while it runs."""

    recipe: Mapping[str, object]
    recipe_sha256: str
    niches: Mapping[str, str]
    """Niche -> data version of the rows it learns from."""
    label: str
    encoders: str
    """The name of the encoder set of the vectors."""
    n_items: int
    n_pairs: int
    n_channels: int
    data_sha256: str
    git_sha: str | None
    """The commit of the code (source.py); None outside a clone."""
    epochs: int
    """Planned, those of an earlier, interrupted process included."""
    real_click_rate: bool
    """Whether the absolute head learns real click-through rates; only then is its loss called CTR."""
    notes: tuple[str, ...] = ()
    """Sentences about this run, such as "SWA from epoch 75: 75 % of 100 epochs."."""

    @property
    def absolute_loss(self) -> str:
        """What the absolute head's loss is called."""
        return "CTR Loss" if self.real_click_rate else "Engagement Loss"

    def plain(self) -> dict[str, object]:
        """The facts in JSON's types."""
        fields: dict[str, object] = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return fields | {"recipe": dict(self.recipe), "niches": dict(self.niches), "notes": list(self.notes)}


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended."""

    best_epoch: int
    """The epoch whose weights ship; -1 where none was trained."""
    shipped: str
    """What they are, such as "ema at epoch 12"."""
    findings: tuple[Finding, ...] = ()
    interrupted: bool = False
    """Asked to stop before its end; a checkpoint holds the rest."""

    def plain(self) -> dict[str, object]:
        """The outcome in JSON's types."""
        return {
            "best_epoch": self.best_epoch,
            "shipped": self.shipped,
            "interrupted": self.interrupted,
            "findings": [{"kind": finding.kind, "sentence": finding.sentence} for finding in self.findings],
        }


class NothingOpen:
    """The context of a tracker that holds nothing open: there is nothing to close."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        """Nothing is open."""


class Tracker(Protocol):
    """Hears one training run from its first epoch to its last.

    Whoever makes trackers enters them (several in one `ExitStack`) and hands them to the training, which calls `begin`,
    `epoch` and `end`. Leaving the context closes what is open, however the run ended: after an error `end` never comes.
    """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None: ...

    def begin(self, facts: Facts, history: Sequence[EpochRecord]) -> None:
        """What shapes the run, and the epochs that an earlier, interrupted process did: a sink that starts a new file
        repeats them there."""
        ...

    def epoch(self, record: EpochRecord) -> None:
        """One epoch is over."""
        ...

    def end(self, outcome: RunOutcome) -> None:
        """All of them are, or the run was asked to stop: then nothing may be left for leaving the context to save."""
        ...
