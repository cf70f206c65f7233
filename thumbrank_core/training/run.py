"""One training run from a data set to a bundle on disk; nothing retrains when nothing changed, and a killed run goes on."""

import hashlib
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from thumbrank_core.features import tuned
from thumbrank_core.features.specs import EncoderSet
from thumbrank_core.model import exports, onnx_export
from thumbrank_core.model.bundle import CARD, WEIGHTS, BundleCard, BundleError, load_bundle, save_card, save_weights
from thumbrank_core.progress import say
from thumbrank_core.training import manifest, processes
from thumbrank_core.training.checks import check_dataset
from thumbrank_core.training.dataset import SPLITS, Dataset
from thumbrank_core.training.fine_tuning import FineTuning, TuningStores
from thumbrank_core.training.ongoing import Trained
from thumbrank_core.training.pipeline import BEST, LAST, TrainingPipeline, new_model
from thumbrank_core.training.recipe import Recipe
from thumbrank_core.training.tracking.interface import Tracker
from thumbrank_core.training.tracking.source import git_sha

CODE_VERSION = "4"
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
class Mark:
    """What a training is known by. `data_sha256`: the digest of what is learnt from; `fingerprint`: of that, the recipe, the
    encoders and the code. A bundle is named after it: equal fingerprints are equal models."""

    data_sha256: str
    fingerprint: str

    @property
    def name(self) -> str:
        """Of the bundle's folder, and of whatever else is kept of that training."""
        return self.fingerprint[:12]


def mark_of(dataset: Dataset, recipe: Recipe, encoders: EncoderSet) -> Mark:
    """The mark of training on this data with this recipe; it reads all of the data."""
    data = dataset.fingerprint(owners=recipe.use_ctr)
    parts = (data, recipe.sha256, encoders.image.encoder_id, encoders.title.encoder_id, CODE_VERSION)
    return Mark(data, hashlib.sha256("\n".join(parts).encode()).hexdigest())


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
    stores: TuningStores | None = None,
    mark: Mark | None = None,
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
        mark: of these three, where it is known already.

    Returns:
        The run; None in the processes of several that do not write.

    Raises:
        DatasetError: nothing to train on or to select on, or a picture that is to be fine-tuned on cannot be had.
        CheckpointError: `resume` is not of this run.
        OnnxError: what was written does not compute what was trained.
    """
    mark = mark or mark_of(dataset, recipe, encoders)
    folder = models / mark.name
    existing = find_bundle(folder)
    if existing is not None:
        return TrainingRun(folder, existing, trained=False)
    started = time.monotonic()
    tuning = None if recipe.freeze_clip else _fine_tuning(dataset, recipe, encoders, stores)
    own = checkpoints / mark.name if checkpoints is not None else None
    model = new_model(dataset, recipe)
    with nullcontext() if tuning is None else tuning.pictures(models.parent / "scratch") as source:
        model.tower = tuning.tail if tuning is not None else None
        pipeline = TrainingPipeline(
            model,
            recipe=recipe,
            data=dataset,
            source=source,
            trackers=trackers,
            checkpoints=own,
            data_sha256=mark.data_sha256,
        )
        _go_on(pipeline, resume, own)
        outcome = pipeline.train()
    if processes.worker().rank > 0:
        return None
    shipped = encoders if tuning is None else tuning.write(folder / tuned.FOLDER)
    outcome.model.tower = None
    card = _write(folder, dataset, recipe, shipped, outcome, mark, time.monotonic() - started)
    exports.publish_state(folder, models)
    if own is not None:
        (own / LAST).unlink(missing_ok=True)
    return TrainingRun(folder, card, trained=True)


def _fine_tuning(dataset: Dataset, recipe: Recipe, encoders: EncoderSet, stores: TuningStores | None) -> FineTuning:
    if stores is None:
        raise ValueError("Fine-tuning CLIP needs the stores of pictures and vectors.")
    check_dataset(dataset)  # training does it too, but after pictures went through the tower, which is long
    return FineTuning(dataset, recipe, encoders, stores)


def _go_on(pipeline: TrainingPipeline, resume: Path | None, own: Path | None) -> None:
    """Stand where an interrupted run stood."""
    found = resume
    if found is None and own is not None:
        kept = [path for path in own.glob("*.pt") if path.name in (LAST, BEST) or path.stem.startswith("model_epoch_")]
        found = max(kept, key=lambda path: path.stat().st_mtime_ns, default=None)
    if found is not None:
        pipeline.load_checkpoint(found)
        say(f"Continuing from {found}.")


def _write(
    folder: Path,
    dataset: Dataset,
    recipe: Recipe,
    encoders: EncoderSet,
    outcome: Trained,
    mark: Mark,
    seconds: float,
) -> BundleCard:
    """The bundle's files, the card last: a folder with a card is a whole bundle. `encoders`: those that the bundle scores with."""
    counts = {split: dataset.counts(split) for split in SPLITS}
    card = BundleCard(
        fingerprint=mark.fingerprint,
        weights_sha256=save_weights(folder, outcome.model),
        image_encoder=encoders.image.encoder_id,
        title_encoder=encoders.title.encoder_id,
        network=outcome.model.shape,
        encoder_set=encoders.name,
        tuned_encoder=None if recipe.freeze_clip else tuned.FOLDER,
        label=dataset.label,
        owner_rates=outcome.ctr_owner is not None,
        recipe=recipe.model_copy(update={"ctr_owner": None}).model_dump(),
        niches=dataset.versions,
        cuts=dataset.cuts,
        data_sha256=mark.data_sha256,
        git_sha=git_sha(),
        files={},
        n_items=len(dataset.items),
        n_pairs={split: pairs for split, (pairs, _) in counts.items()},
        n_channels={split: channels for split, (_, channels) in counts.items()},
        best_epoch=outcome.best_epoch,
        shipped=outcome.shipped,
        history=outcome.history,
        notes=list(outcome.notes),
        findings={finding.kind: finding.sentence for finding in outcome.findings},
        temperature=outcome.temperature,
        sub_score_agreement=outcome.sub_scores.agreement if outcome.sub_scores is not None else {},
        trained_at=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(seconds, 2),
    )
    names = card.model_dump(include={"fingerprint", "weights_sha256", "image_encoder", "title_encoder"})
    files = {
        exports.STATE: exports.save_state(folder, outcome.model),
        onnx_export.ONNX: onnx_export.export_onnx(folder, outcome.model, names),
    }
    manifest.write_manifest(dataset, folder / manifest.MANIFEST)
    whole = card.model_copy(update={"files": files})
    save_card(folder, whole)
    return whole
