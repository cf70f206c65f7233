"""Measuring scorers on the test channels: one table for the model, the reference models and, where a simulated world knows
it, the ceiling; each figure with its interval and its n.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thumbrank_core.bootstrap import (
    FEW_CHANNELS,
    Interval,
    auc_counts,
    auc_draws,
    draw_weights,
    interval,
    mean_draws,
    ratio_draws,
    ratio_interval,
)
from thumbrank_core.errors import ThumbrankError
from thumbrank_core.evaluation.leak_alarm import LeakAlarm, leak_alarm
from thumbrank_core.evaluation.references import REFERENCES
from thumbrank_core.evaluation.truth import Truth
from thumbrank_core.metrics import channel_sums, pair_concordance, spearman_within
from thumbrank_core.model.bundle import Bundle
from thumbrank_core.policy import LabelName
from thumbrank_core.progress import track
from thumbrank_core.training.dataset import PERIODS, SPLITS, Dataset, Pairs

Floats = npt.NDArray[np.float64]
MODEL, CEILING = "model", "ceiling"
METRICS = ("pair_accuracy_micro", "pair_accuracy_macro", "pair_auc_pooled", "spearman_within_channel")
MIN_CHANNEL_VIDEOS = 5
"""Channels with fewer videos have no rank correlation worth averaging."""


class EvaluationError(ThumbrankError):
    """There is nothing to measure on."""


@dataclass(frozen=True)
class Scored:
    """One scorer's figures on one set of pairs. `above_model` is scorer minus model in micro accuracy, paired."""

    name: str
    is_reference: bool
    metrics: dict[str, Interval]
    above_model: Interval


@dataclass(frozen=True)
class Slice:
    """A set of test pairs and what every scorer gets on it."""

    niche: str
    n_pairs: int
    n_channels: int
    scorers: dict[str, Scored]


@dataclass(frozen=True)
class AllPairs:
    """The pairs of every split together. `newer_wins` is the pair accuracy of the clock, which needs no training.

    `later`: pairs of test channels both of whose videos were published after the time cut.
    """

    n_pairs: int
    n_channels: int
    newer_wins: Interval
    later: int


@dataclass(frozen=True)
class Evaluation:
    """Everything measured on the test split. `per_niche` holds only niches with test pairs."""

    label: LabelName
    all_pairs: AllPairs
    overall: Slice
    per_niche: dict[str, Slice]
    scores: dict[str, Floats]
    test: Pairs
    leak: LeakAlarm

    @property
    def model(self) -> Scored:
        """The model's own figures."""
        return self.overall.scorers[MODEL]

    @property
    def references(self) -> list[Scored]:
        """The reference models' figures, in their fixed order."""
        return [scored for scored in self.overall.scorers.values() if scored.is_reference]

    @property
    def too_few_channels(self) -> bool:
        """Whether the intervals are known to be too narrow."""
        return self.overall.n_channels < FEW_CHANNELS


def evaluate(dataset: Dataset, bundle: Bundle, truth: Truth | None = None) -> Evaluation:
    """Measure the bundle and the reference models on test channels.

    Args:
        dataset: as loaded for the bundle's niches and encoders.
        bundle: the model.
        truth: what a simulated world knows; adds the ceiling. None for real data.

    Raises:
        EvaluationError: there are no test pairs.
    """
    test = dataset.of("test")
    if len(test) == 0:
        raise EvaluationError("There are no pairs in test channels: add channels, the split is a hash of their ids.")
    scores: dict[str, Floats] = {MODEL: bundle.score(dataset.items.image, dataset.items.text)}
    with track("reference models", len(REFERENCES)) as advance:
        for name, reference in REFERENCES.items():
            scores[name] = reference(dataset)
            advance(1)
    if truth is not None:
        scores[CEILING] = np.array([truth.effects[video] for video in dataset.items.video_id])
    overall = measure("all", dataset, scores, test)
    per_niche: dict[str, Slice] = {}
    for index, niche in enumerate(dataset.niches):
        chosen = test.take(test.niche == index)
        if len(chosen):
            per_niche[niche] = measure(niche, dataset, scores, chosen)
    return Evaluation(dataset.label, _all_pairs(dataset), overall, per_niche, scores, test, leak_alarm(dataset))


def _all_pairs(dataset: Dataset) -> AllPairs:
    pairs = dataset.pairs
    sums, counts = channel_sums(
        pair_concordance(pairs.age_gap_hours, pairs.outcome), pairs.channel, len(dataset.channels)
    )
    later = (pairs.split == SPLITS.index("test")) & (pairs.period == PERIODS.index("later"))
    return AllPairs(len(pairs), len(dataset.channels), ratio_interval(sums, counts), int(later.sum()))


def measure(niche: str, dataset: Dataset, scores: Mapping[str, Floats], pairs: Pairs) -> Slice:
    """Figures of every scorer on `pairs`, with the same channel draws for all."""
    _, channel = np.unique(pairs.channel, return_inverse=True)
    n_channels = int(channel.max()) + 1
    weights = draw_weights(n_channels)
    groups = _channel_items(dataset, pairs)
    accuracy: dict[str, Floats] = {}
    scorers: dict[str, Scored] = {}
    for name, score in scores.items():
        difference = score[pairs.a] - score[pairs.b]
        sums, counts = channel_sums(pair_concordance(difference, pairs.outcome), channel, n_channels)
        accuracy[name] = ratio_draws(sums, counts, weights)
        wins, comparisons = auc_counts(difference, pairs.outcome, channel, n_channels)
        spearman = np.array([spearman_within(score[group], dataset.items.value[group]) for group in groups])
        known = spearman[np.isfinite(spearman)]
        metrics = {
            "pair_accuracy_micro": interval(float(sums.sum() / counts.sum()), accuracy[name]),
            "pair_accuracy_macro": interval(float(np.mean(sums / counts)), mean_draws(sums / counts, weights)),
            "pair_auc_pooled": interval(
                float(wins.sum() / max(comparisons.sum(), 1)), auc_draws(wins, comparisons, weights)
            ),
            "spearman_within_channel": interval(
                float(known.mean()) if len(known) else float("nan"), mean_draws(spearman, weights)
            ),
        }
        gap = (
            metrics["pair_accuracy_micro"].value - scorers[MODEL].metrics["pair_accuracy_micro"].value
            if scorers
            else 0.0
        )
        above = interval(gap, accuracy[name] - accuracy[MODEL])
        scorers[name] = Scored(name, name in REFERENCES, metrics, above)
    return Slice(niche, len(pairs), n_channels, scorers)


def _channel_items(dataset: Dataset, pairs: Pairs) -> Sequence[npt.NDArray[np.int64]]:
    """The items of every channel of `pairs`, in the order of channels; short channels come as empty groups."""
    used = np.unique(np.concatenate([pairs.a, pairs.b]))
    owner = dataset.items.channel[used]
    groups = [used[owner == channel] for channel in np.unique(pairs.channel)]
    return [group if len(group) >= MIN_CHANNEL_VIDEOS else group[:0] for group in groups]
