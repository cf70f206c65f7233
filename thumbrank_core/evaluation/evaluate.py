"""Measuring scorers: one table for the model, the reference models, the champion and, where a simulated world knows it, the
ceiling; on unseen channels, on those later in time, and on seen channels later; each figure with its interval and its n.

What belongs here: the sequence, and the table of a set of pairs. Parts of a set are slices.py, probabilities calibration.py.
"""

import hashlib
from collections.abc import Mapping

import numpy as np

from thumbrank_core.array_types import Floats, Ints
from thumbrank_core.bootstrap import (
    auc_draws,
    auc_histogram,
    draw_weights,
    effective_channels,
    interval,
    mean_draws,
    ratio_draws,
    ratio_interval,
)
from thumbrank_core.errors import ThumbrankError
from thumbrank_core.evaluation.ab_tests import AbPairs, measure_tests
from thumbrank_core.evaluation.calibration import calibrate, cover
from thumbrank_core.evaluation.figures import (
    CEILING,
    CHAMPION,
    MODEL,
    AbFigures,
    AllPairs,
    EvaluatedPairs,
    Evaluation,
    Scored,
)
from thumbrank_core.evaluation.leak_alarm import leak_alarm
from thumbrank_core.evaluation.owners import owner_figures
from thumbrank_core.evaluation.references import MEMORISER, SHUFFLED, reference_scores, shuffled
from thumbrank_core.evaluation.slices import slices_of
from thumbrank_core.evaluation.sub_scores import sub_score_figures
from thumbrank_core.evaluation.truth import Truth
from thumbrank_core.metrics import (
    channel_sums,
    kendall_by_channel,
    pair_auc_pooled,
    pair_concordance,
    spearman_by_channel,
    top_of_three,
)
from thumbrank_core.model.bundle import Bundle
from thumbrank_core.progress import track
from thumbrank_core.training.checks import check_dataset
from thumbrank_core.training.dataset import Dataset, Pairs
from thumbrank_core.training.validation import MIN_CHANNEL_VIDEOS


class EvaluationError(ThumbrankError):
    """There is nothing to measure on."""


def evaluate(
    dataset: Dataset,
    bundle: Bundle,
    truth: Truth | None = None,
    champion: Floats | None = None,
    since: float | None = None,
    tests: AbPairs | None = None,
) -> Evaluation:
    """Measure the bundle and the reference models on channels it never saw.

    Args:
        dataset: as loaded for the bundle's niches and encoders.
        bundle: the model.
        truth: what a simulated world knows; adds the ceiling. None for real data.
        champion: (n,) the scores of who stands to be replaced, if it can score these items.
        since: where "later" begins, if not at the time cuts of `dataset`.
        tests: A/B tests, by the bundle's encoders; None where there are none.

    Raises:
        EvaluationError: there are no test pairs.
        DatasetError: there is nothing that the reference models could be fitted on.
    """
    check_dataset(dataset)
    test = dataset.of("test")
    if len(test) == 0:
        raise EvaluationError("There are no pairs in test channels: add channels, the split is a hash of their ids.")
    score = bundle.score(dataset.items.image, dataset.items.text)
    scores: dict[str, Floats] = {MODEL: score}
    fitted = reference_scores(dataset, tests.variants if tests is not None and len(tests) else None)
    references = {SHUFFLED: shuffled(dataset, score)} | fitted.items
    scores |= references
    if champion is not None:
        scores[CHAMPION] = champion
    if truth is not None:
        scores[CEILING] = np.array([truth.effects[video] for video in dataset.items.video_id])
    later, seen_later = dataset.later("test", since), dataset.later("train", since)
    with track("sets of pairs measured", 3) as advance:
        unseen = measure("unseen channels", dataset, scores, references, test)
        advance(1)
        both_later = measure("unseen channels, later", dataset, scores, references, later) if len(later) else None
        advance(1)
        owners_own = (
            measure("seen channels, later", dataset, scores, references, seen_later) if len(seen_later) else None
        )
        advance(1)
    difference = score[test.a] - score[test.b]
    return Evaluation(
        label=dataset.label,
        all_pairs=_all_pairs(dataset),
        unseen=unseen,
        later=both_later,
        seen_later=owners_own,
        slices=slices_of(dataset, scores, test),
        calibration=calibrate(difference, test, bundle.card.temperature),
        covered=cover(difference, test),
        owners=owner_figures(dataset, score),
        sub_scores=sub_score_figures(dataset, bundle, test),
        leak=leak_alarm(dataset, scores[MEMORISER]),
        scores=scores,
        test=test,
        test_set=digest_of(dataset, later),
        later_slices=slices_of(dataset, scores, later) if len(later) else [],
        ab=None if tests is None else _ab_figures(bundle, tests, fitted.variants),
    )


def _ab_figures(bundle: Bundle, tests: AbPairs, references: dict[str, Floats]) -> AbFigures:
    variants = tests.variants
    scores = {MODEL: bundle.score(variants.image, variants.text)} | references
    if tests.champion is not None:
        scores[CHAMPION] = tests.champion
    return measure_tests(tests, scores)


def digest_of(dataset: Dataset, pairs: Pairs) -> str:
    """A digest of whose pairs these are and who won them, whatever encoders their vectors are of."""
    ids = np.array(dataset.items.video_id)
    digest = hashlib.sha256(dataset.label.encode())
    order = np.lexsort((ids[pairs.b], ids[pairs.a]))
    for side in (pairs.a, pairs.b):
        digest.update("\n".join(ids[side[order]].tolist()).encode())
    digest.update(np.ascontiguousarray(pairs.outcome[order]).tobytes())
    return digest.hexdigest()


def _all_pairs(dataset: Dataset) -> AllPairs:
    pairs = dataset.pairs
    sums, counts = channel_sums(
        pair_concordance(pairs.age_gap_hours, pairs.outcome), pairs.channel, len(dataset.channels)
    )
    return AllPairs(len(pairs), len(dataset.channels), ratio_interval(sums, counts))


def measure(
    name: str, dataset: Dataset, scores: Mapping[str, Floats], references: Mapping[str, Floats], pairs: Pairs
) -> EvaluatedPairs:
    """Figures of every scorer on `pairs`, with the same channel draws for all.

    Args:
        name: of the set.
        dataset: what the pairs point into.
        scores: (n,) by scorer; the model's first.
        references: which of them are reference models.
        pairs: at least one.
    """
    _, channel = np.unique(pairs.channel, return_inverse=True)
    n_channels = int(channel.max()) + 1
    weights = draw_weights(n_channels)
    items, owner = _items_of(dataset, pairs)
    value = dataset.items.value
    ranked = np.bincount(owner, minlength=n_channels) >= MIN_CHANNEL_VIDEOS
    threes, three_owner = _in_a_row(dataset, items, owner)
    three_counts = np.bincount(three_owner, minlength=n_channels).astype(np.float64)
    _, counts = channel_sums(np.ones(len(pairs)), channel, n_channels)
    effective = effective_channels(counts)
    accuracy: dict[str, Floats] = {}
    scorers: dict[str, Scored] = {}
    for scorer, score in scores.items():
        difference = score[pairs.a] - score[pairs.b]
        sums, _ = channel_sums(pair_concordance(difference, pairs.outcome), channel, n_channels)
        accuracy[scorer] = ratio_draws(sums, counts, weights)
        micro = float(sums.sum() / counts.sum())
        histogram = auc_histogram(difference, pairs.outcome, channel, n_channels)
        metrics = {
            "pair_accuracy_micro": interval(micro, accuracy[scorer], effective),
            "pair_accuracy_macro": interval(
                float(np.mean(sums / counts)), mean_draws(sums / counts, weights), n_channels
            ),
            "pair_auc_pooled": interval(
                pair_auc_pooled(difference, pairs.outcome), auc_draws(histogram, weights), effective
            ),
        }
        for metric, by_channel in (
            ("spearman_within_channel", spearman_by_channel(score[items], value[items], owner, n_channels)),
            ("kendall_within_channel", kendall_by_channel(score[items], value[items], owner, n_channels)),
        ):
            known = np.where(ranked, by_channel, np.nan)
            there = known[np.isfinite(known)]
            mean = float(there.mean()) if len(there) else float("nan")
            metrics[metric] = interval(mean, mean_draws(known, weights), len(there))
        for metric, found in zip(("top_1_of_3", "regret_of_3"), top_of_three(score, value, threes), strict=True):
            sums, _ = channel_sums(found, three_owner, n_channels)
            mean = float(found.mean()) if len(found) else float("nan")
            metrics[metric] = interval(mean, ratio_draws(sums, three_counts, weights), effective_channels(three_counts))
        gap = micro - scorers[MODEL].metrics["pair_accuracy_micro"].value if scorers else 0.0
        above = interval(gap, accuracy[scorer] - accuracy[MODEL], effective)
        scorers[scorer] = Scored(scorer, scorer in references, metrics, above)
    return EvaluatedPairs(name, len(pairs), n_channels, effective, scorers)


def _items_of(dataset: Dataset, pairs: Pairs) -> tuple[Ints, Ints]:
    """The distinct items of the pairs, (k,), and the number of the channel of each among the pairs' channels in their order."""
    items = np.unique(np.concatenate([pairs.a, pairs.b]))
    return items, np.searchsorted(np.unique(pairs.channel), dataset.items.channel[items])


def _in_a_row(dataset: Dataset, items: Ints, owner: Ints) -> tuple[Ints, Ints]:
    """Every three uploads of a channel in a row among the items, (t, 3), and whose they are, (t,)."""
    order = np.lexsort((dataset.items.published[items], owner))
    ordered, own = items[order], owner[order]
    first = np.flatnonzero(own[2:] == own[:-2])
    return np.stack([ordered[first], ordered[first + 1], ordered[first + 2]], axis=1), own[first]
