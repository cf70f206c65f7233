"""The training loop, to be read in one sitting, under the guide's name and methods.

    pipeline = TrainingPipeline(model, data=dataset, recipe=load_recipe("default"))
    trained = pipeline.train()

A step scores each of its items once and takes its pairs from the scores; nothing in it waits for the device. Between epochs
the weights that would be shipped are validated. Ctrl-C and SIGTERM finish the step, save, and leave; `load_checkpoint` goes on
from there as if nothing had happened.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from thumbrank_core.model.network import ThumbnailRankingModel
from thumbrank_core.progress import track
from thumbrank_core.training import checkpoint, processes
from thumbrank_core.training.dataset import Dataset
from thumbrank_core.training.ongoing import Ongoing, Trained, TrainingError
from thumbrank_core.training.recipe import Recipe, load_recipe
from thumbrank_core.training.sources import Source
from thumbrank_core.training.stopping import StopRequest, stop_requests
from thumbrank_core.training.stored import stored_dataset
from thumbrank_core.training.tracking.interface import RunOutcome, Tracker

LAST, BEST = "last.pt", "best.pt"


def new_model(dataset: Dataset, recipe: Recipe) -> ThumbnailRankingModel:
    """A fresh network for the widths of the data, its weights drawn from the recipe's seed."""
    torch.manual_seed(recipe.seed)
    return ThumbnailRankingModel(
        dataset.items.image.shape[1],
        dataset.items.text.shape[1],
        recipe.freeze_clip,
        recipe.fine_tune_blocks,
        recipe.hidden_dim,
        norm=recipe.norm,
        dropout=recipe.dropout,
        head_dropout=recipe.head_dropout,
        wide=recipe.wide,
        read_out=recipe.read_out,
    )


class TrainingPipeline:
    """Trains a model.

    Args:
        model: what is trained; its own shape counts, whatever the recipe says of it.
        learning_rate: as the recipe's fields of that name, and so the next three.
        label_smoothing: see `learning_rate`.
        mixup_alpha: see `learning_rate`.
        use_swa: average the weights over the late epochs; False: no average.
        swa_start: the first epoch that is averaged.
        recipe: everything else; the guide's where none is given.
        data: what is learnt from; what the database holds where none is given (THUMBRANK_ENCODERS, enabled niches).
        source: where features come from; the data set's own vectors where none is given.
        trackers: who hears of it.
        checkpoints: the folder for checkpoints; None: only those that `save_checkpoint` is asked for.
        data_sha256: the digest of `data`, where it is known already: taking it reads all of the data.
    """

    def __init__(
        self,
        model: ThumbnailRankingModel,
        learning_rate: float | None = None,
        label_smoothing: float | None = None,
        mixup_alpha: float | None = None,
        use_swa: bool | None = None,
        swa_start: int | None = None,
        *,
        recipe: Recipe | None = None,
        data: Dataset | None = None,
        source: Source | None = None,
        trackers: Sequence[Tracker] = (),
        checkpoints: Path | None = None,
        data_sha256: str | None = None,
    ) -> None:
        given: dict[str, Any] = {
            "learning_rate": learning_rate,
            "label_smoothing": label_smoothing,
            "mixup_alpha": mixup_alpha,
            "averaging": None if use_swa is None else "swa" if use_swa else "none",
            "swa_start": swa_start,
        }
        own = {
            name: getattr(model.shape, name)
            for name in ("hidden_dim", "norm", "dropout", "head_dropout", "wide", "read_out")
        }
        own |= {"freeze_clip": model.freeze_clip, "fine_tune_blocks": model.fine_tune_blocks}
        self.recipe = (recipe or load_recipe("guide")).with_overrides(
            own | {name: value for name, value in given.items() if value is not None}
        )
        self.model, self.data, self._source = model, data, source
        self._trackers, self._checkpoints, self._data_sha256 = trackers, checkpoints, data_sha256
        self._run: Ongoing | None = None

    def train(self, start_epoch: int | None = None, num_epochs: int | None = None) -> Trained:
        """Train to the end.

        Args:
            start_epoch: where a loaded checkpoint stands, said again as the guide does; it is checked.
            num_epochs: the epoch to end at; the recipe's where it is not given.

        Raises:
            DatasetError: the data cannot be learnt from (checks.py).
            TrainingError: a loss or a score became infinite, or `start_epoch` is not where training stands.
            CheckpointError: `num_epochs` is not what the loaded checkpoint was to end at.
        """
        if num_epochs is not None and num_epochs != self.recipe.epochs:
            if self._run is not None:
                raise checkpoint.CheckpointError(
                    f"The checkpoint is of a run of {self.recipe.epochs} epochs, not {num_epochs}: its schedule and average "
                    "depend on them; train on to its own end."
                )
            self.recipe = self.recipe.with_overrides({"epochs": num_epochs})
        run = self.begun()
        if start_epoch is not None and start_epoch != run.epoch:
            raise TrainingError(
                f"start_epoch is {start_epoch} and training stands at epoch {run.epoch}: load_checkpoint the one of that epoch first."
            )
        trackers = self._trackers if processes.worker().rank == 0 else ()
        for tracker in trackers:
            tracker.begin(run.facts(), run.history)
        with stop_requests() as request:
            finished = self._epochs(run, trackers, request)
        if not finished:
            for tracker in trackers:
                tracker.end(RunOutcome(run.best_epoch, "interrupted", (), interrupted=True))
            request.pass_on()
            raise KeyboardInterrupt  # a process of several, of which another one had the signal
        outcome = run.finish()
        for tracker in trackers:
            tracker.end(RunOutcome(outcome.best_epoch, outcome.shipped, outcome.findings, interrupted=False))
        self._run = None
        return outcome

    def save_checkpoint(self, path: str | Path, epoch: int | None = None) -> None:
        """Write everything that `load_checkpoint` needs, atomically.

        Args:
            path: the file.
            epoch: where training stands, said again as the guide does; it is checked.

        Raises:
            TrainingError: training stands elsewhere.
        """
        run = self.begun()
        if epoch is not None and epoch != run.epoch:
            raise TrainingError(f"save_checkpoint was told epoch {epoch}, and training stands at epoch {run.epoch}.")
        state = run.state()  # every process has its own generators to add
        if run.worker.rank == 0:
            checkpoint.save(Path(path), run.origin, state)

    def load_checkpoint(self, path: str | Path) -> None:
        """Stand where the checkpoint was written; `train()` goes on from there.

        Raises:
            CheckpointError: it cannot be read, or it is of another recipe, other data or another number of processes.
        """
        fresh = self._fresh()
        fresh.restore(checkpoint.load(Path(path), fresh.origin))
        self._run = fresh

    def begun(self) -> Ongoing:
        """The training in progress; it begins here where there is none.

        Raises:
            DatasetError: the data cannot be learnt from (checks.py).
        """
        if self._run is None:
            self._run = self._fresh()
        return self._run

    def _fresh(self) -> Ongoing:
        return Ongoing(self.model, self.recipe, self._dataset(), self._source, self._data_sha256)

    def _dataset(self) -> Dataset:
        if self.data is None:
            self.data = stored_dataset()
        return self.data

    def _epochs(self, run: Ongoing, trackers: Sequence[Tracker], request: StopRequest) -> bool:
        """Epoch after epoch; False when somebody asked to stop."""
        recipe = self.recipe
        with track("training, steps", recipe.epochs * run.steps.per_epoch) as advance:
            advance(run.epoch * run.steps.per_epoch + run.step)
            while run.epoch < recipe.epochs and not run.settled:
                if not run.work_through_epoch(request, advance):
                    self._keep(run, LAST)
                    return False
                record = run.close_epoch()
                for tracker in trackers:
                    tracker.epoch(record)
                if run.best_epoch == record.epoch:
                    self._keep(run, BEST)
                if run.epoch % recipe.checkpoint_every == 0:
                    self._keep(run, f"model_epoch_{run.epoch}.pt")
        return True

    def _keep(self, run: Ongoing, name: str) -> None:
        if self._checkpoints is not None:
            self.save_checkpoint(self._checkpoints / name, run.epoch)
