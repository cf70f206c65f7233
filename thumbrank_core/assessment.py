"""Judging a model: evaluate it, hold it against the champion on the same pairs, decide, and write all of it down.

What belongs here: the one sequence that needs the database, the registry and the evaluation together. Moving the champion's
alias is a step of its own (promotion.py), so that a report can be read before anything changes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from thumbrank_core.array_types import Floats
from thumbrank_core.bootstrap import Interval
from thumbrank_core.evaluation import cards, report
from thumbrank_core.evaluation.ab_reading import read_ab_pairs
from thumbrank_core.evaluation.evaluate import digest_of, evaluate
from thumbrank_core.evaluation.figures import Evaluation
from thumbrank_core.evaluation.floors import Phase, load_gate
from thumbrank_core.evaluation.gate import Champion, DataCounts, GateInputs, SliceLead, Verdict, decide
from thumbrank_core.evaluation.pictures import Plot, pictures_of
from thumbrank_core.evaluation.records import record_evaluation
from thumbrank_core.evaluation.references import LINEAR, MEMORISER, NEWER, RIDGE, SHUFFLED
from thumbrank_core.evaluation.slices import lead
from thumbrank_core.evaluation.summary import summary
from thumbrank_core.evaluation.truth import Truth
from thumbrank_core.features.specs import EncoderError
from thumbrank_core.features.tuned import embed_pictures
from thumbrank_core.features.wanted import wanted_items
from thumbrank_core.labels.labelling import read_curves
from thumbrank_core.model.bundle import Bundle, BundleCard, BundleError
from thumbrank_core.model.clean_process import loads_cleanly
from thumbrank_core.model.encoders import EncodersChanged, encoders_of
from thumbrank_core.policy import load_policy
from thumbrank_core.registry import Registry, RegistryError, Version
from thumbrank_core.settings import Settings
from thumbrank_core.store.database import Database
from thumbrank_core.store.images import ImageStore
from thumbrank_core.training.dataset import Dataset, DatasetError
from thumbrank_core.training.loading import load_dataset


@dataclass(frozen=True)
class Judged:
    """A model's figures, the verdict, and where its pages are. `pictures`: the plots of the page, by name."""

    bundle: Bundle
    evaluation: Evaluation
    verdict: Verdict
    page: Path
    pictures: Mapping[str, Plot]


@dataclass(frozen=True)
class Assessment(Judged):
    """The same of a registered version."""

    version: Version


def truth_file(settings: Settings) -> Path:
    """Where the demo keeps its world's true effects; real data have no such file."""
    return settings.home / "simulator" / "truth.json"


def assess(database: Database, settings: Settings, registry: Registry) -> Assessment:
    """Judge the challenger: the report, its JSON, the cards, the rows, the pictures in its MLflow run and the verdict on the
    version.

    Raises:
        RegistryError: nothing was trained yet.
        ThumbrankError: the bundle, its data or its test pairs are not there.
    """
    version = registry.challenger()
    found = judge(database, settings, registry, version.bundle(), version.niches, version.fingerprint[:12])
    registry.record_verdict(
        version.number,
        found.verdict,
        {
            "pair_accuracy_micro": f"{found.evaluation.model.metrics['pair_accuracy_micro'].value:.4f}",
            "evaluated_at": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )
    registry.add_pictures(version, {name: picture.png for name, picture in found.pictures.items()})
    return Assessment(found.bundle, found.evaluation, found.verdict, found.page, found.pictures, version)


def judge(
    database: Database, settings: Settings, registry: Registry, bundle: Bundle, niches: Sequence[str], folder: str
) -> Judged:
    """Measure a bundle on what the database holds of these niches, decide, and write the report, its JSON, the cards and the rows
    of `model_evaluations`.

    Args:
        database: where pairs and vectors are.
        settings: where reports and pictures are.
        registry: who knows the champion, and the bundle's version if it has one.
        bundle: the model; the challenger or any other.
        niches: whose data.
        folder: where the report goes, below the reports.

    Raises:
        ThumbrankError: the data or the test pairs are not there.
    """
    images, begun = ImageStore(settings.images), datetime.now(UTC)
    dataset = _data(database, images, bundle, niches)
    tests = read_ab_pairs(database, images, encoders_of(bundle), dataset.niches, offline=settings.offline)
    standing = registry.get("champion")
    rival = (
        None
        if standing is None or standing.fingerprint == bundle.card.fingerprint
        else _rival(database, images, standing, dataset, bundle)
    )
    truth = _truth(settings, dataset)
    since = max([*dataset.cuts.values(), *bundle.card.cuts.values(), *(rival.cuts if rival else ())], default=None)
    if tests is not None and rival is not None and rival.bundle is not None and rival.theirs is dataset:
        tests = replace(tests, champion=rival.bundle.score(tests.variants.image, tests.variants.text))
    evaluation = evaluate(dataset, bundle, truth, rival.score if rival is not None else None, since, tests)
    with database.connection() as connection:
        curves = read_curves(connection, dataset.niches)
    verdict = decide(
        gate_inputs(evaluation, bundle.card, dataset, loads_cleanly(bundle.folder)),
        load_gate(),
        None
        if standing is None or rival is None
        else champion_of(dataset, evaluation, standing, rival, bundle.card, since),
    )
    place = settings.reports / folder
    pictures = pictures_of(evaluation, bundle.card, curves, truth)
    page = report.write(place, report.render(evaluation, verdict, bundle.card, dataset, images, pictures))
    policy = load_policy(profile=settings.profile)
    for name, text in {
        "evaluation.json": json.dumps(summary(evaluation, verdict), indent=2, allow_nan=False) + "\n",
        cards.MODEL_CARD: cards.model_card(evaluation, verdict, bundle.card, dataset),
        cards.DATA_CARD: cards.data_card(dataset, bundle.card, curves, policy),
    }.items():
        report.write(place, text, name)
    version = registry.find(bundle.card.fingerprint)
    with database.connection() as connection:
        record_evaluation(
            connection, evaluation, bundle.card.weights_sha256, version.number if version else None, begun
        )
    return Judged(bundle, evaluation, verdict, page, pictures)


def gate_inputs(evaluation: Evaluation, card: BundleCard, dataset: Dataset, unusable: str | None) -> GateInputs:
    """What the gate looks at. `unusable`: why the bundle does not load and score in a clean process."""
    unseen, later = evaluation.unseen, evaluation.later
    metrics = evaluation.model.metrics
    return GateInputs(
        phase=phase_of(card),
        test_set=evaluation.test_set,
        n_channels=unseen.n_channels,
        n_channels_later=later.n_channels if later else 0,
        n_pairs=unseen.n_pairs,
        pair_accuracy_micro=metrics["pair_accuracy_micro"],
        pair_auc_pooled=metrics["pair_auc_pooled"],
        spearman_within_channel=metrics["spearman_within_channel"],
        above_newer=_turned(unseen.scorers[NEWER].above_model),
        above_ridge_later=_turned(later.scorers[RIDGE].above_model) if later else None,
        above_linear={name: _turned(unseen.scorers[name].above_model) for name in LINEAR},
        ece=evaluation.calibration.ece,
        memoriser=unseen.scorers[MEMORISER].metrics["pair_accuracy_micro"],
        shuffled=unseen.scorers[SHUFFLED].metrics["pair_accuracy_micro"],
        ctr_correlations=tuple(owner.spearman for owner in evaluation.owners if owner.spearman is not None),
        owners_unmeasured=sum(owner.spearman is None for owner in evaluation.owners),
        data=DataCounts(
            thumbnails=len(dataset.items),
            channels=len(dataset.channels),
            pairs=len(dataset.pairs),
            ctr_videos=sum(len(rates.item) for rates in dataset.owners.values()),
        ),
        unusable=unusable,
    )


def phase_of(card: BundleCard) -> Phase:
    """The guide's phase of a model: 1 with CLIP frozen, 3 with all of it trained, 2 between."""
    if card.recipe["freeze_clip"]:
        return 1
    return 3 if card.recipe["fine_tune_blocks"] == "all" else 2


@dataclass(frozen=True)
class Rival:
    """The champion on the candidate's items.

    `score` (n,): None where it cannot score one of the pairs', and `mute` says why. `theirs`: the data set as its encoders see it,
    the candidate's own where they are the same. `cuts`: up to where it was trained. `bundle`: None where it cannot be loaded.
    """

    score: Floats | None
    theirs: Dataset | None
    cuts: tuple[float, ...]
    mute: str | None = None
    bundle: Bundle | None = None


def champion_of(
    dataset: Dataset, evaluation: Evaluation, standing: Version, rival: Rival, card: BundleCard, since: float | None
) -> Champion:
    """What the gate asks of who stands to be replaced; its lead is taken over the niches that it learnt, on pairs from `since` on."""
    pairs = dataset.later("test", since)
    n_later = len(dataset.later("test", since))
    pairs = pairs.take(np.isin(pairs.niche, [n for n, niche in enumerate(dataset.niches) if niche in standing.niches]))
    return Champion(
        version=standing.number,
        lost_niches=tuple(niche for niche in standing.niches if niche not in card.niches),
        test_set="none" if rival.theirs is None else digest_of(rival.theirs, rival.theirs.later("test", since)),
        lead=lead(evaluation.scores, pairs) if rival.score is not None and len(pairs) else None,
        slices=tuple(
            SliceLead(part.by, part.name, part.n_channels, part.lead)
            for part in evaluation.later_slices
            if part.lead is not None and part.n_pairs < n_later  # of all pairs it would repeat `lead`
        ),
        mute=rival.mute,
    )


def _data(database: Database, images: ImageStore, bundle: Bundle, niches: Sequence[str]) -> Dataset:
    """The data set by the bundle's own encoders; where it tuned one, pictures that came since get their vectors first."""
    encoders = encoders_of(bundle)
    if bundle.card.tuned_encoder is not None:
        with database.connection() as connection:
            shown = [item.picture for niche in niches for item in wanted_items(connection, niche)]
        embed_pictures(database, images, encoders.image, dict.fromkeys(shown))
    return load_dataset(database, niches, encoders)


def _rival(database: Database, images: ImageStore, standing: Version, dataset: Dataset, candidate: Bundle) -> Rival:
    """The champion on the very same items. One that cannot be loaded or has no vectors keeps nobody from being judged."""
    try:
        bundle = standing.bundle()
        same = bundle.card.image_encoder == candidate.card.image_encoder
        same = same and bundle.card.title_encoder == candidate.card.title_encoder
        theirs = dataset if same else _data(database, images, bundle, dataset.niches)
    except (BundleError, RegistryError, DatasetError, EncodersChanged, EncoderError) as error:
        return Rival(None, None, (), f"it cannot score them: {error}")
    score = bundle.score(theirs.items.image, theirs.items.text)
    if theirs is not dataset:
        known = dict(zip(theirs.items.video_id, score, strict=True))
        score = np.array([known.get(video, np.nan) for video in dataset.items.video_id])
    test, cuts = dataset.items_of("test"), tuple(bundle.card.cuts.values())
    if not np.isfinite(score[test]).all():
        return Rival(
            None, theirs, cuts, "its encoders have no vectors of some of these pairs: run embeddings with its set"
        )
    return Rival(score, theirs, cuts, bundle=bundle)


def _turned(gap: Interval) -> Interval:
    """From "scorer minus model" to "model minus scorer"."""
    return Interval(-gap.value, -gap.high, -gap.low)


def _truth(settings: Settings, dataset: Dataset) -> Truth | None:
    path = truth_file(settings)
    if dataset.sources != ["simulator"] or not path.is_file():
        return None
    return Truth.load(path)
