"""Definitions of the metrics, held against brute force and closed forms."""

import numpy as np
import pytest
from scipy.stats import kendalltau
from sklearn.metrics import roc_auc_score

from thumbrank_core.bootstrap import auc_counts, auc_draws, draw_weights, interval, ratio_draws
from thumbrank_core.metrics import channel_sums, pair_accuracy_micro, pair_auc_pooled, pair_concordance, spearman_within


def random_pairs(n=400, seed=0, ties=True):
    generator = np.random.default_rng(seed)
    difference = generator.normal(size=n).round(1 if ties else 9)
    outcome = generator.choice([0.0, 0.5, 1.0] if ties else [0.0, 1.0], size=n)
    return difference, outcome, generator.integers(0, 12, size=n)


def test_a_tie_of_scores_or_of_labels_counts_one_half():
    credit = pair_concordance(np.array([1.0, -1.0, 0.0, 2.0]), np.array([1.0, 1.0, 1.0, 0.5]))
    assert credit.tolist() == [1.0, 0.0, 0.5, 0.5]


def test_pair_accuracy_does_not_depend_on_which_side_is_a():
    difference, outcome, _ = random_pairs()
    assert pair_accuracy_micro(difference, outcome) == pytest.approx(pair_accuracy_micro(-difference, 1 - outcome))


def test_pooled_auc_is_the_roc_auc_over_both_orders():
    difference, outcome, _ = random_pairs()
    decided = outcome != 0.5
    both = np.concatenate([difference[decided], -difference[decided]])
    labels = np.concatenate([outcome[decided], 1 - outcome[decided]])
    assert pair_auc_pooled(difference, outcome) == pytest.approx(roc_auc_score(labels, both))


def test_pooled_auc_is_higher_than_accuracy_for_the_same_normal_scorer():
    generator = np.random.default_rng(1)
    score, label = generator.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], size=(40_000, 2)).transpose(2, 0, 1)
    difference, outcome = score[:, 0] - score[:, 1], (label[:, 0] > label[:, 1]).astype(float)
    assert pair_accuracy_micro(difference, outcome) == pytest.approx(0.5 + np.arcsin(0.5) / np.pi, abs=0.01)
    assert pair_auc_pooled(difference, outcome) == pytest.approx(0.730, abs=0.01)


def test_bootstrap_counts_give_the_same_auc_as_sorting_again():
    difference, outcome, channel = random_pairs()
    wins, comparisons = auc_counts(difference, outcome, channel, 12)
    assert wins.sum() / comparisons.sum() == pytest.approx(pair_auc_pooled(difference, outcome))
    weights = draw_weights(12, draws=5, seed=3)
    expected = []
    for row in weights:
        rows = np.concatenate([np.repeat(np.flatnonzero(channel == c), int(row[c])) for c in range(12)])
        expected.append(pair_auc_pooled(difference[rows], outcome[rows]))
    assert auc_draws(wins, comparisons, weights) == pytest.approx(expected)


def test_resampling_channels_gives_a_wider_interval_than_resampling_pairs():
    generator = np.random.default_rng(2)
    channel = np.repeat(np.arange(60), 50)
    right = (generator.random(3000) < np.repeat(generator.uniform(0.3, 0.9, 60), 50)).astype(float)
    sums, counts = channel_sums(right, channel, 60)
    found = interval(right.mean(), ratio_draws(sums, counts, draw_weights(60)))
    by_pairs = 2 * 1.96 * np.sqrt(right.mean() * (1 - right.mean()) / 3000)
    assert found.low < right.mean() < found.high
    assert (found.high - found.low) > 2 * by_pairs


def test_the_same_draws_make_a_constant_difference_certain():
    generator = np.random.default_rng(4)
    values, channel = generator.random(500), generator.integers(0, 20, 500)
    weights = draw_weights(20)
    sums, counts = channel_sums(values, channel, 20)
    better, _ = channel_sums(values + 0.1, channel, 20)
    gap = interval(0.1, ratio_draws(better, counts, weights) - ratio_draws(sums, counts, weights))
    assert gap.low == pytest.approx(0.1)
    assert gap.high == pytest.approx(0.1)


def test_spearman_of_a_constant_or_a_single_video_is_unknown():
    assert np.isnan(spearman_within(np.ones(5), np.arange(5.0)))
    assert np.isnan(spearman_within(np.ones(1), np.ones(1)))
    assert np.isnan(spearman_within(np.empty(0), np.empty(0)))


def test_spearman_has_the_sign_of_kendall():
    generator = np.random.default_rng(5)
    score, label = generator.random(9), generator.random(9)
    assert np.sign(spearman_within(score, label)) == np.sign(kendalltau(score, label).statistic)
