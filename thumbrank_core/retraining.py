"""Training as an event: read the data, train or find the bundle, log it, make it the registry's challenger.

The command line, Dagster and each of several processes come through `retrain`. Of several processes the first one writes and
registers, the others only train along.
"""

import json
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from thumbrank_core.model.bundle import load_bundle
from thumbrank_core.progress import say
from thumbrank_core.registry import Registry, Version
from thumbrank_core.settings import Settings
from thumbrank_core.store.database import Database
from thumbrank_core.store.images import ImageStore
from thumbrank_core.training import processes
from thumbrank_core.training.borders import Border
from thumbrank_core.training.dataset import Dataset
from thumbrank_core.training.fine_tuning import TuningStores
from thumbrank_core.training.read_outs import write_read_outs
from thumbrank_core.training.recipe import Recipe, load_recipe
from thumbrank_core.training.run import Mark, TrainingRun, find_bundle, mark_of, train_bundle
from thumbrank_core.training.stored import read_stored
from thumbrank_core.training.tracking.console import ConsoleTracker
from thumbrank_core.training.tracking.history import HistoryTracker
from thumbrank_core.training.tracking.interface import Tracker
from thumbrank_core.training.tracking.mlflow import MlflowTracker, run_page
from thumbrank_core.training.tracking.tensorboard import TensorBoardTracker
from thumbrank_core.training.tracking.wandb import WandbTracker


@dataclass(frozen=True)
class Request:
    """What a training is asked for. `niches`: none are all enabled ones; `encoders`: None is THUMBRANK_ENCODERS; `overrides`:
    fields of the recipe; `resume`: a checkpoint; `wandb`: whether Weights & Biases hears of it too; `tags`: of the MLflow run."""

    niches: tuple[str, ...] = ()
    recipe: str = "default"
    overrides: dict[str, Any] = field(default_factory=dict[str, Any])
    encoders: str | None = None
    resume: str | None = None
    wandb: bool = False
    tags: dict[str, str] = field(default_factory=dict[str, str])

    def to_json(self) -> str:
        """On one line, for the command line of a worker."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Request":
        """What `to_json` wrote."""
        fields = json.loads(text)
        return cls(**fields | {"niches": tuple(fields["niches"])})


@dataclass(frozen=True)
class Registered:
    """A bundle and its version in the registry.

    `left_out`: pairs that the data set could not take, by reason; `borders`: what was found of each niche; `page`: of its MLflow
    run, where MLflow has an address.
    """

    run: TrainingRun
    version: Version
    left_out: dict[str, int]
    borders: tuple[Border, ...]
    page: str | None


def retrain(request: Request, database: Database, settings: Settings, now: datetime | None = None) -> Registered | None:
    """Train unless nothing changed; either way the result is the challenger.

    A run that was killed between the bundle and the registry is finished: the bundle is kept and registered.

    Args:
        request: what is asked for.
        database: where the data are.
        settings: where bundles, checkpoints and MLflow are.
        now: until when counts have aged; None: the clock says it.

    Returns:
        What is registered now; None in the processes of several that only train along.

    Raises:
        BorderError: a niche may not be learnt from; nothing was trained, logged or registered.
        ThumbrankError: the recipe, the data, a checkpoint or a tracker is not usable; the sentence says which.
    """
    recipe = load_recipe(request.recipe, request.overrides)
    dataset, encoders = read_stored(database, settings, request.niches, request.encoders, now)
    mark = mark_of(dataset, recipe, encoders)
    processes.require_same(mark.fingerprint)
    processes.require_one_folder(settings.home)
    first = processes.worker().rank == 0
    registry = Registry(settings.tracking_uri) if first else None  # of several nodes one needs to reach MLflow
    version = registry.find(mark.fingerprint) if registry is not None else None
    card = find_bundle(version.folder) if version is not None else None
    if processes.as_first(card is not None):
        if registry is None or version is None or card is None:
            return None
        run = TrainingRun(version.folder, card, trained=False)
        registry.point("challenger", version.number)
    else:
        with ExitStack() as stack:
            mlflow, trackers = _trackers(request, recipe, dataset, mark, settings) if first else (None, [])
            for tracker in trackers:
                stack.enter_context(tracker)
            run = train_bundle(
                dataset,
                recipe,
                encoders,
                settings.models,
                trackers,
                checkpoints=settings.checkpoints,
                resume=Path(request.resume) if request.resume else None,
                stores=TuningStores(database, ImageStore(settings.images), settings.offline),
                mark=mark,
            )
            uri = "" if mlflow is None or run is None else mlflow.add_artifacts(run.folder, "bundle", run.shared)
        if registry is None or mlflow is None or run is None:
            return None
        version = registry.register(run.card, run.folder, mlflow.run_id, uri)
    # After the artifacts are copied: an owner's read-out stays in the owner's own file. And where nothing was trained an owner
    # may have consented since.
    _write_read_outs(dataset, run)
    page = run_page(settings.mlflow_url, settings.tracking_uri, version.run_id)
    return Registered(run, version, dataset.left_out, dataset.borders, page)


def _trackers(
    request: Request, recipe: Recipe, dataset: Dataset, mark: Mark, settings: Settings
) -> tuple[MlflowTracker, list[Tracker]]:
    """MLflow's tracker, and everybody who hears of the run, it among them."""
    name = f"{recipe.name} on {', '.join(dataset.niches)}"
    mlflow = MlflowTracker(settings.tracking_uri, settings.home / "mlflow" / "artifacts", name, request.tags)
    trackers: list[Tracker] = [
        ConsoleTracker(recipe.log_every),
        HistoryTracker(settings.models / "training_history.json"),
        TensorBoardTracker(settings.runs / mark.name),
        mlflow,
    ]
    if request.wandb:
        trackers.append(WandbTracker(settings.runs, mark.name, offline=settings.offline))
    return mlflow, trackers


def _write_read_outs(dataset: Dataset, run: TrainingRun) -> None:
    """Every owner's rates by the shipped score, each owner alone; an owner of whom there are none any more loses the file."""
    if run.card.tuned_encoder is not None:  # the items' vectors are those of the encoder before
        return
    scores = load_bundle(run.folder).score(dataset.items.image, dataset.items.text)
    # Of every split: an owner is one channel, and nothing of a read-out flows back into the ranker.
    for owner, found in write_read_outs(run.folder, run.card.fingerprint, dataset.owners, scores).items():
        say(
            found
            if isinstance(found, str)
            else f"Click-through rates of {owner} are read out of the score: {found.n_videos} videos."
        )
