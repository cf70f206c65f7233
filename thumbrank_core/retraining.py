"""Training as an event: train or find the bundle, log it to MLflow, make it the registry's challenger."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from thumbrank_core.features.specs import EncoderSet
from thumbrank_core.registry import Registry, Version
from thumbrank_core.training.dataset import Dataset
from thumbrank_core.training.recipe import Recipe
from thumbrank_core.training.run import TrainingRun, find_bundle, fingerprint, train_bundle
from thumbrank_core.training.tracking import ConsoleTracker, MlflowTracker


@dataclass(frozen=True)
class Registered:
    """A bundle and its version in the registry."""

    run: TrainingRun
    version: Version


def train_and_register(
    dataset: Dataset,
    recipe: Recipe,
    encoders: EncoderSet,
    models: Path,
    registry: Registry,
    new_tracker: Callable[[], MlflowTracker],
) -> Registered:
    """Train unless nothing changed; either way the result is the challenger.

    A run that was killed between the bundle and the registry is finished: the bundle is kept and registered.

    Raises:
        DatasetError: nothing to train on or to select on.
    """
    known = registry.find(fingerprint(dataset, recipe, encoders))
    if known is not None and (card := find_bundle(known.folder)) is not None:
        registry.point("challenger", known.number)
        return Registered(TrainingRun(known.folder, card, trained=False), known)
    with new_tracker() as tracker:
        run = train_bundle(dataset, recipe, encoders, models, [ConsoleTracker(), tracker])
        artifact_uri = tracker.add_artifacts(run.folder, "bundle")
    return Registered(run, registry.register(run.card, run.folder, tracker.run_id, artifact_uri))
