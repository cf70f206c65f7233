"""Figures of an evaluation against plain loops and closed forms: slices, probabilities, tables of scorers, intervals."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import kendalltau, spearmanr
from scipy.stats import t as student

from tests.unit.synthetic import planted
from thumbrank_core import bootstrap
from thumbrank_core.bootstrap import (
    Interval,
    draw_weights,
    effective_channels,
    expanded_tail,
    interval,
    mean_draws,
    ratio_draws,
    ratio_interval,
)
from thumbrank_core.evaluation.calibration import SHARES, calibrate, cover
from thumbrank_core.evaluation.evaluate import measure
from thumbrank_core.evaluation.figures import CHAMPION, MODEL, SubScores
from thumbrank_core.evaluation.owners import owner_figures
from thumbrank_core.evaluation.slices import lead, slices_of
from thumbrank_core.evaluation.sub_scores import sub_score_figures
from thumbrank_core.features.signals.definitions import SIGNALS
from thumbrank_core.metrics import pair_auc_pooled, pair_concordance
from thumbrank_core.training.dataset import Dataset, OwnerRates, Pairs, Traits
from thumbrank_core.training.read_outs import MIN_VIDEOS

VIDEOS = 12


def of_items(dataset: Dataset, a, b, **changes) -> Pairs:
    """Pairs of these items, a winning each, published at once and with a margin of a half where `changes` says nothing."""
    a, b = np.array(a), np.array(b)
    plain: dict[str, Any] = {
        "outcome": np.ones(len(a)),
        "margin": np.full(len(a), 0.5),
        "soft_target": np.full(len(a), 0.5),
        "age_gap_hours": np.zeros(len(a)),
        "weight": np.ones(len(a)),
        "channel": dataset.items.channel[a],
        "niche": dataset.items.niche[a],
        "split": dataset.items.split[a],
        "period": np.zeros(len(a), dtype=np.int64),
    }
    return Pairs(a=a, b=b, **(plain | {name: np.array(values) for name, values in changes.items()}))


def traits(dataset: Dataset, **changes) -> Dataset:
    n = len(dataset.items)
    known = Traits(np.full(n, 600.0), np.ones(n), np.ones(n), np.full(len(dataset.channels), 5e4))
    return dataclasses.replace(
        dataset, traits=dataclasses.replace(known, **{name: np.array(v, dtype=float) for name, v in changes.items()})
    )


def sizes(dataset: Dataset, pairs: Pairs, by: str) -> dict[str, int]:
    """How many pairs are in each slice of a kind."""
    found = slices_of(dataset, {MODEL: np.zeros(len(dataset.items))}, pairs)
    return {part.name: part.n_pairs for part in found if part.by == by}


@pytest.fixture
def dataset():
    """Ten channels of twelve videos each: item 12 c + k is the k-th of channel c."""
    return planted(n_channels=10, videos=VIDEOS)[0]


# Slices


def test_an_age_gap_is_taken_without_its_sign_and_each_slice_begins_with_its_first_day(dataset):
    hours = [0, -71.9, 72, -168, 335.9, 336, -720, 720.1, 2000]
    pairs = of_items(dataset, range(9), range(1, 10), age_gap_hours=hours)
    assert sizes(dataset, pairs, "age gap") == {
        "0 to 3 days": 2,
        "3 to 7 days": 1,
        "7 to 14 days": 2,
        "14 to 30 days": 2,
        "over 30": 2,
    }


def test_a_margin_of_one_is_in_the_last_slice_and_none_lies_beyond(dataset):
    pairs = of_items(dataset, range(8), range(1, 9), margin=[0, 0.09, 0.1, 0.3, 0.5, 0.69, 0.7, 1])
    assert sizes(dataset, pairs, "margin") == {
        "0.0 to 0.1": 2,
        "0.1 to 0.3": 1,
        "0.3 to 0.5": 1,
        "0.5 to 0.7": 2,
        "0.7 to 1.0": 2,
    }


def test_channels_are_told_apart_by_their_subscribers(dataset):
    told = traits(dataset, subscribers=[0, 9_999, 1e4, 99_999, 1e5, 999_999, 1e6, 5e7, np.nan, np.nan])
    pairs = of_items(dataset, np.arange(10) * VIDEOS, np.arange(10) * VIDEOS + 1)
    assert sizes(told, pairs, "channel size") == {
        "under 10 thousand": 2,
        "10 to 100 thousand": 2,
        "100 thousand to 1 million": 2,
        "1 million and more": 2,
        "hidden": 2,
    }


def test_both_videos_of_a_pair_have_a_length(dataset):
    minutes = np.full(len(dataset.items), 10.0)
    minutes[:8] = [1, 3.9, 4, 19.9, 20.1, 90, np.nan, 2]
    told = traits(dataset, duration_s=60 * minutes)
    pairs = of_items(dataset, [0, 2, 4, 1, 3, 0, 6, 7], [1, 3, 5, 2, 4, 5, 0, 6])
    assert sizes(told, pairs, "duration") == {
        "both under 4 minutes": 1,
        "both 4 to 20 minutes": 1,
        "both over 20 minutes": 1,
        "of two lengths": 3,
        "unknown": 2,
    }


@pytest.mark.parametrize(("by", "trait"), [("text", "has_text"), ("face", "has_face")])
def test_what_the_pictures_of_a_pair_show(dataset, by, trait):
    has = np.ones(len(dataset.items))
    has[2:5] = [0, 0, np.nan]
    told = traits(dataset, **{trait: has})
    pairs = of_items(dataset, [0, 0, 2, 2, 4, 4, 0], [1, 2, 0, 3, 0, 3, 5])
    assert sizes(told, pairs, by) == {f"{by} in both": 2, f"{by} in one": 2, f"no {by}": 1, "not measured": 2}


def test_a_channel_of_nine_videos_is_new_and_one_of_ten_is_not():
    dataset, _ = planted(n_channels=10, videos=10)
    dataset.items.channel[0] = 1
    pairs = of_items(dataset, [1, 3, 5, 11, 21], [2, 4, 6, 12, 22])
    assert sizes(dataset, pairs, "channel's videos") == {"fewer than 10 videos": 3, "10 videos and more": 2}


def test_a_slice_has_its_own_accuracy_lead_and_numbers(dataset):
    """Channels 0 (tech) and 1 and 3 (news); the model is right in three pairs of four, the champion in one."""
    score, champion = np.zeros(len(dataset.items)), np.zeros(len(dataset.items))
    pairs = of_items(dataset, [0, 12, 14, 36], [1, 13, 15, 37])
    score[[0, 12, 14, 37]] = 1
    champion[[1, 12, 15, 37]] = 1
    found = slices_of(dataset, {MODEL: score, CHAMPION: champion, "coin": score}, pairs)
    news, tech = (next(part for part in found if part.name == name) for name in ("news", "tech"))
    assert (tech.n_pairs, tech.n_channels, news.n_pairs, news.n_channels) == (1, 1, 3, 2)
    assert {name: one.value for name, one in news.accuracy.items()} == {MODEL: pytest.approx(2 / 3), CHAMPION: 1 / 3}
    assert news.lead is not None and tech.lead is not None
    assert (news.lead.value, tech.lead.value) == (pytest.approx(1 / 3), 1.0)
    assert np.isnan([tech.lead.low, tech.lead.high]).all(), "of one channel there is no interval"
    assert all(part.lead is None for part in slices_of(dataset, {MODEL: score}, pairs))


def test_the_lead_over_all_pairs_is_that_of_a_slice_with_all_of_them(dataset):
    rng = np.random.default_rng(0)
    scores = {name: rng.normal(size=len(dataset.items)) for name in (MODEL, CHAMPION)}
    pairs = dataset.pairs.take(dataset.pairs.niche == 0)
    ours, theirs = (pair_concordance(score[pairs.a] - score[pairs.b], pairs.outcome) for score in scores.values())
    found = lead(scores, pairs)
    assert found.value == pytest.approx(ours.mean() - theirs.mean())
    [tech] = [part for part in slices_of(dataset, scores, pairs) if part.by == "niche"]
    assert tech.lead is not None
    assert (found.low, found.high) == pytest.approx((tech.lead.low, tech.lead.high))


# Probabilities


def random_calls(n=300, channels=20, seed=1):
    """Score differences and pairs whose outcomes have little to do with them, ties of both among them."""
    rng = np.random.default_rng(seed)
    dataset, _ = planted(n_channels=channels, videos=3)
    difference = rng.normal(size=n)
    difference[::50] = 0
    pairs = of_items(dataset, np.zeros(n, int), np.ones(n, int), outcome=rng.choice([0, 0.5, 1], n))
    return difference, dataclasses.replace(pairs, channel=rng.integers(0, channels, n))


def test_brier_score_and_bins_are_those_of_a_plain_loop():
    difference, pairs = random_calls()
    right = pair_concordance(difference, pairs.outcome)
    found = calibrate(difference, pairs, 2.5)
    assert found.temperature == 2.5
    for temperature, brier, bins in ((1, found.brier_before, found.bins_before), (2.5, found.brier, found.bins)):
        sure = 1 / (1 + np.exp(-np.abs(difference) / temperature))
        assert brier.value == pytest.approx(np.mean((sure - right) ** 2))
        order = np.argsort(sure, kind="stable")
        parts = [order[20 * k : 20 * k + 20] for k in range(15)]
        assert [bin_.n_pairs for bin_ in bins] == [20] * 15
        assert [bin_.confidence for bin_ in bins] == pytest.approx([sure[part].mean() for part in parts])
        assert [bin_.right for bin_ in bins] == pytest.approx([right[part].mean() for part in parts])


def test_the_calibration_error_is_the_distance_of_the_bins_beyond_chance():
    difference, pairs = random_calls()
    right, sure = pair_concordance(difference, pairs.outcome), 1 / (1 + np.exp(-np.abs(difference)))
    order, weights = np.argsort(sure, kind="stable"), draw_weights(20)
    number = np.bincount(pairs.channel, minlength=20)
    error = 0.0
    for k in range(15):
        part = order[20 * k : 20 * k + 20]
        by_channel = np.bincount(pairs.channel[part], (right - sure)[part], 20)
        chance = np.var(weights @ by_channel / (weights @ number))
        error += np.sqrt(max((by_channel.sum() / 300) ** 2 - chance, 0))
    found = calibrate(difference, pairs, 1.0).ece
    assert found.value == pytest.approx(error)
    assert found.low <= found.value <= found.high
    assert found.low < found.high


def test_a_sure_and_wrong_model_is_off_by_one_and_one_that_knows_nothing_by_nothing():
    _, pairs = random_calls()
    won = dataclasses.replace(pairs, outcome=np.ones(len(pairs)))
    wrong, silent = calibrate(np.full(300, -50.0), won, 1.0), calibrate(np.zeros(300), won, 1.0)
    assert (wrong.ece.value, wrong.ece.high) == pytest.approx((1, 1), abs=0.05)
    assert (silent.ece.value, silent.ece.low, silent.ece.high) == (0, 0, 0)
    assert (wrong.brier.value, silent.brier.value) == pytest.approx((1, 0)), "a call of one half is half right"


def test_fewer_pairs_than_bins_are_a_bin_each():
    difference, pairs = random_calls(n=9)
    assert [bin_.n_pairs for bin_ in calibrate(difference, pairs, 1.0).bins] == [1] * 9


def test_the_surest_pairs_are_kept_and_at_least_one():
    difference, pairs = random_calls(n=14, channels=5)
    right, order = pair_concordance(difference, pairs.outcome), np.argsort(-np.abs(difference), kind="stable")
    found = cover(difference, pairs)
    assert [part.n_pairs for part in found] == [14, 13, 11, 10, 8, 7, 6, 4, 3, 1]
    assert [part.share for part in found] == list(SHARES)
    assert [part.accuracy.value for part in found] == pytest.approx([right[order[: p.n_pairs]].mean() for p in found])
    few, pairs = random_calls(n=2, channels=5)
    assert [part.n_pairs for part in cover(few, pairs)][-2:] == [1, 1]


# The table of scorers


def test_the_figures_of_a_scorer_are_those_of_plain_loops():
    dataset, _ = planted(n_channels=40, videos=7, seed=3)
    pairs, items = dataset.of("test"), dataset.items
    rng = np.random.default_rng(4)
    score = (np.log(items.value) + 3 * rng.normal(size=len(items))).round(1)
    other = rng.normal(size=len(items))
    table = measure("a name", dataset, {MODEL: score, "other": other}, {"other": other}, pairs)
    channels = np.unique(pairs.channel)
    counts = np.array([(pairs.channel == c).sum() for c in channels], dtype=float)
    assert (table.name, table.n_pairs, table.n_channels) == ("a name", len(pairs), 8)
    assert table.effective_channels == pytest.approx(counts.sum() ** 2 / (counts**2).sum())
    micro = {}
    for name, scored in (("model", score), ("other", other)):
        found = table.scorers[name]
        assert (found.name, found.is_reference) == (name, name == "other")
        right = pair_concordance(scored[pairs.a] - scored[pairs.b], pairs.outcome)
        share = np.array([right[pairs.channel == c].mean() for c in channels])
        micro[name] = right.mean()
        assert found.metrics["pair_accuracy_micro"] == same(ratio_interval(share * counts, counts))
        macro = interval(float(share.mean()), draw_weights(8) @ share / 8, 8)
        assert found.metrics["pair_accuracy_macro"] == same(macro)
        auc = pair_auc_pooled(scored[pairs.a] - scored[pairs.b], pairs.outcome)
        assert found.metrics["pair_auc_pooled"].value == pytest.approx(auc)
        hits, regrets, spearman, kendall = [], [], [], []
        for c in channels:
            there = np.unique(np.concatenate([pairs.a[pairs.channel == c], pairs.b[pairs.channel == c]]))
            spearman.append(spearmanr(scored[there], items.value[there])[0])
            kendall.append(kendalltau(scored[there], items.value[there])[0])
            row = there[np.argsort(items.published[there])]
            for three in (row[k : k + 3] for k in range(len(row) - 2)):
                best, label = scored[three] == scored[three].max(), items.value[three]
                hits.append((label[best] == label.max()).mean())
                regrets.append((1 - label[best] / label.max()).mean())
        for metric, values in (
            ("spearman_within_channel", spearman),
            ("kendall_within_channel", kendall),
            ("top_1_of_3", hits),
            ("regret_of_3", regrets),
        ):
            assert found.metrics[metric].value == pytest.approx(np.mean(values)), metric
            assert found.metrics[metric].low < np.mean(values) < found.metrics[metric].high, metric
    gap = table.scorers["other"].above_model
    assert gap.value == pytest.approx(micro["other"] - micro["model"])
    assert gap.low < gap.value < gap.high
    own = table.scorers[MODEL].above_model
    assert (own.value, own.low, own.high) == (0, 0, 0)


def same(expected: Interval):
    values: Any = [pytest.approx(bound) for bound in (expected.value, expected.low, expected.high)]
    return Interval(*values)


def test_channels_of_four_videos_have_no_rank_correlation_and_those_of_five_have():
    dataset, _ = planted(n_channels=20, videos=5)
    value = np.log(dataset.items.value)
    fewer = dataset.pairs.take((dataset.pairs.channel < 3) & (dataset.pairs.a % 5 != 4) & (dataset.pairs.b % 5 != 4))
    with_five = dataset.pairs.take(dataset.pairs.channel < 3)
    for pairs, known in ((fewer, False), (with_five, True)):
        metrics = measure("n", dataset, {MODEL: value}, {}, pairs).scorers[MODEL].metrics
        for metric in ("spearman_within_channel", "kendall_within_channel"):
            assert metrics[metric].value == 1 if known else np.isnan(metrics[metric].value)


def test_two_videos_of_each_channel_are_no_three_in_a_row():
    dataset, _ = planted(n_channels=20, videos=2)
    metrics = measure("n", dataset, {MODEL: dataset.items.value}, {}, dataset.pairs).scorers[MODEL].metrics
    assert np.isnan([metrics["top_1_of_3"].value, metrics["regret_of_3"].value]).all()
    assert metrics["pair_accuracy_micro"].value == 1


# Heads and owners


class Heads:
    """A bundle whose six heads say what they are given to say."""

    def __init__(self, said):
        self.said = said

    def sub_scores(self, image, text):
        return self.said[: len(image)]


def test_heads_agree_with_the_signals_that_are_known_of_three_items_at_least():
    dataset, _ = planted(n_channels=10, videos=4)
    rng = np.random.default_rng(2)
    signals = np.full((40, 6), np.nan, np.float32)
    signals[:4, 0] = [1, 2, 3, 4]
    signals[:3, 1] = [1, 3, 2]
    signals[:2, 2] = [1, 2]
    heads = rng.normal(size=(40, 6))
    heads[:4, 0] = [1, 2, 3, 4]
    heads[:3, 1] = [1, 2, 3]
    pairs = of_items(dataset, [0, 1, 2], [1, 2, 3])
    bundle: Any = Heads(heads)
    found = sub_score_figures(dataclasses.replace(dataset, signals=signals), bundle, pairs)
    assert found is not None
    assert list(found.n.values()) == [4, 3, 2, 0, 0, 0]
    assert list(found.agreement) == list(SIGNALS)
    assert list(found.agreement.values()) == [pytest.approx(1), pytest.approx(0.5), None, None, None, None]
    assert found.correlation[0, 1] == pytest.approx(spearmanr(heads[:4, 0], heads[:4, 1])[0])
    assert np.diag(found.correlation) == pytest.approx(np.ones(6))
    assert sub_score_figures(dataset, bundle, pairs) is None


def test_the_likeness_of_heads_is_the_mean_of_their_correlations_whatever_the_sign():
    correlation = np.array([[1, -0.5, 0.1], [-0.5, 1, 0.3], [0.1, 0.3, 1]])
    assert SubScores({}, {}, correlation).mean_off_diagonal == pytest.approx(0.3)


@pytest.mark.parametrize(("videos", "known"), [(MIN_VIDEOS, True), (MIN_VIDEOS - 1, False)])
def test_an_owner_of_just_enough_unseen_videos_has_a_figure(videos, known):
    dataset, _ = planted(n_channels=10, videos=MIN_VIDEOS + 5)
    unseen = np.flatnonzero(dataset.items.channel == 8)[:videos]
    trained = np.flatnonzero(dataset.items.channel == 0)
    checked = np.flatnonzero(dataset.items.channel == 7)
    item = np.concatenate([trained, checked, unseen])
    rates = OwnerRates(item, np.linspace(0.01, 0.1, len(item)), np.full(len(item), 100.0))
    score = np.zeros(len(dataset.items))
    score[unseen] = -np.arange(videos)
    [found] = owner_figures(dataclasses.replace(dataset, owners={"UC": rates}), score)
    assert (found.owner_id, found.n_videos) == ("UC", videos)
    assert found.spearman == (pytest.approx(-1.0) if known else None)


# Intervals


def test_every_draw_is_of_as_many_channels_as_there_are_and_the_same_at_every_call():
    weights = draw_weights(30)
    assert weights.shape == (2000, 30)
    assert (weights.sum(axis=1) == 30).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(30), abs=0.1)
    draw_weights.cache_clear()
    assert np.array_equal(draw_weights(30), weights)
    assert not np.array_equal(draw_weights(30, seed=1), weights)
    with pytest.raises(ValueError, match="read-only"):
        weights[0, 0] = 1


def test_tails_are_those_of_student_s_t_of_so_many_channels():
    for channels in (10, 50):
        wide = student.ppf(0.025, channels - 1) * np.sqrt(channels / (channels - 1))
        assert expanded_tail(channels) == pytest.approx(ndtr(wide))


def test_an_interval_is_between_the_tails_of_the_draws_that_are_known():
    draws = np.append(np.arange(1001.0), [np.nan, np.inf])
    found, tail = interval(500, draws, 40), expanded_tail(40)
    assert (found.value, found.low, found.high) == pytest.approx((500, 1000 * tail, 1000 * (1 - tail)))
    for nothing in (interval(1, draws, 1), interval(1, np.full(9, np.nan), 40)):
        assert nothing.value == 1
        assert np.isnan([nothing.low, nothing.high]).all()
    assert np.isfinite(interval(1, draws, 1.5).low)


def test_a_draw_of_nothing_that_counts_is_unknown_and_a_channel_without_a_figure_is_left_out():
    weights = np.array([[2.0, 0, 0], [1, 1, 1], [0, 1, 2]])
    sums, counts = np.array([3.0, 5, 0]), np.array([4.0, 10, 0])
    assert ratio_draws(sums, counts, weights) == pytest.approx([3 / 4, 8 / 14, 5 / 10])
    assert np.isnan(ratio_draws(sums, counts, np.array([[0.0, 0, 3]]))).all()
    values = np.array([0.2, 0.6, np.nan])
    assert mean_draws(values, weights) == pytest.approx([0.2, 0.4, 0.6])
    assert effective_channels(np.zeros(3)) == 0
    for unit in (1, 0.01):  # shares of a whole say the same as counts
        assert effective_channels(unit * np.array([1.0, 3.0])) == pytest.approx(1.6)


@pytest.mark.parametrize("block", [bootstrap.BLOCK, 8 * 30 * 700, 1])
def test_an_interval_does_not_depend_on_how_many_draws_are_made_at_a_time(monkeypatch, block):
    rng = np.random.default_rng(1)
    counts = rng.integers(1, 40, 30).astype(float)
    sums = counts * rng.random(30)
    monkeypatch.setattr(bootstrap, "BLOCK", block)
    expected = interval(
        sums.sum() / counts.sum(), ratio_draws(sums, counts, draw_weights(30)), effective_channels(counts)
    )
    assert ratio_interval(sums, counts) == same(expected)
