"""The three labels and the regimes on videos whose answers are known by hand."""

from datetime import UTC, datetime

import numpy as np
import pytest

from thumbrank_core.labels.definitions import (
    EDGE_FACTOR,
    SHRINK_VIDEOS,
    age_adjusted,
    views_per_hour,
    window_views,
)
from thumbrank_core.labels.growth import GrowthCurve
from thumbrank_core.labels.regimes import regimes

LEVEL = 5.0


def curve(slope=0.5):
    """ln(1 + views) rises by `slope` each time the age is multiplied by e."""
    knots = np.array([1.0, 10.0, 1000.0])
    return GrowthCurve(knots, slope * np.log(knots), 1.0, LEVEL, 100, 10)


def keys(*values):
    return np.array(values, dtype=np.int32)


def seconds(*days):
    return np.array([datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() for day in days])


def test_views_per_hour_is_the_guide_s():
    assert views_per_hour(np.array([4800, 4800]), np.array([1.0, 2.0])).tolist() == [200.0, 100.0]


def test_a_video_seen_in_its_first_minutes_has_a_finite_rate():
    assert views_per_hour(np.array([10]), np.array([0.0]))[0] == pytest.approx(10.0)


def test_two_videos_on_the_growth_curve_are_equal_whatever_their_age():
    age = np.array([10.0, 100.0, 640.0])
    views = np.round(np.expm1(12 + curve().at(age))).astype(np.int64)
    value = age_adjusted(views, age, keys(1, 1, 1), curve())
    assert value == pytest.approx([value[0]] * 3, rel=1e-4)


def test_the_ratio_of_two_labels_is_the_ratio_of_views_at_equal_age():
    value = age_adjusted(np.array([99, 199, 9_999]), np.full(3, 20.0), keys(1, 1, 1), curve())
    assert value[1] / value[0] == pytest.approx(2.0)
    assert value[2] / value[0] == pytest.approx(100.0)


def test_a_channel_s_median_is_drawn_towards_the_niche_s_level_by_its_count():
    age, many = np.full(200, 10.0), np.full(200, 10.0)
    at = float(curve().at(np.array([10.0]))[0])
    views = np.full(200, round(np.expm1(9 + at)))
    single = age_adjusted(views[:1], age[:1], keys(1), curve())
    crowd = age_adjusted(views, many, np.full(200, 1, dtype=np.int32), curve())
    off = 9 - LEVEL
    assert np.log(single[0]) == pytest.approx(off * SHRINK_VIDEOS / (1 + SHRINK_VIDEOS), rel=1e-3)
    assert np.log(crowd[0]) == pytest.approx(off * SHRINK_VIDEOS / (200 + SHRINK_VIDEOS), rel=1e-2)


def test_each_channel_has_its_own_median():
    views = np.array([100, 200, 300, 10_000, 20_000, 30_000, 40_000])
    value = age_adjusted(views, np.full(7, 30.0), keys(1, 1, 1, 2, 2, 2, 2), curve(0.0))
    rest = np.log1p(views)
    usual = [LEVEL + (np.median(part) - LEVEL) * len(part) / (len(part) + 5) for part in (rest[:3], rest[3:])]
    assert np.log(value) == pytest.approx(rest - np.repeat(usual, [3, 4]))


def test_labels_of_nothing_are_nothing():
    none, no_keys, counts = np.empty(0), keys(), np.empty(0, dtype=np.int64)
    assert len(age_adjusted(counts, none, no_keys, curve())) == 0
    assert len(window_views(no_keys, none, counts, (0, 28))) == 0


def test_window_views_reads_a_snapshot_on_the_edge_and_between_two_snapshots_on_the_logarithm():
    video, age = keys(1, 1, 2, 2), np.array([28.0, 60.0, 20.0, 40.0])
    views = np.array([700, 900, 99, 399])
    found = window_views(video, age, views, (0, 28))
    share = np.log(28 / 20) / np.log(2)
    assert found[0] == pytest.approx(700)
    assert found[1] == pytest.approx(100 * 4**share - 1)


def test_window_views_are_unknown_where_no_snapshot_is_near_the_edge():
    near, far = 28 * EDGE_FACTOR, 28 * EDGE_FACTOR + 1
    video = keys(1, 1, 2, 2, 3, 4)
    age = np.array([27.0, near, 27.0, far, 20.0, 30.0])
    found = window_views(video, age, np.array([1, 2, 1, 2, 5, 5]), (0, 28))
    assert np.isfinite(found).tolist() == [True, False, False, False]


def test_window_views_take_away_what_came_before_the_window_and_never_fall_below_zero():
    video, age = keys(1, 1, 2, 2), np.array([7.0, 28.0, 7.0, 28.0])
    assert window_views(video, age, np.array([100, 450, 100, 90]), (7, 28)) == pytest.approx([350.0, 0.0])


def test_a_later_snapshot_does_not_change_the_views_of_the_window():
    first = window_views(keys(1, 1), np.array([20.0, 40.0]), np.array([99, 399]), (0, 28))
    later = window_views(keys(1, 1, 1), np.array([20.0, 40.0, 300.0]), np.array([99, 399, 10**6]), (0, 28))
    assert later.tolist() == first.tolist()


def test_a_regime_is_the_definition_at_publication_and_when_counted():
    published = seconds("2025-03-01", "2025-03-01", "2025-04-01", "2026-08-01", "2026-09-01", "2025-03-01")
    observed = seconds("2025-03-20", "2025-04-20", "2025-04-20", "2026-09-01", "2026-09-20", "2025-04-20")
    short = np.array([True, True, True, False, False, False])
    assert regimes(published, observed, short).tolist() == [0, 1, 11, 2, 22, 0]
