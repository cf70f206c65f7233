"""Labels at their borders: edges of the window, the day on which views changed their meaning, what a curve says of few videos."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from scipy.optimize import nnls

from thumbrank_core.bootstrap import Interval
from thumbrank_core.labels.click_rates import PeriodReach, rates_of
from thumbrank_core.labels.definitions import EDGE_FACTOR, SHRINK_VIDEOS, age_adjusted, views_per_hour, window_views
from thumbrank_core.labels.evidence import Clock, Leaks
from thumbrank_core.labels.growth import KNOTS_DAYS, PRIOR_SLOPE, PRIOR_VIDEOS, SMOOTH_VIDEOS, GrowthCurve, GrowthFit
from thumbrank_core.labels.regimes import regimes
from thumbrank_core.labels.splits import time_cut

NEWEST = datetime(2026, 8, 1, tzinfo=UTC)


def keys(*values):
    return np.array(values, dtype=np.int32)


def flat(level=5.0):
    """A niche whose views do not grow with age."""
    return GrowthCurve(np.array([1.0, 1000.0]), np.zeros(2), 1.0, level, 100, 10)


# What a label is


def test_an_age_below_an_hour_counts_as_an_hour_and_one_above_as_it_is():
    hours = np.array([0.5, 1.0, 2.0]) / 24
    assert views_per_hour(np.array([60, 60, 60]), hours) == pytest.approx([60.0, 60.0, 30.0])


@pytest.mark.parametrize("views", [[1, 10, 100], [100, 1, 10], [1, 10, 100, 1000], [1000, 1, 100, 10]])
def test_the_usual_of_a_channel_is_its_median_in_any_order_and_of_any_number(views):
    value = age_adjusted(np.array(views), np.full(len(views), 30.0), np.full(len(views), 7, dtype=np.int32), flat())
    rest = np.log1p(views)
    usual = 5.0 + (np.median(rest) - 5.0) * len(views) / (len(views) + SHRINK_VIDEOS)
    assert np.log(value) == pytest.approx(rest - usual)


def test_channels_may_stand_in_any_order_of_their_keys():
    views, channel = np.array([10, 20, 30, 4000, 5000]), keys(9, 9, 9, 2, 2)
    value = age_adjusted(views, np.full(5, 30.0), channel, flat())
    alone = age_adjusted(views[3:], np.full(2, 30.0), keys(2, 2), flat())
    assert value[3:] == pytest.approx(alone)


def test_no_views_beside_billions_still_make_a_positive_and_finite_label():
    value = age_adjusted(np.array([0, 10**18]), np.full(2, 30.0), keys(1, 2), flat(level=0.0))
    assert (value > 0).all() and np.isfinite(value).all()
    assert value[0] == pytest.approx(1.0), "no views are what a niche of level 0 expects"


@pytest.mark.parametrize(
    ("ages", "known"),
    [
        ((28 / EDGE_FACTOR, 28 * EDGE_FACTOR), True),
        ((28 / EDGE_FACTOR - 0.1, 30.0), False),
        ((20.0, 28 * EDGE_FACTOR + 0.1), False),
        ((28.0, 400.0), True),  # on the edge itself: what came afterwards is not needed
        ((1.0, 28.0), True),
        ((28.0, 28.0), True),
    ],
)
def test_the_snapshots_around_an_edge_lie_within_the_factor_of_it(ages, known):
    found = window_views(keys(1, 1), np.array(ages), np.array([100, 200]), (0, 28))
    assert np.isfinite(found).tolist() == [known]


def test_of_many_snapshots_the_two_around_the_edge_are_read():
    video = keys(1, 1, 1, 1, 2, 2, 2)
    age = np.array([1.0, 20.0, 40.0, 60.0, 14.0, 28.0, 29.0])
    found = window_views(video, age, np.array([5, 99, 399, 10**6, 7, 70, 700]), (0, 28))
    assert found == pytest.approx([100 * 4 ** (np.log(28 / 20) / np.log(2)) - 1, 70.0])


def test_both_edges_of_a_window_need_their_snapshots():
    video, age = keys(1, 1, 2, 2, 3), np.array([7.0, 28.0, 12.0, 28.0, 28.0])
    found = window_views(video, age, np.array([10, 110, 10, 110, 110]), (7, 28))
    assert found[0] == pytest.approx(100.0)
    assert np.isnan(found[1:]).all()


def test_a_window_from_the_publication_on_takes_nothing_away():
    assert window_views(keys(1), np.array([28.0]), np.array([50]), (0, 28)) == pytest.approx([50.0])
    assert np.isnan(window_views(keys(1), np.array([28.0]), np.array([50]), (0.5, 28))).all()


@pytest.mark.parametrize(
    ("moment", "short", "regime"),
    [
        ("2025-03-30T23:59:59", True, 0),
        ("2025-03-31T00:00:00", True, 11),
        ("2025-03-31T00:00:00", False, 0),
        ("2026-08-23T23:59:59", True, 11),
        ("2026-08-23T23:59:59", False, 0),
        ("2026-08-24T00:00:00", True, 22),
        ("2026-08-24T00:00:00", False, 22),
    ],
)
def test_a_view_has_its_new_meaning_from_the_first_second_of_the_day_in_utc(moment, short, regime):
    at = np.array([datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()])
    assert regimes(at, at, np.array([short])).tolist() == [regime]


# The growth curve


def rises(curve):
    return np.diff(curve.log_growth)


def test_videos_of_one_age_tell_their_level_and_their_spread_and_leave_the_curve_at_the_prior():
    """Three channels of eight videos, all 28 days old: growth cannot be told from the channel."""
    generator = np.random.default_rng(3)
    views = np.exp(generator.normal([[7.0], [9.0], [12.0]], 0.7, (3, 8))).astype(np.int64)
    fit = GrowthFit()
    fit.add(views.ravel(), np.full(24, 28.0), np.repeat(keys(4, 5, 6), 8))
    curve = fit.curve()
    assert rises(curve) == pytest.approx(PRIOR_SLOPE * np.diff(np.log(KNOTS_DAYS)), abs=1e-7)
    rest = np.log1p(views) - PRIOR_SLOPE * np.log(28 / KNOTS_DAYS[0])
    assert curve.level == pytest.approx(rest.mean(), abs=1e-6)
    within = rest - rest.mean(axis=1, keepdims=True)
    assert curve.residual_sd == pytest.approx(np.sqrt((within**2).sum() / (24 - 3 - len(rises(curve)))), abs=1e-6)


def test_the_level_is_a_mean_over_channels_and_not_over_videos():
    fit = GrowthFit()
    views, age = np.array([99] * 2 + [9_999] * 6), np.full(8, KNOTS_DAYS[0])
    fit.add(views, age, np.repeat(keys(1, 2), (2, 6)))
    assert fit.curve().level == pytest.approx((np.log(100) + np.log(10_000)) / 2)
    assert (fit.curve().n_channels, fit.curve().n_videos, fit.curve().residual_sd) == (2, 8, 0.0)


def test_the_curve_is_the_least_squares_one_with_the_prior_written_out_as_rows():
    """Each segment wants to be the prior, worth PRIOR_VIDEOS / 12, and neighbours to have one slope, worth SMOOTH_VIDEOS / 12."""
    generator = np.random.default_rng(5)
    channel = np.repeat(np.arange(40, dtype=np.int32), 6)
    age = np.exp(generator.uniform(np.log(0.2), np.log(1000), len(channel)))
    views = np.exp(9 + 0.5 * np.log(age) + 0.4 * generator.normal(size=len(channel))).astype(np.int64)
    fit = GrowthFit()
    fit.add(views, age, channel)
    knots = np.log(KNOTS_DAYS)
    widths = np.diff(knots)
    x = np.stack([np.interp(np.log(age), knots[[k, k + 1]], [0.0, 1.0]) for k in range(len(widths))], axis=1)
    y = np.log1p(views)

    def centred(values):
        return values - np.stack([values[channel == one].mean(axis=0) for one in range(40)])[channel]

    slope = np.eye(len(widths)) / widths
    smooth = np.sqrt(SMOOTH_VIDEOS / 12) * np.diff(slope, axis=0)
    prior = np.sqrt(PRIOR_VIDEOS / 12) * np.eye(len(widths))
    wanted = np.sqrt(PRIOR_VIDEOS / 12) * PRIOR_SLOPE * widths
    rows = np.concatenate([centred(x), prior, smooth])
    aims = np.concatenate([centred(y), wanted, np.zeros(len(smooth))])
    expected, _ = nnls(rows, aims)
    assert rises(fit.curve()) == pytest.approx(expected, abs=1e-6)
    rest = centred(y) - centred(x) @ expected
    assert fit.curve().residual_sd == pytest.approx(
        np.sqrt((rest**2).sum() / (240 - 40 - (expected > 0).sum())), abs=1e-5
    )
    level = np.mean([(y - x @ expected)[channel == one].mean() for one in range(40)])
    assert fit.curve().level == pytest.approx(level, abs=1e-6)


def test_the_order_in_which_channels_arrive_is_no_part_of_the_curve():
    generator = np.random.default_rng(6)
    views, age = generator.integers(10, 10**6, 200), generator.uniform(1, 300, 200)
    channel = np.repeat(np.arange(40, dtype=np.int32), 5)
    curves = []
    for order in (range(40), reversed(range(40)), generator.permutation(40)):
        fit = GrowthFit()
        for one in order:
            fit.add(views[channel == one], age[channel == one], channel[channel == one])
        curves.append(fit.curve())
    for other in curves[1:]:
        assert other.log_growth == pytest.approx(curves[0].log_growth, abs=2e-8)
        assert (other.level, other.residual_sd) == (curves[0].level, curves[0].residual_sd)


def test_channels_of_one_video_between_others_are_left_out_and_change_nothing():
    views, age = np.array([10, 500, 20, 800, 7, 90]), np.array([3.0, 30.0, 5.0, 40.0, 8.0, 80.0])
    with_single, without = GrowthFit(), GrowthFit()
    with_single.add(views, age, keys(1, 1, 2, 3, 4, 4))
    kept = [0, 1, 4, 5]
    without.add(views[kept], age[kept], keys(1, 1, 4, 4))
    assert with_single.curve().log_growth.tolist() == without.curve().log_growth.tolist()
    assert (with_single.curve().n_videos, with_single.curve().n_channels) == (4, 2)


# Splits and evidence


@pytest.mark.parametrize(("old", "holdout"), [(400, 30), (60, 30), (59, 29.5), (10, 5), (0, 0)])
def test_the_holdout_is_thirty_days_and_of_a_young_niche_half_of_its_time(old, holdout):
    assert time_cut(NEWEST, NEWEST - timedelta(days=old)) == NEWEST - timedelta(days=holdout)


@pytest.mark.parametrize(
    ("low", "high", "rules"), [(0.55, 0.6, False), (0.5501, 0.6, True), (0.4, 0.45, False), (0.4, 0.4499, True)]
)
def test_an_interval_that_touches_a_limit_of_the_clock_does_not_lie_outside(low, high, rules):
    assert Clock(Interval(0.5, low, high), 1000, 80).rules is rules


def test_fifty_channels_are_enough_to_say_that_the_clock_rules():
    found = [Clock(Interval(0.7, 0.6, 0.8), 1000, channels) for channels in (49, 50)]
    assert [(one.few_channels, one.rules) for one in found] == [(True, False), (False, True)]


def test_leaks_of_every_kind_add_up():
    assert Leaks(1, 20, 300, 4000).total == 4321


# Real click-through rates


def studio(first, last, impressions, issued=1):
    issued_at = datetime(2026, 8, issued, tzinfo=UTC)
    return PeriodReach("v", "studio", date(2026, 7, first), date(2026, 7, last), impressions, 0.1, issued_at)


@pytest.mark.parametrize(
    ("rows", "impressions"),
    [
        ((studio(1, 5, 10), studio(6, 9, 1)), 11),  # side by side
        ((studio(1, 5, 10), studio(5, 8, 1)), 10),  # the last day of one is the first of the other
        ((studio(5, 9, 10), studio(2, 5, 1)), 10),
        ((studio(1, 9, 10), studio(4, 4, 1)), 10),  # one inside the other
        ((studio(4, 4, 1, issued=2), studio(1, 9, 10)), 1),  # a later issue goes before a longer period
    ],
)
def test_two_periods_overlap_where_they_have_a_day_in_common(rows, impressions):
    for order in (rows, rows[::-1]):
        [rate] = rates_of(order).rates
        assert rate.impressions == impressions


def test_a_video_with_just_the_minimum_of_impressions_has_a_rate():
    assert len(rates_of([studio(1, 2, 100)], min_impressions=100).rates) == 1
    assert len(rates_of([studio(1, 2, 1)]).rates) == 1
    assert rates_of([studio(1, 2, 99)], min_impressions=100).below_minimum == 1
