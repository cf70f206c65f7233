"""TensorBoard: `tensorboard --logdir runs/` shows every run as a folder of its own."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from thumbrank_core.model.bundle import EpochRecord
from thumbrank_core.training.tracking.interface import Facts, RunOutcome, TrackingError
from thumbrank_core.training.tracking.scalars import scalars

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

FLUSH_SECONDS = 5
EVENT_FILES = "events.out.tfevents.*"


class TensorBoardTracker:
    """Writes event files into `runs/<name>/`.

    Every process opens a new event file and repeats the epochs that count: those after the checkpoint were lost with the
    killed process, and its last ones may never have reached its file. The older files of the folder are then removed, and
    a TensorBoard that has read them is told to forget what they said.

    Raises:
        TrackingError: the folder cannot be written (from `begin`).
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: SummaryWriter | None = None
        self._real_click_rate = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        """Flush and close, however the run ended."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def begin(self, facts: Facts, history: Sequence[EpochRecord]) -> None:
        """Open the folder; the facts are the run's text."""
        from torch.utils.tensorboard.writer import SummaryWriter  # here: it costs a second

        self._real_click_rate = facts.real_click_rate
        older = list(self._folder.glob(EVENT_FILES))
        try:
            self._writer = SummaryWriter(str(self._folder), purge_step=0, flush_secs=FLUSH_SECONDS)
        except OSError as error:
            raise TrackingError(
                f"{self._folder} cannot be written ({error.strerror}): mend its permissions or free space there."
            ) from None
        fields = {name: value for name, value in facts.plain().items() if name not in ("recipe", "niches", "notes")}
        fields |= {f"recipe.{name}": value for name, value in facts.recipe.items()}
        fields |= {f"niche.{name}": value for name, value in facts.niches.items()}
        table = "\n".join(f"| {name} | {value} |" for name, value in fields.items())
        self._writer.add_text("run/facts", f"| | |\n|---|---|\n{table}", 0)
        if facts.notes:
            self._writer.add_text("run/notes", "\n\n".join(facts.notes), 0)
        for record in history:
            self.epoch(record)
        self._writer.flush()
        # TensorBoard reads a folder's files in the order of their names: second, host, process. One of the same second or of
        # a machine whose clock is ahead would be read last, and count.
        for path in older:
            path.unlink(missing_ok=True)

    def epoch(self, record: EpochRecord) -> None:
        """A point on every curve; NaN is drawn as TensorBoard draws it."""
        assert self._writer is not None, "begin opens it"
        for name, value in scalars(record, self._real_click_rate).items():
            self._writer.add_scalar(name, value, record.epoch)

    def end(self, outcome: RunOutcome) -> None:
        """What ships and what is wrong with it, as text."""
        assert self._writer is not None, "begin opens it"
        lines = ["Asked to stop before its end." if outcome.interrupted else outcome.shipped]
        lines += [finding.sentence for finding in outcome.findings]
        self._writer.add_text("run/outcome", "\n\n".join(lines), max(0, outcome.best_epoch))
        self._writer.flush()
