"""The training loop, to be read in one sitting, under the guide's name and methods.

    pipeline = TrainingPipeline(model, data=dataset, recipe=load_recipe("default"))
    trained = pipeline.train()

A step scores each of its items once and takes its pairs from the scores; nothing in it waits for the device. Between epochs
the weights that would be shipped are validated. Ctr-C and SIGTERM finish the step, save, and leave; `load_checkpoint` goes on
from there as if nothing had happened.
"""

import copy
import json
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.features.encoders import best_device
from thumbrank_core.features.precision import gains
from thumbrank_core.model.bundle import EpochRecord
from thumbrank_core.model.network import Input, ThumbnailRankingModel
from thumbrank_core.progress import track
from thumbrank_core.training import checkpoint, processes
from thumbrank_core.training.averaging import averaging_of
from thumbrank_core.training.batches import Layout, Steps
from thumbrank_core.training.checks import check_dataset
from thumbrank_core.training.dataset import SPLITS, Dataset
from thumbrank_core.training.diagnostics import Finding, diagnose
from thumbrank_core.training.objective import Objective
from thumbrank_core.training.optimiser import new_optimiser, new_schedule
from thumbrank_core.training.recipe import Recipe, load_recipe
from thumbrank_core.training.sources import Source, chunks, fit_standardiser, vectors_source
from thumbrank_core.training.stopping import StopRequest, stop_requests
from thumbrank_core.training.stored import stored_dataset
from thumbrank_core.training.sub_scores import SubScoreFit, fit_sub_scores
from thumbrank_core.training.targets import absolute_target, pair_target
from thumbrank_core.training.tracking.interface import Facts, Outcome, Tracker
from thumbrank_core.training.tracking.source import git_sha
from thumbrank_core.training.validation import Validation

ASK_EVERY = 20
"""Steps after which several processes ask each other whether one was told to stop, and progress is told."""
LAST, BEST = "last.pt", "best.pt"


class TrainingError(ThumbrankError):
    """Training that cannot go on."""


@dataclass(frozen=True)
class Trained:
    """The outcome of a run. `model`: in evaluation mode, with the weights that are shipped; `shipped` says which those are.

    `ctr_owner`: whose real click-through rates trained the absolute head; None where it learnt engagement.
    """

    model: ThumbnailRankingModel
    best_epoch: int
    shipped: str
    history: list[EpochRecord]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    sub_scores: SubScoreFit | None
    ctr_owner: str | None


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
        read_out=recipe.read_out,
    )


def train(dataset: Dataset, recipe: Recipe, trackers: Sequence[Tracker] = ()) -> Trained:
    """Train on the training channels, select on the validation channels; test channels are never touched.

    Same data, same recipe, same machine: same weights.

    Raises:
        DatasetError: the data cannot be learnt from (checks.py).
    """
    check_dataset(dataset)
    return TrainingPipeline(new_model(dataset, recipe), recipe=recipe, data=dataset, trackers=trackers).train()


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
    ) -> None:
        given: dict[str, Any] = {
            "learning_rate": learning_rate,
            "label_smoothing": label_smoothing,
            "mixup_alpha": mixup_alpha,
            "averaging": None if use_swa is None else "swa" if use_swa else "none",
            "swa_start": swa_start,
        }
        own = {
            name: getattr(model.shape, name) for name in ("hidden_dim", "norm", "dropout", "head_dropout", "read_out")
        }
        own |= {"freeze_clip": model.freeze_clip, "fine_tune_blocks": model.fine_tune_blocks}
        self.recipe = (recipe or load_recipe("guide")).with_overrides(
            own | {name: value for name, value in given.items() if value is not None}
        )
        self.model, self.data, self._source = model, data, source
        self._trackers, self._checkpoints = trackers, checkpoints
        self._run: _Run | None = None

    def train(self, start_epoch: int | None = None, num_epochs: int | None = None) -> Trained:
        """Train to the end.

        Args:
            start_epoch: where a loaded checkpoint stands, said again as the guide does; it is checked.
            num_epochs: the epoch to end at; the recipe's where it is not given.

        Raises:
            DatasetError: the data cannot be learnt from (checks.py).
            TrainingError: a loss became infinite, or `start_epoch` is not where training stands.
            CheckpointError: `num_epochs` is not what the loaded checkpoint was to end at.
        """
        if num_epochs is not None and num_epochs != self.recipe.epochs:
            if self._run is not None:
                raise checkpoint.CheckpointError(
                    f"The checkpoint is of a run of {self.recipe.epochs} epochs, not {num_epochs}: its schedule and average "
                    "depend on them; train on to its own end."
                )
            self.recipe = self.recipe.with_overrides({"epochs": num_epochs})
        run = self._begun()
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
                tracker.end(Outcome(run.best_epoch, "interrupted", (), interrupted=True))
            request.pass_on()
            raise KeyboardInterrupt  # a process of several, of which another one had the signal
        outcome = run.finish()
        for tracker in trackers:
            tracker.end(Outcome(outcome.best_epoch, outcome.shipped, outcome.findings, interrupted=False))
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
        run = self._begun()
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
        fresh = _Run(self.model, self.recipe, self._dataset(), self._source)
        fresh.restore(checkpoint.load(Path(path), fresh.origin))
        self._run = fresh

    def _begun(self) -> "_Run":
        if self._run is None:
            self._run = _Run(self.model, self.recipe, self._dataset(), self._source)
        return self._run

    def _dataset(self) -> Dataset:
        if self.data is None:
            self.data = stored_dataset()
        return self.data

    def _epochs(self, run: "_Run", trackers: Sequence[Tracker], request: StopRequest) -> bool:
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

    def _keep(self, run: "_Run", name: str) -> None:
        if self._checkpoints is not None:
            self.save_checkpoint(self._checkpoints / name, run.epoch)


class _Run:
    """A training in progress: everything that moves, and where it stands (`epoch`, `step`)."""

    def __init__(self, model: ThumbnailRankingModel, recipe: Recipe, dataset: Dataset, source: Source | None) -> None:
        check_dataset(dataset)
        self.model, self.recipe, self.dataset = model, recipe, dataset
        self.device = best_device()
        self.worker = processes.worker()
        torch.manual_seed(recipe.seed + self.worker.rank)
        model.to(self.device)
        items = dataset.items
        in_training = np.flatnonzero(items.split == SPLITS.index("train"))
        fit_standardiser(model, items.image, items.text, in_training)
        self.source = source or vectors_source(model, items.image, items.text, self.device)
        training = dataset.of("train")
        layout = Layout(recipe.batch_by, recipe.batch_size, recipe.mixup_alpha, recipe.seed, self.worker)
        weighted = recipe.channel_weighted
        self.steps = Steps(training, pair_target(training, recipe), layout, self.device, weighted=weighted)
        target, self.ctr_owner = absolute_target(dataset, recipe)
        self.objective = Objective(recipe, torch.from_numpy(target).to(self.device))
        self.validation = Validation(dataset, self.source, recipe.seed)
        self.later = recipe.sub_scores == "signals"
        model.skip_sub_scores = self.later
        for parameter in model.sub_scores.parameters():
            parameter.requires_grad_(not self.later)
        self.optimiser = new_optimiser(model, recipe)
        self.schedule = new_schedule(self.optimiser, recipe, recipe.epochs * self.steps.per_epoch)
        self.averaging = averaging_of(recipe, model)
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        called = torch.compile(model, dynamic=True) if recipe.compile else model
        self.forward: Any = processes.shared(called, self.device)  # pyright: ignore[reportArgumentType]
        self.halves, self.why_halves = _halves(recipe, self.device)
        self.epoch = self.step = 0
        self.sums = torch.zeros(3, device=self.device)
        self.seconds = 0.0
        self.history: list[EpochRecord] = []
        self.best_epoch, self.best_accuracy, self.best_name = -1, -1.0, "raw"
        self.best: dict[str, torch.Tensor] = copy.deepcopy(model.state_dict())
        self.notes = self._notes()

    @cached_property
    def data_sha256(self) -> str:
        """The digest of what is learnt from."""
        return self.dataset.fingerprint(owners=self.recipe.use_ctr)

    @property
    def settled(self) -> bool:
        """Whether the last epochs brought nothing."""
        patience = self.recipe.patience
        return patience is not None and bool(self.history) and self.epoch - 1 - self.best_epoch >= patience

    @property
    def origin(self) -> checkpoint.Origin:
        """What its checkpoints belong to."""
        return checkpoint.Origin(self.recipe.model_dump(), self.data_sha256, self.dataset.versions, self.worker.world)

    def work_through_epoch(self, request: StopRequest, advance: Any) -> bool:
        """The rest of this epoch's steps; False when somebody asked to stop."""
        began = time.monotonic()
        plan = self.steps.epoch(self.epoch)
        self.model.train()
        untold = 0
        while self.step < len(plan):
            self._take(plan.step(self.step))
            self.step += 1
            untold += 1
            told = self.step % ASK_EVERY == 0
            if told:
                advance(untold)
                untold = 0
            if (self.worker.world == 1 and request.asked) or (told and processes.any_of(request.asked, self.device)):
                self.seconds += time.monotonic() - began
                return False
        advance(untold)
        self.seconds += time.monotonic() - began
        return True

    def _take(self, step: Any) -> None:
        batch = self.objective.inputs(self.source.take(step.items), step)
        with self._precision():
            output = self.forward(batch)
        parts = self.objective.losses(output, step)
        self.optimiser.zero_grad(set_to_none=True)
        (self.objective.total(parts) * self.worker.world).backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, self.recipe.gradient_clip)
        self.optimiser.step()
        self.schedule.step()
        self.averaging.after_step()
        self.sums += parts.detach()

    def close_epoch(self) -> EpochRecord:
        """Average, validate, remember the best."""
        self.averaging.after_epoch(self.epoch)
        mean = (processes.summed(self.sums.clone()) / self.steps.per_epoch).tolist()
        if not np.isfinite(mean).all():
            raise TrainingError(
                f"A loss became infinite in epoch {self.epoch}: lower the learning rate ({self.recipe.learning_rate:g} now), "
                "or raise warmup_fraction; nothing was written over."
            )
        found = self.validation.of(self.averaging.model)
        figures = (found.accuracy, found.auc, found.correlation, found.train_auc)
        accuracy, auc, correlation, train_auc = processes.of_first(figures, self.device)
        record = EpochRecord(
            epoch=self.epoch,
            pair_loss=mean[0],
            engagement_loss=mean[1],
            sub_score_loss=None if self.later else mean[2],
            train_auc=train_auc,
            validation_accuracy=accuracy,
            validation_auc=auc,
            validation_correlation=correlation if np.isfinite(correlation) else None,
            learning_rate=float(self.schedule.get_last_lr()[0]),
            seconds=self.seconds,
            items_per_second=self.steps.items_per_epoch / self.seconds,
        )
        if record.validation_accuracy > self.best_accuracy:
            self.best_epoch, self.best_accuracy = self.epoch, record.validation_accuracy
            self.best, self.best_name = copy.deepcopy(self.averaging.model.state_dict()), self.averaging.name
        self.history.append(record)
        self.epoch, self.step, self.seconds = self.epoch + 1, 0, 0.0
        self.sums.zero_()
        return record

    def finish(self) -> Trained:
        """Put the weights that are shipped into the model, fit what comes after, and look back."""
        self.averaging.finish(self._training_batches)
        last = self.recipe.ship == "last"
        self.model.load_state_dict(self.averaging.model.state_dict() if last else self.best)
        epoch, name = (self.epoch - 1, self.averaging.name) if last else (self.best_epoch, self.best_name)
        self.model.skip_sub_scores = False
        for parameter in self.model.sub_scores.parameters():
            parameter.requires_grad_(True)
        self.model.eval()
        fitted = self._fit_sub_scores()
        margin = self.recipe.margin if self.recipe.pair_loss == "margin" else None
        return Trained(
            self.model.cpu().eval(),
            epoch,
            f"{name} at epoch {epoch}",
            self.history,
            diagnose(
                self.history, margin=margin, best_epoch=epoch, n_validation_pairs=len(self.dataset.of("validation"))
            ),
            self.notes,
            fitted,
            self.ctr_owner,
        )

    def _fit_sub_scores(self) -> SubScoreFit | None:
        if not self.later or self.dataset.signals is None:
            return None
        split = self.dataset.items.split
        training, validation = (np.flatnonzero(split == SPLITS.index(name)) for name in ("train", "validation"))
        return fit_sub_scores(self.model, self.source, self.dataset.signals, training, validation, self.recipe)

    def _training_batches(self) -> Iterable[Input]:
        return chunks(self.source, np.flatnonzero(self.dataset.items.split == SPLITS.index("train")))

    def state(self) -> dict[str, Any]:
        """Everything that moves."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "sums": self.sums,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "averaging": self.averaging.state(),
            "best": {
                "epoch": self.best_epoch,
                "accuracy": self.best_accuracy,
                "name": self.best_name,
                "model": self.best,
            },
            "history": json.dumps([record.model_dump() for record in self.history]),
            "generators": processes.gathered(_generators(self.device)),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Stand where `state` was taken."""
        self.epoch, self.step, self.seconds = state["epoch"], state["step"], state["seconds"]
        self.sums = state["sums"].to(self.device)
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.averaging.restore(state["averaging"])
        best = state["best"]
        self.best_epoch, self.best_accuracy, self.best_name = best["epoch"], best["accuracy"], best["name"]
        self.best = best["model"]
        self.history = [EpochRecord.model_validate(record) for record in json.loads(state["history"])]
        _set_generators(state["generators"][self.worker.rank], self.device)

    def facts(self) -> Facts:
        """What shapes the run, for those who hear of it."""
        dataset, recipe = self.dataset, self.recipe
        return Facts(
            recipe=recipe.model_dump(),
            recipe_sha256=recipe.sha256,
            niches=dataset.versions,
            label=dataset.label,
            encoders=f"{dataset.items.image.shape[1]} + {dataset.items.text.shape[1]}",
            n_items=len(dataset.items),
            n_pairs=len(dataset.pairs),
            n_channels=len(dataset.channels),
            data_sha256=self.data_sha256,
            git_sha=git_sha(),
            epochs=recipe.epochs,
            real_click_rate=self.ctr_owner is not None,
            notes=self.notes,
        )

    def _notes(self) -> tuple[str, ...]:
        recipe = self.recipe
        products = f"{'bfloat16' if self.halves else 'float32'} products: {self.why_halves}"
        notes = [f"{self.steps.per_epoch:,} steps an epoch by {recipe.batch_by} on {self.device}, {products}."]
        if recipe.averaging == "swa":
            from_epoch = recipe.averages_from
            why = (
                ""
                if from_epoch == recipe.swa_start
                else f": 75 % of {recipe.epochs}, which are fewer than {recipe.swa_start}"
            )
            notes.append(f"SWA from epoch {from_epoch}{why}.")
        if recipe.norm == "batch" and self.worker.world > 1:
            notes.append(
                f"Each of the {self.worker.world} processes has batch-norm statistics of its own share of a batch."
            )
        if self.ctr_owner is None and recipe.use_ctr and len(self.dataset.owners) > 1:
            notes.append(
                f"{len(self.dataset.owners)} owners have real click-through rates, which may not train one head together: "
                "it learns engagement; ctr_owner names one."
            )
        return tuple(notes)

    def _precision(self) -> AbstractContextManager[object]:
        return torch.autocast(self.device.type, torch.bfloat16) if self.halves else nullcontext()


def _generators(device: torch.device) -> torch.Tensor:
    """The states of torch's generators, one after the other: dropout draws from the device's."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return torch.cat(states)


def _set_generators(states: torch.Tensor, device: torch.device) -> None:
    own = torch.get_rng_state().numel()
    torch.set_rng_state(states[:own])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[own:], device)


def _halves(recipe: Recipe, device: torch.device) -> tuple[bool, str]:
    """Whether products run in bfloat16, and why."""
    if recipe.precision != "auto":
        return recipe.precision == "bfloat16", "as the recipe says"
    gain = gains(device)
    return gain.precision != "float32", gain.because
