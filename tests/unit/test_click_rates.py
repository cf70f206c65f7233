"""Real click-through rates: weighted by impressions, no day counted twice."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from thumbrank_core.labels.click_rates import ClickRate, PeriodReach, Source, rates_of


def row(video, first, last, impressions, rate, *, source: Source = "studio", issued=1):
    return PeriodReach(
        video,
        source,
        date(2026, 7, first),
        date(2026, 7, last),
        impressions,
        rate,
        datetime(2026, 8, issued, tzinfo=UTC),
    )


def day(video, number, impressions, rate):
    return row(video, number, number, impressions, rate, source="reporting_api")


def only(found):
    [rate] = found.rates
    return rate


def test_a_rate_is_clicks_over_impressions_and_never_a_mean_of_rates():
    found = only(rates_of([day("v", 1, 1000, 0.05), day("v", 2, 10, 0.9), day("v", 3, 0, None)]))
    # (1000 x 0.05 + 10 x 0.9) / 1010 = 59 / 1010; the mean of the rates would be 0.475.
    rate: Any = pytest.approx(59 / 1010)
    assert found == ClickRate("v", 1010, 59, rate, date(2026, 7, 1), date(2026, 7, 3))


def test_videos_come_each_with_its_own_rate_whatever_the_order_of_rows():
    found = rates_of([day("b", 1, 100, 0.1), day("a", 1, 200, 0.2), day("b", 2, 300, 0.3)])
    assert [(rate.video_id, rate.impressions, rate.clicks) for rate in found.rates] == [("a", 200, 40), ("b", 400, 100)]


def test_a_studio_period_with_a_day_of_the_reporting_api_is_left_out_whole_and_counted():
    found = rates_of([day("v", 5, 100, 0.1), row("v", 1, 5, 900, 0.5), row("v", 6, 9, 100, 0.2)])
    assert (only(found).impressions, only(found).clicks, found.beside_reports) == (200, 30, 1)
    assert only(found).last_day == date(2026, 7, 9)


def test_days_of_another_video_do_not_matter():
    found = rates_of([day("a", 5, 100, 0.1), row("b", 1, 9, 900, 0.5)])
    assert [rate.impressions for rate in found.rates] == [100, 900]
    assert found.beside_reports == 0


def test_of_studio_periods_that_share_a_day_the_one_issued_last_is_taken():
    found = rates_of([row("v", 1, 28, 900, 0.5, issued=1), row("v", 7, 8, 100, 0.1, issued=2)])
    assert (only(found).impressions, found.beside_studio) == (100, 1)


def test_of_studio_periods_issued_at_one_time_the_longest_is_taken_and_of_equals_the_earliest():
    found = rates_of(
        [row("v", 1, 5, 10, 0.5), row("v", 4, 20, 100, 0.1), row("v", 20, 24, 10, 0.5), row("v", 25, 26, 7, 0.0)]
    )
    assert (only(found).impressions, found.beside_studio) == (107, 2)
    found = rates_of([row("v", 3, 6, 20, 0.5), row("v", 1, 4, 10, 0.5)])
    assert only(found).impressions == 10


def test_a_period_beside_a_report_does_not_push_out_another_studio_period():
    # The newest export overlaps a report and is left out; the older one then has nothing to overlap with.
    found = rates_of([day("v", 9, 100, 0.1), row("v", 5, 9, 900, 0.5, issued=2), row("v", 1, 5, 50, 0.2, issued=1)])
    assert (only(found).impressions, found.beside_reports, found.beside_studio) == (150, 1, 0)


def test_videos_below_the_minimum_have_no_rate_and_are_counted():
    found = rates_of([day("a", 1, 99, 0.1), day("b", 1, 100, 0.1), day("c", 1, 0, None)], min_impressions=100)
    assert [rate.video_id for rate in found.rates] == ["b"]
    assert found.below_minimum == 2
    with pytest.raises(ValueError, match="at least one impression"):
        rates_of([], min_impressions=0)


def test_nothing_gives_no_rates():
    assert rates_of([]).rates == ()
