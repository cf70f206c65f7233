"""Judging the challenger: evaluate it, hold it against the champion on the same pairs, decide, and write all of it down.

What belongs here: the one sequence that needs the database, the registry and the evaluation together. Moving the champion's
alias is a step of its own (`deploy`), so that a report can be read before anything changes.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from thumbrank_core.bootstrap import Interval, draw_weights, interval, ratio_draws
from thumbrank_core.errors import ThumbrankError
from thumbrank_core.evaluation import report
from thumbrank_core.evaluation.evaluate import CEILING, MODEL, Evaluation, evaluate
from thumbrank_core.evaluation.gate import Champion, Verdict, decide
from thumbrank_core.evaluation.records import record_evaluation
from thumbrank_core.evaluation.truth import Truth
from thumbrank_core.features.precision import as_trained
from thumbrank_core.features.specs import EncoderSet, load_set
from thumbrank_core.features.tuned import tuned_base, tuned_set
from thumbrank_core.labels.labelling import read_curves
from thumbrank_core.metrics import channel_sums, pair_concordance
from thumbrank_core.model.bundle import Bundle, load_bundle
from thumbrank_core.registry import Registry, Version
from thumbrank_core.settings import Settings
from thumbrank_core.store.database import Database
from thumbrank_core.store.images import ImageStore
from thumbrank_core.training.dataset import Dataset, DatasetError
from thumbrank_core.training.loading import load_dataset


@dataclass(frozen=True)
class Assessment:
    """A judged challenger: its figures, the verdict, and where the page is."""

    version: Version
    bundle: Bundle
    evaluation: Evaluation
    verdict: Verdict
    page: Path


@dataclass(frozen=True)
class Deployment:
    """What deploying did. `changed` is False when the champion stays."""

    champion: int | None
    changed: bool
    says: str


class EncodersChanged(ThumbrankError):
    """The encoder set of a bundle is no longer what it was when the bundle was trained."""


def truth_file(settings: Settings) -> Path:
    """Where the demo keeps its world's true effects; real data have no such file."""
    return settings.home / "simulator" / "truth.json"


def assess(database: Database, settings: Settings, registry: Registry) -> Assessment:
    """Evaluate the challenger and write the report, its JSON, the rows and the verdict's tags.

    Raises:
        RegistryError: nothing was trained yet.
        ThumbrankError: the bundle, its data or its test pairs are not there.
    """
    version = registry.challenger()
    bundle = load_bundle(version.folder)
    dataset = load_dataset(database, version.niches, _encoders(bundle))
    truth = _truth(settings, dataset)
    evaluation = evaluate(dataset, bundle, truth)
    with database.connection() as connection:
        curves = read_curves(connection, dataset.niches)
    verdict = decide(evaluation, _champion(database, registry, version, dataset, evaluation))
    folder = settings.reports / version.fingerprint[:12]
    images = ImageStore(settings.images)
    page = report.write(folder, report.render(evaluation, verdict, bundle.card, dataset, images, curves, truth))
    (folder / "evaluation.json").write_text(json.dumps(summary(evaluation, verdict), indent=2) + "\n", encoding="utf-8")
    with database.connection() as connection:
        record_evaluation(connection, evaluation, bundle.card.weights_sha256, version.number)
    registry.tag(
        version.number,
        {
            "gate": verdict.status,
            "gate_sentence": verdict.sentence,
            "pair_accuracy_micro": f"{evaluation.model.metrics['pair_accuracy_micro'].value:.4f}",
            "evaluated_at": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )
    return Assessment(version, bundle, evaluation, verdict, page)


def deploy(registry: Registry) -> Deployment:
    """Point `champion` at the challenger if its verdict was a pass.

    Raises:
        ThumbrankError: the challenger has not been evaluated.
    """
    challenger, champion = registry.challenger(), registry.get("champion")
    number = champion.number if champion else None
    gate, sentence = registry.verdict(challenger.number)
    if gate is None:
        raise ThumbrankError(f"Version {challenger.number} has no verdict yet: run evaluation_report first.")
    if challenger.number == number:
        return Deployment(number, False, f"Version {challenger.number} is the champion already.")
    if gate != "pass":
        return Deployment(number, False, sentence)
    registry.point("champion", challenger.number)
    return Deployment(challenger.number, True, sentence)


def summary(evaluation: Evaluation, verdict: Verdict) -> dict[str, Any]:
    """The figures of an evaluation as plain JSON."""
    scorers = evaluation.overall.scorers
    accuracy, auc = (scorers[MODEL].metrics[name] for name in ("pair_accuracy_micro", "pair_auc_pooled"))
    return {
        "label": evaluation.label,
        "pair_accuracy": accuracy.value,
        "ci_low": accuracy.low,
        "ci_high": accuracy.high,
        "pair_auc": auc.value,
        "pair_auc_ci_low": auc.low,
        "pair_auc_ci_high": auc.high,
        "spearman_within_channel": _finite(scorers[MODEL].metrics["spearman_within_channel"].value),
        "ceiling": scorers[CEILING].metrics["pair_accuracy_micro"].value if CEILING in scorers else None,
        "references": {s.name: s.metrics["pair_accuracy_micro"].value for s in evaluation.references},
        "reference_intervals": {
            s.name: [s.metrics["pair_accuracy_micro"].low, s.metrics["pair_accuracy_micro"].high]
            for s in evaluation.references
        },
        "minus_model": {
            s.name: {"value": s.above_model.value, "ci_low": s.above_model.low, "ci_high": s.above_model.high}
            for s in evaluation.references
        },
        "n_pairs": evaluation.overall.n_pairs,
        "n_test_channels": evaluation.overall.n_channels,
        "all_pairs": {
            "n_pairs": evaluation.all_pairs.n_pairs,
            "n_channels": evaluation.all_pairs.n_channels,
            "newer_wins": evaluation.all_pairs.newer_wins.value,
            "newer_wins_interval": [evaluation.all_pairs.newer_wins.low, evaluation.all_pairs.newer_wins.high],
            "test_pairs_later_in_time": evaluation.all_pairs.later,
        },
        "id_memoriser": {
            "unseen_channels": evaluation.leak.unseen.value,
            "random_pairs": evaluation.leak.random_pairs.value if evaluation.leak.random_pairs else None,
        },
        "verdict": verdict.status,
        "verdict_sentence": verdict.sentence,
        "caveats": report.caveats(evaluation),
    }


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _encoders(bundle: Bundle) -> EncoderSet:
    """The encoders that the bundle was trained with.

    Raises:
        EncodersChanged: config/encoders.yaml names others under that name.
    """
    card = bundle.card
    if card.tuned_encoder is None:
        encoders = as_trained(load_set(card.encoder_set), card.image_encoder, card.title_encoder)
    else:
        folder = bundle.folder / card.tuned_encoder
        base = tuned_base(folder).encoder_id
        encoders = tuned_set(as_trained(load_set(card.encoder_set), base, card.title_encoder), folder)
    if (encoders.image.encoder_id, encoders.title.encoder_id) != (card.image_encoder, card.title_encoder):
        raise EncodersChanged(
            f"The encoder set {card.encoder_set} is not the one the model was trained with: train again, or restore "
            "config/encoders.yaml."
        )
    return encoders


def _truth(settings: Settings, dataset: Dataset) -> Truth | None:
    path = truth_file(settings)
    if dataset.sources != ["simulator"] or not path.is_file():
        return None
    return Truth.load(path)


def _champion(
    database: Database, registry: Registry, version: Version, dataset: Dataset, evaluation: Evaluation
) -> Champion | None:
    """The champion on the very same test pairs, or None where there is none or it is the challenger itself."""
    champion = registry.get("champion")
    if champion is None or champion.number == version.number:
        return None
    missing = tuple(niche for niche in champion.niches if niche not in version.niches)
    return Champion(champion.number, missing, _against(database, champion, dataset, evaluation))


def _against(database: Database, champion: Version, dataset: Dataset, evaluation: Evaluation) -> Interval | None:
    """Challenger minus champion in micro pair accuracy, paired; None where the champion cannot score these pairs."""
    bundle = load_bundle(champion.folder)
    try:
        theirs = load_dataset(database, dataset.niches, _encoders(bundle))
    except (DatasetError, EncodersChanged):
        return None
    by_video = dict(zip(theirs.items.video_id, bundle.score(theirs.items.image, theirs.items.text), strict=True))
    score = np.array([by_video.get(video, np.nan) for video in dataset.items.video_id])
    pairs = evaluation.test
    difference = score[pairs.a] - score[pairs.b]
    if not np.isfinite(difference).all():
        return None
    _, channel = np.unique(pairs.channel, return_inverse=True)
    n_channels = evaluation.overall.n_channels
    weights = draw_weights(n_channels)
    own = evaluation.scores[MODEL][pairs.a] - evaluation.scores[MODEL][pairs.b]
    gain = pair_concordance(own, pairs.outcome) - pair_concordance(difference, pairs.outcome)
    sums, counts = channel_sums(gain, channel, n_channels)
    return interval(float(sums.sum() / counts.sum()), ratio_draws(sums, counts, weights))
