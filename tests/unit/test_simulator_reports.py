"""When simulated reports exist, who may have them, and how files and Analytics answer: pure functions."""

import gzip
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from thumbrank_core.simulator.api_errors import ApiError
from thumbrank_core.simulator.reporting_access import owner_of
from thumbrank_core.simulator.reporting_analytics import views_by_day
from thumbrank_core.simulator.reporting_jobs import (
    REACH_BASIC,
    Job,
    JobStore,
    Report,
    is_reissued,
    last_ready_day,
    pacific_midnight,
    reports,
)
from thumbrank_core.simulator.reporting_media import media_answer
from thumbrank_core.simulator.reporting_reach import reported_videos
from thumbrank_core.simulator.requests import Query
from thumbrank_core.simulator.world import World, WorldSettings, build_world

SETTINGS = WorldSettings(seed=3, channels_per_niche=2, videos_per_channel=20)


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(SETTINGS)


def job(at: datetime, report_type: str = REACH_BASIC, channel_id: str = "UC-somebody") -> Job:
    made = JobStore().add(channel_id, report_type, "mine", at)
    assert made is not None
    return made


# Which reports exist when

MADE = datetime(2026, 8, 1, 12, 30, tzinfo=UTC)


def after(**passed: float) -> list[Report]:
    return reports(job(MADE), MADE + timedelta(**passed))


def test_nothing_exists_before_48_hours_and_then_the_30_days_before_the_job_do():
    assert after(hours=48, microseconds=-1) == []
    first = after(hours=48)
    assert [report.day for report in first] == [date(2026, 7, 31) - timedelta(days=number) for number in range(30)]
    assert {report.created_at for report in first} == {MADE + timedelta(hours=48)}


def test_every_later_day_brings_the_report_of_two_to_three_days_before():
    known = {report.day for report in after(days=3)}
    for days in range(4, 30):
        fresh = [report for report in after(days=days) if report.day not in known]
        # The job was made at 05:30 Pacific, and reports are ready at ten.
        assert [report.day for report in fresh] == [date(2026, 7, 29) + timedelta(days=days)]
        assert timedelta(hours=48) <= fresh[0].created_at - fresh[0].start <= timedelta(hours=72)
        known.add(fresh[0].day)


def test_reports_of_the_jobs_own_days_live_60_days_and_backfilled_ones_30():
    own, backfilled = date(2026, 8, 2), date(2026, 7, 20)
    for day, kept in ((own, 60), (backfilled, 30)):
        assert not is_reissued("UC-somebody", day)
        (report,) = [report for report in after(days=10) if report.day == day]
        last = report.created_at + timedelta(days=kept)
        assert report.expires_at == last
        assert report in reports(job(MADE), last - timedelta(microseconds=1))
        assert report not in reports(job(MADE), last)


def test_an_old_job_still_has_its_last_60_days_and_no_more():
    made = job(MADE)
    now = MADE + timedelta(days=3000)
    found = reports(made, now)
    assert 60 <= len(found) <= 63
    assert all(now - timedelta(days=60) < report.created_at <= now for report in found)


def test_exactly_one_backfilled_day_is_reissued_with_a_newer_time_and_the_same_bounds():
    for channel in ("UC-one", "UC-two", "UC-three"):
        found = reports(job(MADE, channel_id=channel), MADE + timedelta(days=5))
        backfilled = [report for report in found if report.day < date(2026, 8, 1)]
        assert len(backfilled) == 31
        (twice,) = [report for report in backfilled if report.is_preliminary]
        (again,) = [report for report in backfilled if report.day == twice.day and report != twice]
        assert (again.start, again.end) == (twice.start, twice.end)
        assert again.created_at > twice.created_at
        assert again.id != twice.id


def test_reports_are_listed_newest_first():
    found = after(days=20)
    assert found == sorted(found, key=lambda report: (report.created_at, report.day), reverse=True)


def test_a_report_begins_and_ends_at_pacific_midnight_through_a_change_of_the_clocks():
    found = {r.day: r for r in reports(job(datetime(2026, 11, 5, tzinfo=UTC)), datetime(2026, 11, 12, tzinfo=UTC))}
    summer, change, winter = (found[date(2026, 10, 31)], found[date(2026, 11, 1)], found[date(2026, 11, 2)])
    assert summer.start.isoformat() == "2026-10-31T07:00:00+00:00"
    assert summer.end == change.start == datetime(2026, 11, 1, 7, tzinfo=UTC)
    assert change.end == winter.start == datetime(2026, 11, 2, 8, tzinfo=UTC)
    assert winter.end == datetime(2026, 11, 3, 8, tzinfo=UTC)


def test_types_that_this_world_does_not_write_have_no_reports():
    assert reports(job(MADE, "channel_basic_a3"), MADE + timedelta(days=9)) == []


def test_a_job_made_again_is_another_job():
    jobs = JobStore()
    first = jobs.add("UC-one", REACH_BASIC, "mine", MADE)
    assert first is not None
    assert jobs.add("UC-one", REACH_BASIC, "again", MADE) is None
    assert jobs.add("UC-two", REACH_BASIC, "theirs", MADE) is not None
    assert jobs.find("UC-two", first.id) is None
    jobs.remove(first)
    second = jobs.add("UC-one", REACH_BASIC, "mine", MADE)
    assert second is not None and second.id != first.id
    assert jobs.of("UC-one") == [second]


@pytest.mark.parametrize(
    ("now", "last"),
    [
        (datetime(2026, 8, 10, 16, 59, tzinfo=UTC), date(2026, 8, 7)),
        (datetime(2026, 8, 10, 17, 0, tzinfo=UTC), date(2026, 8, 8)),
        (datetime(2026, 8, 11, 6, 59, tzinfo=UTC), date(2026, 8, 8)),
    ],
)
def test_numbers_are_known_at_ten_pacific_two_days_later(now: datetime, last: date):
    assert last_ready_day(now) == last


# Identity, downloads, Analytics


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic owner-x", "owner-x", "Bearer nobody", "Bearer expired-owner-x"]
)
def test_without_a_living_token_nobody_is_let_in(world: World, header: str | None):
    with pytest.raises(ApiError) as refused:
        owner_of(world, header)
    assert (refused.value.code, refused.value.status, refused.value.reason) == (401, "UNAUTHENTICATED", "authError")


def test_an_expired_token_is_told_from_one_that_never_was(world: World):
    with pytest.raises(ApiError, match="expired"):
        owner_of(world, "Bearer expired-anything")
    with pytest.raises(ApiError, match="invalid"):
        owner_of(world, "Bearer anything")


def test_a_token_opens_its_own_channel_and_an_unknown_owner_is_forbidden(world: World):
    channel = world.channels[4]
    assert owner_of(world, f"bearer owner-{channel.id}") == channel
    with pytest.raises(ApiError) as refused:
        owner_of(world, "Bearer owner-UCnobody")
    assert (refused.value.code, refused.value.status) == (403, "PERMISSION_DENIED")


@pytest.mark.parametrize(
    ("asked", "sent", "content_range"),
    [
        ("bytes=0-3", b"0123", "bytes 0-3/10"),
        ("bytes=0-1048576", b"0123456789", "bytes 0-9/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-2", b"89", "bytes 8-9/10"),
        ("bytes=-99", b"0123456789", "bytes 0-9/10"),
        ("bytes=9-9", b"9", "bytes 9-9/10"),
    ],
)
def test_a_range_is_answered_with_its_bytes_uncompressed(asked: str, sent: bytes, content_range: str):
    answer = media_answer(b"0123456789", range_header=asked, accept_encoding="gzip", media_type="text/csv")
    assert (answer.status_code, answer.body) == (206, sent)
    assert answer.headers["content-range"] == content_range
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize(
    "asked", [None, "bytes=5-3", "bytes=-", "bytes=0-1,4-5", "lines=0-3", "bytes=" + "9" * 5000 + "-"]
)
def test_what_is_not_one_range_gets_the_whole_file(asked: str | None):
    answer = media_answer(b"0123456789", range_header=asked, accept_encoding="identity", media_type="text/csv")
    assert (answer.status_code, answer.body) == (200, b"0123456789")


def test_a_range_beyond_the_end_names_the_size():
    answer = media_answer(b"0123456789", range_header="bytes=10-20", accept_encoding="", media_type="text/csv")
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */10")


def test_a_whole_file_is_compressed_for_whoever_accepts_it():
    answer = media_answer(b"0123456789", range_header=None, accept_encoding="br, GZIP;q=0.5", media_type="text/csv")
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(bytes(answer.body)) == b"0123456789"


def analytics(world: World, now: datetime = SETTINGS.as_of, channel: int = 0, **changes: str) -> dict:
    asked = {
        "ids": "channel==MINE",
        "startDate": "2026-07-01",
        "endDate": "2026-07-31",
        "metrics": "views",
        "dimensions": "day",
    } | changes
    query = Query({name: [value] for name, value in asked.items() if value}, "http://127.0.0.1")
    return views_by_day(world, world.channels[channel], query, now)


def test_analytics_counts_views_by_day_up_to_two_to_three_days_ago(world: World):
    table = analytics(world)
    assert [header["name"] for header in table["columnHeaders"]] == ["day", "views"]
    assert [row[0] for row in table["rows"]] == [f"2026-07-{day:02d}" for day in range(1, 30)]
    assert all(isinstance(row[1], int) and row[1] > 0 for row in table["rows"])


def test_the_days_of_analytics_add_up_to_the_views_of_the_channel(world: World):
    everything = analytics(
        world, datetime(2026, 8, 4, tzinfo=UTC), startDate="1990-01-01", endDate="2026-07-31", sort="day"
    )
    counted = sum(video.views for video in reported_videos(world, world.channels[0].id))
    assert sum(row[1] for row in everything["rows"]) == pytest.approx(counted, rel=0.02)
    # The last Pacific day ends seven hours after the world's midnight, so the sum may only be above.
    assert sum(row[1] for row in everything["rows"]) >= counted - len(world.uploads(world.channels[0].id))
    assert len(everything["rows"]) < 100


@pytest.mark.parametrize(
    ("start", "end"), [("2026-07-31", "2026-08-09"), ("2020-01-01", "2020-02-01"), ("2026-08-01", "2026-08-01")]
)
def test_analytics_leaves_rows_out_where_there_is_nothing(world: World, start: str, end: str):
    table = analytics(world, startDate=start, endDate=end)
    assert "rows" not in table
    assert table["kind"] == "youtubeAnalytics#resultTable"


@pytest.mark.parametrize(
    "changes",
    [
        {"metrics": "videoThumbnailImpressions"},
        {"metrics": "views,videoThumbnailImpressionsClickRate"},
        {"metrics": "videoThumbnailImpressions", "dimensions": ""},
        {"metrics": "videoThumbnailImpressions", "dimensions": "video"},
        {"dimensions": "video"},
        {"filters": "video==x"},
        {"sort": "-views"},
    ],
)
def test_analytics_does_not_support_thumbnail_metrics_or_what_this_world_does_not_count(
    world: World, changes: dict[str, Any]
):
    with pytest.raises(ApiError) as refused:
        analytics(world, **changes)
    assert (refused.value.code, refused.value.message) == (400, "The query is not supported.")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"ids": ""}, 400),
        ({"ids": "contentOwner==me"}, 400),
        ({"ids": "channel==UCsomebodyelse"}, 403),
        ({"metrics": ""}, 400),
        ({"startDate": ""}, 400),
        ({"startDate": "20260701"}, 400),
        ({"endDate": "2026-7-1"}, 400),
        ({"startDate": "2026-08-02"}, 400),
    ],
)
def test_analytics_refuses_what_it_cannot_read(world: World, changes: dict[str, Any], code: int):
    with pytest.raises(ApiError) as refused:
        analytics(world, **changes)
    assert refused.value.code == code
    assert refused.value.message != "The query is not supported."


def test_pacific_midnights_are_a_day_of_23_hours_apart_in_spring():
    assert pacific_midnight(date(2027, 3, 15)) - pacific_midnight(date(2027, 3, 14)) == timedelta(hours=23)
