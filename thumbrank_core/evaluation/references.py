"""Reference models: what a figure must be held against. Each gives a score per item, fitted on training channels only, up to the
time cut.

A score is compared only inside a channel, by the sign of the difference of two items.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from thumbrank_core.array_types import Floats
from thumbrank_core.evaluation.ab_tests import Variants
from thumbrank_core.evaluation.boosting import boosted
from thumbrank_core.evaluation.leak_alarm import id_memoriser
from thumbrank_core.evaluation.learnt import Learnt
from thumbrank_core.evaluation.linear import Linear
from thumbrank_core.features.signals.definitions import SIGNALS
from thumbrank_core.metrics import pair_accuracy_micro
from thumbrank_core.progress import track
from thumbrank_core.training.dataset import Dataset

NEWER, MEMORISER, RIDGE = "newer wins", "ID memoriser", "ridge on both"
SHUFFLED = "shuffled labels"
SHUFFLE_SEED = 0
LINEAR = ("ridge on title", "ridge on image", RIDGE)
COSINE = "CLIP image-title cosine"
HOUR_PRIOR = 20.0
"""Pairs of one half that each hour of the day starts with."""


@dataclass(frozen=True)
class References:
    """Scores of the reference models by name, in the order of tables: `items` (n,) of the data set's, and `variants` (v,) of A/B
    tests', of those that have something to say between variants of one video: it is published once, and its id is one."""

    items: dict[str, Floats]
    variants: dict[str, Floats]


def reference_scores(dataset: Dataset, variants: Variants | None = None) -> References:
    """Fit every reference model and score the items with it, and variants of A/B tests where there are any. The cosine of CLIP's
    image and title is left out where nobody measured it, as it is of variants."""
    learnt = Learnt(dataset)
    linear = Linear(learnt)
    models: dict[str, Callable[[], Floats]] = {
        "coin": lambda: coin(len(dataset.items)),
        MEMORISER: lambda: id_memoriser(dataset),
        NEWER: dataset.items.published.copy,
        "publish hour": lambda: publish_hour(dataset),
        "title length": lambda: title_length(dataset),
        "title capitals": lambda: title_capitals(dataset),
        COSINE: lambda: cosine(dataset),
        LINEAR[0]: linear.title,
        LINEAR[1]: linear.image,
        RIDGE: linear.both,
    }
    if dataset.signals is None or np.isnan(dataset.signals[:, SIGNALS.index("title_match")]).all():
        del models[COSINE]
    found: dict[str, Floats] = {}
    with track("reference models", len(models) + 1) as advance:
        for name, model in models.items():
            found[name] = model()
            advance(1)
        trees = boosted(learnt)
        found["boosting on both"] = learnt.scored(trees)
        advance(1)
    if variants is None:
        return References(found, {})
    x = learnt.elsewhere(variants.image, variants.text)
    elsewhere = {
        "coin": coin(len(variants)),
        "title length": title_length(dataset, variants.title),
        "title capitals": title_capitals(dataset, variants.title),
        LINEAR[0]: linear.by_title(x),
        LINEAR[1]: linear.by_image(x),
        RIDGE: linear.by_both(x),
        "boosting on both": trees(x),
    }
    return References(found, elsewhere)


def shuffled(dataset: Dataset, score: Floats) -> Floats:
    """A model's scores (n,) dealt anew among the items of each channel, which is shuffling the labels within it: a control, at one
    half whatever the model, unless the measure itself is off."""
    channel = dataset.items.channel
    order = np.argsort(channel, kind="stable")
    dealt = np.lexsort((np.random.default_rng(SHUFFLE_SEED).random(len(score)), channel))
    found = np.empty(len(score))
    found[order] = score[dealt]
    return found


def coin(n: int) -> Floats:
    """A seeded random score (n,): what no knowledge at all gets."""
    return np.random.default_rng(0).random(n)


def publish_hour(dataset: Dataset) -> Floats:
    """How often videos of its hour of the day (UTC) win in training pairs, drawn towards one half."""
    hour = (dataset.items.published // 3600 % 24).astype(np.int64)
    pairs = dataset.of("train")
    won = np.bincount(hour[pairs.a], pairs.outcome, 24) + np.bincount(hour[pairs.b], 1 - pairs.outcome, 24)
    seen = np.bincount(hour[pairs.a], minlength=24) + np.bincount(hour[pairs.b], minlength=24)
    return ((won + HOUR_PRIOR / 2) / (seen + HOUR_PRIOR))[hour]


def title_length(dataset: Dataset, titles: Sequence[str] | None = None) -> Floats:
    """Characters of the items' titles, or of other ones, longer or shorter winning as the training pairs say."""
    return _as_training_says(dataset, lambda title: float(len(title)), titles)


def title_capitals(dataset: Dataset, titles: Sequence[str] | None = None) -> Floats:
    """Share of capitals among the letters of the items' titles, or of other ones, more or fewer winning as the training pairs
    say."""

    def share(title: str) -> float:
        letters = [letter for letter in title if letter.isalpha()]
        return sum(letter.isupper() for letter in letters) / len(letters) if letters else 0.0

    return _as_training_says(dataset, share, titles)


def cosine(dataset: Dataset) -> Floats:
    """The weak signal title_match, which orders as CLIP's cosine of picture and title does. An item without one stands in the
    middle of its channel."""
    assert dataset.signals is not None, "left out where there is none"
    score = dataset.signals[:, SIGNALS.index("title_match")].astype(np.float64)
    unknown = np.isnan(score)
    order = np.argsort(dataset.items.channel, kind="stable")
    bounds = np.flatnonzero(np.diff(dataset.items.channel[order])) + 1
    for inside in np.split(order, bounds):
        missing = inside[unknown[inside]]
        if len(missing):
            known = score[inside[~unknown[inside]]]
            score[missing] = np.median(known) if len(known) else 0.0
    return score


def _as_training_says(dataset: Dataset, measure: Callable[[str], float], titles: Sequence[str] | None) -> Floats:
    training, value = dataset.of("train"), np.array([measure(title) for title in dataset.items.title])
    more = pair_accuracy_micro(value[training.a] - value[training.b], training.outcome) >= 0.5
    asked = value if titles is None else np.array([measure(title) for title in titles])
    return asked if more else -asked
