"""Definitions of the metrics, held against brute force and closed forms."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr
from sklearn.metrics import roc_auc_score

from thumbrank_core.bootstrap import (
    auc_draws,
    auc_histogram,
    draw_weights,
    effective_channels,
    expanded_tail,
    interval,
    ratio_draws,
    ratio_interval,
)
from thumbrank_core.metrics import (
    channel_sums,
    kendall_by_channel,
    pair_accuracy_micro,
    pair_auc_pooled,
    pair_concordance,
    spearman_by_channel,
    spearman_weighted,
    spearman_within,
    top_of_three,
)


def statistic(found: Any) -> float:
    """Of a result of SciPy's, which is declared without its fields."""
    return found.statistic


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
    histogram = auc_histogram(difference, outcome, channel, 12)
    everybody = auc_draws(histogram, np.ones((1, 12)))
    assert everybody[0] == pytest.approx(pair_auc_pooled(difference, outcome))
    weights = draw_weights(12, draws=5, seed=3)
    expected = []
    for row in weights:
        rows = np.concatenate([np.repeat(np.flatnonzero(channel == c), int(row[c])) for c in range(12)])
        expected.append(pair_auc_pooled(difference[rows], outcome[rows]))
    assert auc_draws(histogram, weights) == pytest.approx(expected)


def test_more_differences_than_bins_move_the_auc_by_less_than_a_hundred_thousandth():
    difference, outcome, channel = random_pairs(20_000, ties=False)
    found = auc_draws(auc_histogram(difference + outcome, outcome, channel, 12), np.ones((1, 12)))
    assert found[0] == pytest.approx(pair_auc_pooled(difference + outcome, outcome), abs=1e-5)


def test_resampling_channels_gives_a_wider_interval_than_resampling_pairs():
    generator = np.random.default_rng(2)
    channel = np.repeat(np.arange(60), 50)
    right = (generator.random(3000) < np.repeat(generator.uniform(0.3, 0.9, 60), 50)).astype(float)
    sums, counts = channel_sums(right, channel, 60)
    found = interval(right.mean(), ratio_draws(sums, counts, draw_weights(60)), effective_channels(counts))
    by_pairs = 2 * 1.96 * np.sqrt(right.mean() * (1 - right.mean()) / 3000)
    assert found.low < right.mean() < found.high
    assert (found.high - found.low) > 2 * by_pairs


def test_the_same_draws_make_a_constant_difference_certain():
    generator = np.random.default_rng(4)
    values, channel = generator.random(500), generator.integers(0, 20, 500)
    weights = draw_weights(20)
    sums, counts = channel_sums(values, channel, 20)
    better, _ = channel_sums(values + 0.1, channel, 20)
    gap = interval(0.1, ratio_draws(better, counts, weights) - ratio_draws(sums, counts, weights), 20)
    assert gap.low == pytest.approx(0.1)
    assert gap.high == pytest.approx(0.1)


def test_spearman_of_a_constant_or_a_single_video_is_unknown():
    assert np.isnan(spearman_within(np.ones(5), np.arange(5.0)))
    assert np.isnan(spearman_within(np.ones(1), np.ones(1)))
    assert np.isnan(spearman_within(np.empty(0), np.empty(0)))


def test_spearman_has_the_sign_of_kendall():
    generator = np.random.default_rng(5)
    score, label = generator.random(9), generator.random(9)
    assert np.sign(spearman_within(score, label)) == np.sign(statistic(kendalltau(score, label)))


def test_rank_correlations_by_channel_are_those_of_scipy_ties_included():
    generator = np.random.default_rng(6)
    channel = generator.integers(0, 20, 400)
    score, label = (generator.integers(0, 8, 400).astype(float) for _ in range(2))
    score[channel == 3] = 1.0
    spearman, kendall = (by(score, label, channel, 22) for by in (spearman_by_channel, kendall_by_channel))
    for index in (index for index in range(20) if index != 3):
        inside = channel == index
        assert spearman[index] == pytest.approx(statistic(spearmanr(score[inside], label[inside])))
        assert kendall[index] == pytest.approx(statistic(kendalltau(score[inside], label[inside])))
    assert np.isnan(spearman[[3, 20, 21]]).all()
    assert np.isnan(kendall[[3, 20, 21]]).all()


def test_of_three_the_pick_is_the_highest_score_and_regret_is_what_it_gives_away():
    label = np.array([10.0, 40.0, 20.0, 40.0])
    score = np.array([3.0, 1.0, 2.0, 3.0])
    hit, regret = top_of_three(score, label, np.array([[0, 1, 2], [1, 2, 3], [0, 2, 3]]))
    assert hit.tolist() == [0.0, 1.0, 0.5]
    assert regret == pytest.approx([0.75, 0.0, 0.375])


def test_a_weighted_rank_correlation_is_that_of_items_repeated():
    generator = np.random.default_rng(7)
    score, label, weight = generator.random(30), generator.random(30), np.ones(30)
    assert spearman_weighted(score, label, weight) == pytest.approx(statistic(spearmanr(score, label)))
    assert spearman_weighted(score, -score, generator.random(30)) == pytest.approx(-1.0)
    assert np.isnan(spearman_weighted(np.ones(30), label, weight))


def test_channels_of_equal_size_count_in_full_and_one_large_one_counts_alone():
    assert effective_channels(np.full(40, 7.0)) == pytest.approx(40)
    assert effective_channels(np.array([1e9, 1.0, 1.0])) == pytest.approx(1, abs=1e-6)


def test_tails_are_wider_with_fewer_channels_and_the_plain_ones_with_many():
    assert expanded_tail(10) < expanded_tail(50) < expanded_tail(500) < 0.025
    assert expanded_tail(1e6) == pytest.approx(0.025, abs=1e-5)


def test_of_one_channel_there_is_no_interval():
    found = ratio_interval(np.array([3.0]), np.array([4.0]))
    assert found.value == 0.75
    assert np.isnan([found.low, found.high]).all()


def test_most_intervals_hold_the_truth_where_a_bootstrap_of_pairs_holds_it_half_the_time():
    """200 worlds of 60 channels of very different sizes; `make bench NAME=evaluate` has 2,000 of 100 and of 300."""
    generator = np.random.default_rng(8)
    held, by_pairs = 0, 0
    for _ in range(200):
        counts = np.exp(generator.normal(4, 0.8, 60)).round()
        sums = generator.binomial(counts.astype(int), generator.beta(12, 8, 60)).astype(float)
        found = ratio_interval(sums, counts, draws=500)
        held += found.low <= 0.6 <= found.high
        reach = 1.96 * np.sqrt(found.value * (1 - found.value) / counts.sum())
        by_pairs += abs(found.value - 0.6) <= reach
    assert 0.91 <= held / 200 <= 0.985
    assert by_pairs / 200 < 0.8
