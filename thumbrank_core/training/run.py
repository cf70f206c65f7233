"""One training run from a data set to a bundle on disk; nothing retrains when nothing changed, and a killed run goes on."""

import hashlib
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from thumbrank_core.features import tuned
from thumbrank_core.features.encoders import best_device
from thumbrank_core.features.specs import EncoderSet
from thumbrank_core.model import exports, onnx_export
from thumbrank_core.model.bundle import CARD, WEIGHTS, BundleCard, BundleError, load_bundle, save_card, save_weights
from thumbrank_core.model.tower import Tower
from thumbrank_core.progress import say
from thumbrank_core.store.database import Database
from thumbrank_core.store.images import ImageStore
from thumbrank_core.training import manifest, processes
from thumbrank_core.training.checks import check_dataset
from thumbrank_core.training.dataset import SPLITS, Dataset
from thumbrank_core.training.pictures import PictureSource
from thumbrank_core.training.pipeline import BEST, LAST, Trained, TrainingPipeline, new_model
from thumbrank_core.training.recipe import Recipe
from thumbrank_core.training.tracking.interface import Tracker
from thumbrank_core.training.tracking.source import git_sha

CODE_VERSION = "2"
"""Raised when the network or the loop changes what the same data and recipe lead to."""


@dataclass(frozen=True)
class TrainingRun:
    """A bundle and whether this call made it."""

    folder: Path
    card: BundleCard
    trained: bool

    @property
    def shared(self) -> list[str]:
        """What of the folder may leave it: neither rows that retention takes back, nor one owner's own file."""
        names = [CARD, WEIGHTS, *self.card.files]
        return [*names, self.card.tuned_encoder] if self.card.tuned_encoder is not None else names


@dataclass(frozen=True)
class Stores:
    """What fine-tuning CLIP needs besides vectors: pictures to look at, and a place for the tuned encoder's vectors."""

    database: Database
    images: ImageStore
    offline: bool


def fingerprint(dataset: Dataset, recipe: Recipe, encoders: EncoderSet) -> str:
    """What a bundle is named after: data, recipe, encoders and code. Equal fingerprints are equal models."""
    parts = (
        dataset.fingerprint(owners=recipe.use_ctr),
        recipe.sha256,
        encoders.image.encoder_id,
        encoders.title.encoder_id,
        CODE_VERSION,
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def find_bundle(folder: Path) -> BundleCard | None:
    """The card of a whole bundle in `folder`, or None (nothing there, or a run was killed while writing)."""
    try:
        return load_bundle(folder).card
    except BundleError:
        return None


def train_bundle(
    dataset: Dataset,
    recipe: Recipe,
    encoders: EncoderSet,
    models: Path,
    trackers: Sequence[Tracker] = (),
    *,
    checkpoints: Path | None = None,
    resume: Path | None = None,
    stores: Stores | None = None,
) -> TrainingRun | None:
    """Train and write `models/<fingerprint>/`, or return the bundle that is there already.

    Args:
        dataset: what is learnt from.
        recipe: how.
        encoders: whose vectors those are, their precisions settled.
        models: the folder of bundles.
        trackers: who hears of it.
        checkpoints: the folder of checkpoints; a run that was killed goes on from its newest one there.
        resume: the checkpoint to go on from instead.
        stores: where pictures and vectors are; only fine-tuning CLIP needs it.

    Returns:
        The run; None in the processes of several that do not write.

    Raises:
        DatasetError: nothing to train on or to select on, or a picture that is to be fine-tuned on cannot be had.
        CheckpointError: `resume` is not of this run.
        ExportError: what was written does not compute what was trained.
    """
    mark = fingerprint(dataset, recipe, encoders)
    folder = models / mark[:12]
    existing = find_bundle(folder)
    if existing is not None:
        return TrainingRun(folder, existing, trained=False)
    check_dataset(dataset)
    started = time.monotonic()
    tower = None if recipe.freeze_clip else _tower(recipe, encoders, stores)
    own = checkpoints / mark[:12] if checkpoints is not None else None
    model = new_model(dataset, recipe)
    with nullcontext() if tower is None else _pictures(dataset, recipe, tower, stores, models) as source:
        model.tower = tower.tail if tower is not None else None
        pipeline = TrainingPipeline(
            model, recipe=recipe, data=dataset, source=source, trackers=trackers, checkpoints=own
        )
        _go_on(pipeline, resume, own)
        outcome = pipeline.train()
    if processes.worker().rank > 0:
        return None
    encoder_id, tuned_folder = encoders.image.encoder_id, None
    if tower is not None:
        tuned_folder = tuned.FOLDER
        encoder_id = _write_tower(dataset, encoders, tower, folder / tuned.FOLDER, stores)
        outcome.model.tower = None
    card = _write(
        folder, dataset, recipe, encoders, outcome, mark, encoder_id, tuned_folder, time.monotonic() - started
    )
    exports.publish_state(folder, models)
    if own is not None:
        (own / LAST).unlink(missing_ok=True)
    return TrainingRun(folder, card, trained=True)


def _tower(recipe: Recipe, encoders: EncoderSet, stores: Stores | None) -> Tower:
    if stores is None:
        raise ValueError("Fine-tuning CLIP needs the stores of pictures and vectors.")
    checkpointing, offline = recipe.gradient_checkpointing, stores.offline
    tower = Tower(encoders.image, recipe.fine_tune_blocks, checkpointing=checkpointing, offline=offline)
    if tower.warning is not None:
        say(tower.warning)
    return tower


def _pictures(dataset: Dataset, recipe: Recipe, tower: Tower, stores: Stores | None, models: Path) -> PictureSource:
    assert stores is not None, "a tower was made of them"
    return PictureSource(dataset.items, stores.images, tower, epochs=recipe.epochs, scratch=models.parent / "scratch")


def _go_on(pipeline: TrainingPipeline, resume: Path | None, own: Path | None) -> None:
    """Stand where an interrupted run stood."""
    found = resume
    if found is None and own is not None:
        kept = [path for path in own.glob("*.pt") if path.name in (LAST, BEST) or path.stem.startswith("model_epoch_")]
        found = max(kept, key=lambda path: path.stat().st_mtime_ns, default=None)
    if found is not None:
        pipeline.load_checkpoint(found)
        say(f"Continuing from {found}.")


def _write_tower(dataset: Dataset, encoders: EncoderSet, tower: Tower, folder: Path, stores: Stores | None) -> str:
    """Write the tuned tower beside the bundle and its vectors into the database; its encoder id."""
    assert stores is not None, "checked before training"
    tuned.write_encoder(folder, tower.vision.model, tower.vision.processor, encoders.image, best_device())
    after = tuned.tuned_set(encoders, folder)
    tuned.embed_pictures(stores.database, stores.images, after.image, set(dataset.items.picture))
    return after.image.encoder_id


def _write(
    folder: Path,
    dataset: Dataset,
    recipe: Recipe,
    encoders: EncoderSet,
    outcome: Trained,
    mark: str,
    image_encoder: str,
    tuned_encoder: str | None,
    seconds: float,
) -> BundleCard:
    """The bundle's files, the card last: a folder with a card is a whole bundle."""
    counts = {split: dataset.counts(split) for split in SPLITS}
    weights = save_weights(folder, outcome.model)
    names = {
        "fingerprint": mark,
        "weights_sha256": weights,
        "image_encoder": image_encoder,
        "title_encoder": encoders.title.encoder_id,
    }
    files = {
        exports.STATE: exports.save_state(folder, outcome.model),
        onnx_export.ONNX: onnx_export.export_onnx(folder, outcome.model, names),
    }
    manifest.write_manifest(dataset, folder / manifest.MANIFEST)
    card = BundleCard(
        fingerprint=mark,
        weights_sha256=weights,
        image_encoder=image_encoder,
        title_encoder=encoders.title.encoder_id,
        network=outcome.model.shape,
        encoder_set=encoders.name,
        tuned_encoder=tuned_encoder,
        label=dataset.label,
        ctr_owner=outcome.ctr_owner,
        recipe=recipe.model_dump(),
        niches=dataset.versions,
        data_sha256=dataset.fingerprint(owners=recipe.use_ctr),
        git_sha=git_sha(),
        files=files,
        n_items=len(dataset.items),
        n_pairs={split: pairs for split, (pairs, _) in counts.items()},
        n_channels={split: channels for split, (_, channels) in counts.items()},
        best_epoch=outcome.best_epoch,
        shipped=outcome.shipped,
        history=outcome.history,
        notes=list(outcome.notes),
        findings={finding.kind: finding.sentence for finding in outcome.findings},
        sub_score_agreement=outcome.sub_scores.agreement if outcome.sub_scores is not None else {},
        trained_at=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(seconds, 2),
    )
    save_card(folder, card)
    return card
