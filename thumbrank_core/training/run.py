"""One training run from the database to a bundle on disk; nothing retrains when nothing changed."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from thumbrank_core.features.specs import EncoderSet
from thumbrank_core.model.bundle import BundleCard, BundleError, NetworkShape, load_bundle, save_card, save_weights
from thumbrank_core.training.dataset import SPLITS, Dataset
from thumbrank_core.training.loop import train
from thumbrank_core.training.recipe import Recipe
from thumbrank_core.training.tracking import Tracker

CODE_VERSION = "1"
"""Raised when the network or the loop changes what the same data and recipe lead to."""


@dataclass(frozen=True)
class TrainingRun:
    """A bundle and whether this call made it."""

    folder: Path
    card: BundleCard
    trained: bool


def fingerprint(dataset: Dataset, recipe: Recipe, encoders: EncoderSet) -> str:
    """What a bundle is named after: data, recipe, encoders and code. Equal fingerprints are equal models."""
    parts = (dataset.fingerprint(), recipe.sha256, encoders.image.encoder_id, encoders.title.encoder_id, CODE_VERSION)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def find_bundle(folder: Path) -> BundleCard | None:
    """The card of a whole bundle in `folder`, or None (nothing there, or a run was killed while writing)."""
    try:
        return load_bundle(folder).card
    except BundleError:
        return None


def train_bundle(
    dataset: Dataset, recipe: Recipe, encoders: EncoderSet, models: Path, trackers: Sequence[Tracker] = ()
) -> TrainingRun:
    """Train and write `models/<fingerprint>/`, or return the bundle that is there already.

    Raises:
        DatasetError: nothing to train on or to select on.
    """
    mark = fingerprint(dataset, recipe, encoders)
    folder = models / mark[:12]
    existing = find_bundle(folder)
    if existing is not None:
        return TrainingRun(folder, existing, trained=False)
    started = time.monotonic()
    for tracker in trackers:
        tracker.facts(_facts(dataset, recipe, encoders))
    outcome = train(dataset, recipe, trackers)
    counts = {split: dataset.counts(split) for split in SPLITS}
    card = BundleCard(
        fingerprint=mark,
        weights_sha256=save_weights(folder, outcome.model),
        network=NetworkShape(
            clip_dim=outcome.model.clip_dim,
            text_dim=outcome.model.text_dim,
            hidden_dim=recipe.hidden_dim,
            dropout=recipe.dropout,
        ),
        image_encoder=encoders.image.encoder_id,
        title_encoder=encoders.title.encoder_id,
        encoder_set=encoders.name,
        label=dataset.label,
        recipe=recipe.model_dump(),
        niches=dataset.versions,
        n_items=len(dataset.items),
        n_pairs={split: pairs for split, (pairs, _) in counts.items()},
        n_channels={split: channels for split, (_, channels) in counts.items()},
        best_epoch=outcome.best_epoch,
        history=outcome.history,
        trained_at=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - started, 2),
    )
    save_card(folder, card)
    return TrainingRun(folder, card, trained=True)


def _facts(dataset: Dataset, recipe: Recipe, encoders: EncoderSet) -> dict[str, object]:
    return {
        "niches": ",".join(dataset.niches),
        "label": dataset.label,
        "encoders": encoders.name,
        "n_items": len(dataset.items),
        "n_pairs": len(dataset.pairs),
        "n_channels": len(dataset.channels),
        "recipe_sha256": recipe.sha256[:16],
        **{f"recipe_{name}": value for name, value in recipe.model_dump().items()},
    }
