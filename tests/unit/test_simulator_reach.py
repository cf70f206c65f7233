"""What the simulated reach reports say: pure functions of a world and a day."""

import csv
import io
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from thumbrank_core.simulator.reporting_jobs import REACH_BASIC, REACH_COMBINED
from thumbrank_core.simulator.reporting_reach import (
    COMBINED_DIMENSIONS,
    HIGHEST_BASE,
    LOWEST_BASE,
    MOST_VIDEOS,
    Reach,
    expected_click_through_rate,
    reach_csv,
    reach_of_day,
    reported_videos,
)
from thumbrank_core.simulator.world import World, WorldSettings, build_world

SETTINGS = WorldSettings(seed=3, channels_per_niche=10, videos_per_channel=20)
DAY = date(2026, 7, 15)
BASIC_HEADER = "date,channel_id,video_id,video_thumbnail_impressions,video_thumbnail_impressions_ctr"


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(SETTINGS)


@pytest.fixture(scope="module")
def large_world() -> World:
    """Large enough to hold what is rare: live and upcoming videos, and channels with several deleted ones."""
    return build_world(WorldSettings(seed=5, channels_per_niche=40, videos_per_channel=20))


@pytest.fixture(scope="module")
def indifferent_world() -> World:
    """The same videos where quality has no effect."""
    return build_world(WorldSettings(seed=3, channels_per_niche=10, videos_per_channel=20, effect=0))


@pytest.fixture(scope="module")
def totals(world: World) -> dict[str, tuple[int, int]]:
    """Impressions and clicks of every video of some channels from its first day to the world's clock."""
    sums: dict[str, tuple[int, int]] = {}
    for channel in world.channels[:3]:
        for number in range(95):
            for reach in reach_of_day(world, channel.id, SETTINGS.as_of.date() - timedelta(days=number)):
                impressions, clicks = sums.get(reach.video.id, (0, 0))
                sums[reach.video.id] = (impressions + reach.impressions, clicks + reach.clicks)
    return sums


def within_channel(values: np.ndarray) -> np.ndarray:
    """Log odds with each channel's mean removed."""
    odds = np.log(values / (1 - values)).reshape(-1, SETTINGS.videos_per_channel)
    return (odds - odds.mean(axis=1, keepdims=True)).ravel()


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def channel_with(world: World, *states: str) -> str:
    return next(video.channel.id for video in world.videos if video.state in states)


# The numbers


def test_a_better_picture_and_title_have_a_higher_click_through_rate(world: World):
    rates = expected_click_through_rate(world, world.videos)
    effects = world.effects.reshape(-1, SETTINGS.videos_per_channel)
    effects = (effects - effects.mean(axis=1, keepdims=True)).ravel()
    assert np.corrcoef(within_channel(rates), effects)[0, 1] > 0.9


def test_without_an_effect_the_click_through_rate_knows_nothing_of_quality(world: World, indifferent_world: World):
    rates = expected_click_through_rate(indifferent_world, indifferent_world.videos)
    assert abs(np.corrcoef(within_channel(rates), world.effects)[0, 1]) < 0.08


def test_the_typical_click_through_rate_of_a_channel_is_its_own_and_plausible(world: World):
    rates = expected_click_through_rate(world, world.videos).reshape(-1, SETTINGS.videos_per_channel)
    medians = np.median(rates, axis=1)
    assert 0.8 * LOWEST_BASE < medians.min() < 0.035
    assert 0.06 < medians.max() < 1.3 * HIGHEST_BASE


def test_observed_clicks_follow_the_expected_rate(world: World, totals: dict[str, tuple[int, int]]):
    seen = [video for video in world.videos if totals.get(video.id, (0, 0))[0] > 50_000]
    observed = np.array([totals[video.id][1] / totals[video.id][0] for video in seen])
    assert len(seen) > 20
    assert np.allclose(observed, expected_click_through_rate(world, seen), rtol=0.1)


def test_the_clicks_of_a_videos_life_are_a_large_share_of_its_views(world: World, totals: dict[str, tuple[int, int]]):
    ratios = [totals[video.id][1] / video.views for video in world.videos if video.id in totals and video.views > 2000]
    assert len(ratios) > 40
    assert min(ratios) > 0.4 and max(ratios) < 1.05
    assert np.std(np.log(ratios)) > 0.1, "clicks must not be a copy of views"


def test_a_video_has_no_impressions_before_it_is_published_and_most_at_first(world: World):
    video = max(world.videos[:20], key=lambda video: video.published_at.timestamp() * (video.views > 5000))
    published = video.published_at.date()

    def impressions(day: date) -> int:
        return sum(r.impressions for r in reach_of_day(world, video.channel.id, day) if r.video.id == video.id)

    assert impressions(published - timedelta(days=2)) == 0
    assert impressions(published + timedelta(days=1)) > 2 * impressions(published + timedelta(days=40)) > 0


def test_larger_channels_have_more_impressions(world: World):
    channels = [channel for channel in world.channels if world.uploads(channel.id)]
    sizes = np.log([channel.views_per_video for channel in channels])
    seen = np.log([sum(r.impressions for r in reach_of_day(world, channel.id, DAY)) for channel in channels])
    assert np.corrcoef(sizes, seen)[0, 1] > 0.8


def test_numbers_depend_on_neither_the_order_of_questions_nor_the_size_of_the_world(world: World):
    channel = world.channels[0].id
    later = reach_of_day(world, channel, DAY + timedelta(days=3))
    before = reach_of_day(world, channel, DAY)
    larger = build_world(WorldSettings(seed=3, channels_per_niche=12, videos_per_channel=20))

    def counts(reaches: list[Reach]) -> list[tuple[str, int, int]]:
        return [(reach.video.id, reach.impressions, reach.clicks) for reach in reaches]

    assert counts(reach_of_day(larger, channel, DAY)) == counts(before)
    assert counts(reach_of_day(world, channel, DAY + timedelta(days=3))) == counts(later) != counts(before)


def test_every_video_has_days_of_its_own(world: World):
    changes: list[float] = []
    for channel in world.channels:
        today, tomorrow = (
            {reach.video.id: reach for reach in reach_of_day(world, channel.id, day)}
            for day in (DAY, DAY + timedelta(days=1))
        )
        ratios = [
            np.log(tomorrow[video].impressions / reach.impressions)
            for video, reach in today.items()
            if reach.impressions > 1000 and reach.video.published_at < datetime(2026, 7, 1, tzinfo=UTC)
        ]
        changes += list(np.array(ratios) - np.mean(ratios)) if len(ratios) > 1 else []
    assert len(changes) > 100
    assert 0.2 < np.std(changes) < 0.4


def test_an_upcoming_video_has_no_reach(large_world: World):
    channel = channel_with(large_world, "upcoming")
    assert all(reach.video.state != "upcoming" for reach in reach_of_day(large_world, channel, DAY))


# The files


def test_the_basic_report_has_its_five_columns_and_one_row_per_video(world: World):
    channel = channel_with(world, "deleted", "private")
    text = reach_csv(world, REACH_BASIC, channel, DAY, preliminary=False)
    assert text.splitlines()[0] == BASIC_HEADER
    found = rows(text)
    assert len({row["video_id"] for row in found}) == len(found) > 3
    for row in found:
        assert row["date"] == "20260715"
        assert row["channel_id"] == channel
        assert int(row["video_thumbnail_impressions"]) > 0
        assert 0 <= float(row["video_thumbnail_impressions_ctr"]) <= 1
        assert "e" not in row["video_thumbnail_impressions_ctr"]


def test_deleted_and_private_videos_are_counted_together_under_an_empty_id(large_world: World):
    gone = [video for video in large_world.videos if not video.is_listed and video.views > 1000]
    channel, count = Counter(video.channel.id for video in gone).most_common(1)[0]
    assert count > 1
    day = SETTINGS.as_of.date()
    expected = [reach for reach in reach_of_day(large_world, channel, day) if not reach.video.is_listed]
    text = reach_csv(large_world, REACH_BASIC, channel, day, preliminary=False)
    (row,) = [row for row in rows(text) if not row["video_id"]]
    impressions = sum(reach.impressions for reach in expected)
    assert int(row["video_thumbnail_impressions"]) == impressions > 0
    ratio = sum(reach.clicks for reach in expected) / impressions
    assert float(row["video_thumbnail_impressions_ctr"]) == pytest.approx(ratio)


def test_the_combined_report_breaks_down_the_basic_one_and_adds_up_to_it(world: World):
    channel = channel_with(world, "deleted", "private")

    def sums(report_type: str) -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        for row in rows(reach_csv(world, report_type, channel, DAY, preliminary=False)):
            impressions = int(row["video_thumbnail_impressions"])
            clicks = impressions * float(row["video_thumbnail_impressions_ctr"])
            assert impressions > 0
            assert clicks == pytest.approx(round(clicks), abs=1e-6)
            assert clicks <= impressions
            before = found.get(row["video_id"], (0, 0))
            found[row["video_id"]] = (before[0] + impressions, before[1] + round(clicks))
        return found

    header = reach_csv(world, REACH_COMBINED, channel, DAY, preliminary=False).splitlines()[0]
    assert tuple(header.split(",")[3:-2]) == COMBINED_DIMENSIONS
    assert sums(REACH_COMBINED) == sums(REACH_BASIC)


def test_a_live_video_is_told_apart_in_the_combined_report(large_world: World):
    live = next(video for video in large_world.videos if video.state == "live" and video.views > 1000)
    found = rows(reach_csv(large_world, REACH_COMBINED, live.channel.id, SETTINGS.as_of.date(), preliminary=False))
    assert {row["live_or_on_demand"] for row in found if row["video_id"] == live.id} == {"live"}
    assert {row["live_or_on_demand"] for row in found if row["video_id"] != live.id} == {"on_demand"}


def test_the_preliminary_edition_counts_less_for_every_video(world: World):
    channel = channel_with(world, "public")
    first = {r.video.id: r for r in reach_of_day(world, channel, DAY, preliminary=True)}
    final = {r.video.id: r for r in reach_of_day(world, channel, DAY)}
    assert first and set(first) <= set(final)
    assert all(reach.clicks <= reach.impressions < final[video].impressions for video, reach in first.items())


def test_a_day_without_anything_is_a_header_alone(world: World):
    assert reach_csv(world, REACH_BASIC, "UCwithout-any-upload-at-al", DAY, preliminary=False) == BASIC_HEADER + "\n"
    long_ago = reach_csv(world, REACH_BASIC, world.channels[0].id, date(2020, 1, 1), preliminary=False)
    assert long_ago == BASIC_HEADER + "\n"


def test_a_report_covers_a_bounded_number_of_videos():
    crowded = build_world(WorldSettings(seed=3, channels_per_niche=1, videos_per_channel=MOST_VIDEOS + 100))
    covered = reported_videos(crowded, crowded.channels[0].id)
    assert len(covered) == MOST_VIDEOS
    assert covered[0] == crowded.uploads(crowded.channels[0].id)[0]
