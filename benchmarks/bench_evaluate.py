"""Claim: the intervals hold the truth as often as they say, and a whole evaluation takes less than a minute.

Coverage: 2,000 worlds of scores and labels (score_worlds.py) of 100 and of 300 channels; how often 95 % intervals of micro pair
accuracy hold the generator's truth: plain percentiles, BCa, the t interval of the delta method, the expanded percentiles that
are shipped, and a bootstrap of pairs. Standard error of a coverage: half a point.
Cost: every part of an evaluation of 40,000 thumbnails of 300 unseen channels, with the reference models fitted on 50,000
others, 2,000 draws, slices, calibration and the page; and 2,000 draws of pair accuracy and AUC against a loop of scikit-learn's
roc_auc_score over 20 draws of the same channels, scaled.

    make bench NAME=evaluate
"""

import json
import resource
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from thumbrank_core.array_types import Floats

sys.path.insert(0, str(Path(__file__).resolve().parent))
import numpy as np
from measure import report
from scipy.stats import norm
from scipy.stats import t as student
from score_worlds import drawn_sums, truth
from sklearn.metrics import roc_auc_score
from train_worlds import drawn

from thumbrank_core.bootstrap import (
    DRAWS,
    LEVEL,
    auc_draws,
    auc_histogram,
    draw_weights,
    effective_channels,
    expanded_tail,
    interval,
    ratio_draws,
)
from thumbrank_core.evaluation.evaluate import evaluate
from thumbrank_core.evaluation.pictures import pictures_of
from thumbrank_core.features.specs import load_set
from thumbrank_core.metrics import channel_sums, pair_auc_pooled, pair_concordance
from thumbrank_core.model.bundle import load_bundle
from thumbrank_core.progress import console_sink, listen
from thumbrank_core.training.dataset import Dataset, Pairs, Traits
from thumbrank_core.training.recipe import load_recipe
from thumbrank_core.training.run import train_bundle

WORLDS = 2000
SIZES = (100, 300)
THUMBNAILS = 95_000
SHARES = (0.5266, 0.579)
"""Of 712 channels: 375 train (50,000 thumbnails), 37 validate, 300 are unseen (40,000)."""
CUT_DAY = 60.0
SKLEARN_DRAWS = 20
REPEATS = 3

Row = dict[str, Any]


def coverage(n_channels: int) -> Row:
    """How often each interval holds the truth, and how wide it is, over WORLDS worlds."""
    rng = np.random.default_rng(n_channels)
    right, pairs = np.empty((n_channels, WORLDS)), np.empty((n_channels, WORLDS))
    for world in range(WORLDS):
        right[:, world], pairs[:, world] = drawn_sums(n_channels, rng)
    weights = draw_weights(n_channels)
    draws = np.sort(ratio_draws(right, pairs, weights), axis=0)
    value = right.sum(axis=0) / pairs.sum(axis=0)
    tail = (1 - LEVEL) / 2
    even = np.full(WORLDS, tail)
    effective = np.array([effective_channels(pairs[:, world]) for world in range(WORLDS)])
    expanded = np.array([expanded_tail(channels) for channels in effective])
    by_channels = np.full(WORLDS, expanded_tail(n_channels))
    lower, upper = _bca(right, pairs, value, draws, tail)
    reach = _delta_error(right, pairs, value) * student.ppf(1 - tail, effective - 1)
    of_pairs = np.random.default_rng(0).binomial(pairs.sum(axis=0).astype(int), value, (DRAWS, WORLDS)) / pairs.sum(
        axis=0
    )
    found = {
        "shipped_expanded_percentile_effective_channels": _quantiles(draws, expanded, 1 - expanded),
        "expanded_percentile_channels": _quantiles(draws, by_channels, 1 - by_channels),
        "percentile": _quantiles(draws, even, 1 - even),
        "bca": _quantiles(draws, lower, upper),
        "t_delta_method": (value - reach, value + reach),
        "pair_level_bootstrap": _quantiles(np.sort(of_pairs, axis=0), even, 1 - even),
    }
    _check_shipped(right[:, 0], pairs[:, 0], weights, found["shipped_expanded_percentile_effective_channels"])
    row: Row = {
        "part": "coverage",
        "channels": n_channels,
        "worlds": WORLDS,
        "truth": round(truth(), 4),
        "mean_estimate": round(float(value.mean()), 4),
        "mean_effective_channels": round(float(effective.mean()), 1),
    }
    for name, (low, high) in found.items():
        row[name] = round(float(np.mean((low <= truth()) & (truth() <= high))), 4)
        row[f"{name}_width"] = round(float(np.mean(high - low)), 4)
    return row


def _check_shipped(right: Floats, pairs: Floats, weights: Floats, bounds: tuple[Floats, Floats]) -> None:
    """What is measured here is what the library gives."""
    found = interval(0.0, ratio_draws(right, pairs, weights), effective_channels(pairs))
    assert np.allclose([found.low, found.high], [bounds[0][0], bounds[1][0]], atol=1e-9), "not the shipped interval"


def _quantiles(draws: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Of sorted draws (draws, worlds), a share for each world."""

    def at(share: Floats) -> Floats:
        place = np.clip(share, 0, 1) * (len(draws) - 1)
        below = np.floor(place).astype(int)
        above = np.minimum(below + 1, len(draws) - 1)
        world = np.arange(draws.shape[1])
        return draws[below, world] * (1 - place % 1) + draws[above, world] * (place % 1)

    return at(low), at(high)


def _bca(right: Floats, pairs: Floats, value: Floats, draws: Floats, tail: float) -> tuple[Floats, Floats]:
    """Efron's bias-corrected and accelerated shares, by the jackknife over channels."""
    bias = norm.ppf((draws < value).mean(axis=0))
    left_out = (right.sum(axis=0) - right) / (pairs.sum(axis=0) - pairs)
    apart = left_out.mean(axis=0) - left_out
    acceleration = (apart**3).sum(axis=0) / (6 * (apart**2).sum(axis=0) ** 1.5)

    def share(quantile: float) -> Floats:
        moved = bias + quantile
        return norm.cdf(bias + moved / (1 - acceleration * moved))

    return share(float(norm.ppf(tail))), share(float(norm.ppf(1 - tail)))


def _delta_error(right: Floats, pairs: Floats, value: Floats) -> Floats:
    n = len(right)
    return np.sqrt(((right - value * pairs) ** 2).sum(axis=0) * n / (n - 1)) / pairs.sum(axis=0)


def whole() -> tuple[Row, Dataset, Floats]:
    """Seconds of a whole evaluation, and what it was of."""
    world = drawn(THUMBNAILS, 0, SHARES, CUT_DAY)
    dataset = _with_traits(world.dataset)
    with tempfile.TemporaryDirectory(prefix="thumbrank-bench-evaluate-") as folder, listen(console_sink()):
        run = train_bundle(dataset, load_recipe("default", {"epochs": 3}), load_set("tiny"), Path(folder))
        assert run is not None, "one process writes the bundle"
        bundle = load_bundle(run.folder)
        seconds: list[float] = []
        for _ in range(REPEATS):
            begun = time.perf_counter()
            found = evaluate(dataset, bundle)
            seconds.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        pictures_of(found, bundle.card)
        pictures_s = time.perf_counter() - begun
    row: Row = {
        "part": "whole",
        "unseen_thumbnails": int((dataset.items.split == 2).sum()),
        "unseen_channels": found.unseen.n_channels,
        "unseen_pairs": found.unseen.n_pairs,
        "later_pairs": found.later.n_pairs if found.later else 0,
        "training_thumbnails": int((dataset.items.split == 0).sum()),
        "scorers": len(found.unseen.scorers),
        "slices": len(found.slices),
        "draws": DRAWS,
        "evaluate_s": round(statistics.median(seconds), 1),
        "evaluate_s_each": [round(value, 1) for value in seconds],
        "pictures_s": round(pictures_s, 1),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "accuracy": {
            scored.name: round(scored.metrics["pair_accuracy_micro"].value, 4)
            for scored in found.unseen.scorers.values()
        },
    }
    return row, dataset, found.scores["model"]


def _with_traits(dataset: Dataset) -> Dataset:
    rng = np.random.default_rng(1)
    n = len(dataset.items)
    traits = Traits(
        duration_s=rng.uniform(60, 3600, n),
        has_text=(rng.random(n) < 0.8).astype(np.float64),
        has_face=(rng.random(n) < 0.3).astype(np.float64),
        subscribers=np.exp(rng.normal(11, 2, len(dataset.channels))),
    )
    return replace(dataset, traits=traits)


def speedup(dataset: Dataset, score: Floats) -> Row:
    """2,000 draws of pair accuracy and pooled AUC, against scikit-learn draw by draw."""
    pairs = dataset.of("test")
    difference = score[pairs.a] - score[pairs.b]
    ours: list[float] = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        accuracy, auc = _ours(difference, pairs)
        ours.append(time.perf_counter() - begun)
    begun = time.perf_counter()
    plain = _scikit_learn(difference, pairs)
    plain_s = (time.perf_counter() - begun) / SKLEARN_DRAWS * DRAWS
    exact = pair_auc_pooled(difference, pairs.outcome)
    return {
        "part": "bootstrap",
        "pairs": len(pairs),
        "ours_s": round(statistics.median(ours), 3),
        "scikit_learn_s_scaled": round(plain_s, 1),
        "bootstrap_speedup": round(plain_s / statistics.median(ours), 1),
        "auc_exact": round(exact, 6),
        "auc_mean_of_draws": round(float(auc.mean()), 6),
        "auc_sd_ours": round(float(auc.std()), 5),
        "auc_sd_scikit_learn": round(float(np.std(plain)), 5),
        "accuracy_sd": round(float(accuracy.std()), 5),
    }


def _ours(difference: Floats, pairs: Pairs) -> tuple[Floats, Floats]:
    _, channel = np.unique(pairs.channel, return_inverse=True)
    n = int(channel.max()) + 1
    weights = draw_weights(n)
    sums, counts = channel_sums(pair_concordance(difference, pairs.outcome), channel, n)
    return (
        ratio_draws(sums, counts, weights),
        auc_draws(auc_histogram(difference, pairs.outcome, channel, n), weights),
    )


def _scikit_learn(difference: Floats, pairs: Pairs) -> list[float]:
    """Draw channels, put their pairs together in both orders, call roc_auc_score."""
    rng = np.random.default_rng(0)
    channels = np.unique(pairs.channel)
    rows = {int(channel): np.flatnonzero(pairs.channel == channel) for channel in channels}
    won = (pairs.outcome > 0.5).astype(int)
    found: list[float] = []
    for _ in range(SKLEARN_DRAWS):
        chosen = np.concatenate([rows[int(channel)] for channel in rng.choice(channels, len(channels))])
        found.append(
            float(
                roc_auc_score(
                    np.concatenate([won[chosen], 1 - won[chosen]]),
                    np.concatenate([difference[chosen], -difference[chosen]]),
                )
            )
        )
        float(np.mean((difference[chosen] > 0) == won[chosen]))
    return found


def main() -> None:
    covered = {size: coverage(size) for size in SIZES}
    for row in covered.values():
        print(json.dumps(row), flush=True)
    cost, dataset, score = whole()
    print(json.dumps(cost), flush=True)
    faster = speedup(dataset, score)
    name = "shipped_expanded_percentile_effective_channels"
    summary = {
        "evaluate_s_40k": cost["evaluate_s"],
        "bootstrap_speedup": faster["bootstrap_speedup"],
        "coverage_100": covered[100][name],
        "coverage_300": covered[300][name],
        "coverage_pair_level": covered[300]["pair_level_bootstrap"],
        "coverage_pair_level_100": covered[100]["pair_level_bootstrap"],
    }
    report("evaluate", ("numpy", "scipy", "scikit-learn"), [*covered.values(), cost, faster, summary])
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
