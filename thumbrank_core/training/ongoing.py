"""A training in progress: everything that moves, what a step and an epoch's end do to it, and what it leaves.

What belongs here: the run itself. When its steps are taken, who hears of them and where checkpoints go is pipeline.py.
"""

import copy
import json
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.features.encoders import best_device
from thumbrank_core.features.precision import gains
from thumbrank_core.model.bundle import EpochRecord
from thumbrank_core.model.network import Input, Outputs, ThumbnailRankingModel
from thumbrank_core.progress import Advance
from thumbrank_core.training import checkpoint, generators, processes
from thumbrank_core.training.averaging import averaging_of
from thumbrank_core.training.batches import Layout, Steps, TrainingStep
from thumbrank_core.training.checks import check_dataset
from thumbrank_core.training.dataset import Dataset
from thumbrank_core.training.diagnostics import Finding, diagnose
from thumbrank_core.training.objective import Objective
from thumbrank_core.training.optimiser import new_optimiser, new_schedule
from thumbrank_core.training.recipe import Recipe
from thumbrank_core.training.sources import Source, chunks, fit_standardiser, vectors_source
from thumbrank_core.training.stopping import StopRequest
from thumbrank_core.training.sub_scores import SubScoreFit, fit_sub_scores
from thumbrank_core.training.targets import absolute_target, pair_target
from thumbrank_core.training.temperature import fit_temperature
from thumbrank_core.training.tracking.interface import Facts
from thumbrank_core.training.tracking.source import git_sha
from thumbrank_core.training.validation import Validation

ASK_EVERY = 20
"""Steps after which several processes ask each other whether one was told to stop, and progress is told."""


ROWS = 64
"""Item-wise steps are filled up to a multiple of so many rows: oneDNN keeps code for every size that it meets, up to 1,024 pieces
of about half a megabyte, and spends a millisecond on a new one."""


class TrainingError(ThumbrankError):
    """Training that cannot go on."""


@dataclass(frozen=True)
class Trained:
    """The outcome of a run. `model`: in evaluation mode, with the weights that are shipped; `shipped` says which those are.

    `temperature`: turns its score differences into probabilities (temperature.py). `ctr_owner`: whose real click-through rates
    trained the absolute head; None where it learnt engagement.
    """

    model: ThumbnailRankingModel
    best_epoch: int
    shipped: str
    history: list[EpochRecord]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    temperature: float
    sub_scores: SubScoreFit | None
    ctr_owner: str | None


def _check_model(model: ThumbnailRankingModel, dataset: Dataset, source: Source | None) -> None:
    """Refuse a model that these vectors do not fit, or that would not be trained as it says.

    Raises:
        TrainingError: of two widths, or CLIP is to be trained and there is nothing to run through it.
    """
    widths = (model.shape.clip_dim, model.shape.text_dim)
    given = (dataset.items.image.shape[1], dataset.items.text.shape[1])
    if source is None and widths != given:
        raise TrainingError(
            f"The model takes vectors of {widths[0]} + {widths[1]} and these are of {given[0]} + {given[1]} ({dataset.encoders} encoders): "
            f"make it with clip_dim={given[0]} and text_dim={given[1]}."
        )
    if source is None and not model.freeze_clip and model.tower is None:
        raise TrainingError(
            "freeze_clip=False trains CLIP itself, and over stored vectors there is no picture to run through it: "
            f"thumbrank train --recipe phase2 --set fine_tune_blocks={model.fine_tune_blocks} has them."
        )


class Ongoing:
    """A training in progress: everything that moves, and where it stands (`epoch`, `step`).

    Args:
        model: what is trained.
        recipe: how.
        dataset: what is learnt from.
        source: where features come from; the data set's own vectors where none is given.
        data_sha256: the digest of `dataset`, where it is known already.

    Raises:
        DatasetError: the data cannot be learnt from (checks.py).
        TrainingError: the model does not fit them.
    """

    def __init__(
        self,
        model: ThumbnailRankingModel,
        recipe: Recipe,
        dataset: Dataset,
        source: Source | None = None,
        data_sha256: str | None = None,
    ) -> None:
        check_dataset(dataset)
        _check_model(model, dataset, source)
        self.model, self.recipe, self.dataset, self._data_sha256 = model, recipe, dataset, data_sha256
        self.device = best_device()
        self.worker = processes.worker()
        torch.manual_seed(recipe.seed + self.worker.rank)
        model.to(self.device)
        items = dataset.items
        fit_standardiser(model, items.image, items.text, dataset.items_of("train"))
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
        return self._data_sha256 or self.dataset.fingerprint(owners=self.recipe.use_ctr)

    @property
    def settled(self) -> bool:
        """Whether the last epochs brought nothing."""
        patience = self.recipe.patience
        return patience is not None and bool(self.history) and self.epoch - 1 - self.best_epoch >= patience

    @property
    def origin(self) -> checkpoint.Origin:
        """What its checkpoints belong to."""
        return checkpoint.Origin(self.recipe.model_dump(), self.data_sha256, self.dataset.versions, self.worker.world)

    def work_through_epoch(self, request: StopRequest, advance: Advance) -> bool:
        """The rest of this epoch's steps; False when somebody asked to stop."""
        began = time.monotonic()
        plan = self.steps.epoch(self.epoch)
        self.model.train()
        untold = 0
        while self.step < len(plan):
            self.take(plan.step(self.step))
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

    def take(self, step: TrainingStep) -> None:
        """One step: losses, gradients, new weights."""
        batch = self.objective.inputs(self.source.take(self._filled(step.items)), step)
        with self._precision():
            output = self.forward(batch)
        parts = self.objective.losses(Outputs(*(part[: len(step.items)] for part in output)), step)
        self.optimiser.zero_grad(set_to_none=True)
        (self.objective.total(parts) * self.worker.world).backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, self.recipe.gradient_clip)
        self.optimiser.step()
        self.schedule.step()
        self.averaging.after_step()
        self.sums += parts.detach()

    def close_epoch(self) -> EpochRecord:
        """Average, validate, remember the best.

        Raises:
            TrainingError: a loss or a score became infinite.
        """
        self.averaging.after_epoch(self.epoch)
        mean = (processes.summed(self.sums.clone()) / self.steps.per_epoch).tolist()
        if not np.isfinite(mean).all():
            raise self._diverged("A loss")
        found = self.validation.of(self.averaging.model)
        figures = (found.accuracy, found.auc, found.correlation, found.train_auc)
        accuracy, auc, correlation, train_auc = processes.of_first(figures, self.device)
        if not np.isfinite((accuracy, auc, train_auc)).all():  # the losses are of the weights before the last step
            raise self._diverged("A score")
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

    def _diverged(self, what: str) -> TrainingError:
        return TrainingError(
            f"{what} became infinite in epoch {self.epoch}: lower the learning rate ({self.recipe.learning_rate:g} now), "
            "or raise warmup_fraction; nothing was written over."
        )

    def finish(self) -> Trained:
        """Put the weights that are shipped into the model, fit what comes after, and look back."""
        del self.steps  # 200 MB at two million videos, and no more are taken
        self.averaging.finish(self._training_batches)
        last = self.recipe.ship == "last"
        self.model.load_state_dict(self.averaging.model.state_dict() if last else self.best)
        epoch, name = (self.epoch - 1, self.averaging.name) if last else (self.best_epoch, self.best_name)
        self.model.skip_sub_scores = False
        for parameter in self.model.sub_scores.parameters():
            parameter.requires_grad_(True)
        self.model.eval()
        fitted = self._fit_sub_scores()
        temperature = fit_temperature(*self.validation.differences(self.model))
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
            temperature,
            fitted,
            self.ctr_owner,
        )

    def _fit_sub_scores(self) -> SubScoreFit | None:
        if not self.later or self.dataset.signals is None:
            return None
        training, validation = self.dataset.items_of("train"), self.dataset.items_of("validation")
        return fit_sub_scores(self.model, self.source, self.dataset.signals, training, validation, self.recipe)

    def _training_batches(self) -> Iterable[Input]:
        return chunks(self.source, self.dataset.items_of("train"))

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
            "generators": processes.gathered(generators.states(self.device)),
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
        generators.restore(state["generators"][self.worker.rank], self.device)

    def facts(self) -> Facts:
        """What shapes the run, for those who hear of it."""
        dataset, recipe = self.dataset, self.recipe
        return Facts(
            recipe=recipe.model_dump(),
            recipe_sha256=recipe.sha256,
            niches=dataset.versions,
            label=dataset.label,
            encoders=dataset.encoders,
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
        if self.dataset.of("validation").period.any():
            notes.append("No validation pair lies before the time cut, so the epoch is chosen by later ones.")
        if self.ctr_owner is None and recipe.use_ctr and len(self.dataset.owners) > 1:
            notes.append(
                f"{len(self.dataset.owners)} owners have real click-through rates, which may not train one head together: "
                "it learns engagement; ctr_owner names one."
            )
        return tuple(notes)

    def _filled(self, items: torch.Tensor) -> torch.Tensor:
        """The items of a step, the first one repeated up to a multiple of ROWS; what is said of the repeated ones is not looked
        at. Not where it would be: batch norm takes statistics of all rows, CLIP's blocks cost more than new code, and by pair
        sizes are the same already."""
        if self.recipe.batch_by == "pair" or self.model.shape.norm == "batch" or self.model.tower is not None:
            return items
        return torch.cat([items, items[:1].expand(-len(items) % ROWS)]) if len(items) else items

    def _precision(self) -> AbstractContextManager[object]:
        return torch.autocast(self.device.type, torch.bfloat16) if self.halves else nullcontext()


def _halves(recipe: Recipe, device: torch.device) -> tuple[bool, str]:
    """Whether products run in bfloat16, and why."""
    if recipe.precision != "auto":
        return recipe.precision == "bfloat16", "as the recipe says"
    gain = gains(device)
    return gain.precision != "float32", gain.because
