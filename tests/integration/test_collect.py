"""Collection with the real client against a simulated YouTube over real HTTP: what ends up in the tables."""

import http.client
import logging
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import LiteralString
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from tests.integration.collecting import (
    DAY,
    KEY,
    POLICY,
    RICH,
    TECH,
    TINY,
    as_written,
    collect,
    difference,
    emptied,
    every_row,
    forecast,
    generous,
    ledger,
    policy_of,
    rows,
    youtube_of,
)
from tests.integration.missing import miss_counts
from thumbrank_core.exclusions import Exclusions
from thumbrank_core.niches import NicheConfig
from thumbrank_core.simulator import traits
from thumbrank_core.simulator.world import build_world
from thumbrank_core.store.catalog import VideoSeen, record_videos
from thumbrank_core.store.database import Database
from thumbrank_core.store.tombstones import record as bury
from thumbrank_core.youtube.client import YouTube
from thumbrank_core.youtube.collect import STAGES, NothingFoundError
from thumbrank_core.youtube.errors import FatalYouTubeError, KeyRefusedError, RetryableYouTubeError
from thumbrank_core.youtube.quota import BudgetSpentError

KIDS, KIDS_SEED = 0.5, 1
LONG_WINDOW = policy_of(collection={"window_days": 3650})
"""For tests that move the clock by weeks: nothing falls out of the window on the way."""


@pytest.fixture
def db(collecting_db):
    return emptied(collecting_db)


@pytest.fixture(scope="module")
def world():
    return build_world(RICH)


@pytest.fixture(scope="module")
def frozen():
    """The rich world at its `as_of`, for tests that do not move the clock."""
    with generous(RICH) as server:
        yield server


@pytest.fixture(scope="module")
def moving():
    """A tiny world whose clock goes on from test to test; nothing else of it changes."""
    with generous(TINY) as server:
        yield server


def listed(world):
    return {video.id: video for video in world.videos if video.is_listed}


def stored(db):
    return {video_id for (video_id,) in rows(db, "select video_id from thumbrank.thumbnails")}


def test_every_public_video_is_stored_with_its_views_dated_by_the_server_s_clock(db, frozen, world):
    result = collect(db, frozen)
    found = rows(
        db,
        "select t.video_id, c.channel_id, t.title, t.published_at, s.view_count, s.like_count, s.comment_count "
        "from thumbrank.thumbnails t join thumbrank.channels c using (channel_key) "
        "left join thumbrank.view_snapshots s using (video_key)",
    )
    assert sorted(found, key=repr) == sorted(
        (
            (v.id, v.channel.id, v.title, v.published_at, *((None,) * 3 if v.state == "upcoming" else _counts(v)))
            for v in listed(world).values()
        ),
        key=repr,
    )
    assert rows(db, "select distinct observed_at from thumbrank.view_snapshots") == [(RICH.as_of,)]
    assert rows(db, "select distinct fetched_at from thumbrank.thumbnails") == [(RICH.as_of,)]
    assert (result.state, result.resumed, result.resumes_at, result.reason) == ("complete", False, None, "")
    assert (result.channels, result.videos, result.videos_new) == (3, len(found), len(found))
    assert result.units == {bucket: units for bucket, units in ledger(db).items() if units}


def _counts(video):
    return video.views, video.likes, video.comments


def test_titles_are_those_of_videos_list_and_not_the_escaped_ones_of_search(db, frozen, world):
    collect(db, frozen)
    titles = {title for (title,) in rows(db, "select title from thumbrank.thumbnails")}
    assert titles == {video.title for video in listed(world).values()}
    assert sum("&" in title or "'" in title for title in titles) > 10, "nothing to escape, nothing tested"
    assert not any("&amp;" in title or "&#39;" in title for title in titles)


@pytest.mark.parametrize(("mode", "days"), [("unaudited", 30), ("audited", 1095)])
def test_every_row_of_the_api_says_until_when_it_may_stay(db, frozen, mode, days):
    collect(db, frozen, policy=POLICY.model_copy(update={"mode": mode}))
    seen: dict[LiteralString, tuple[LiteralString, int]] = {
        "channels": ("fetched_at", 30),
        "thumbnails": ("fetched_at", 30),
        "discoveries": ("discovered_at", 30),
        "misses": ("missed_at", 30),
        "view_snapshots": ("observed_at", days),
    }
    for table, (column, lifetime) in seen.items():
        assert rows(db, f"select distinct {column}, expires_at from thumbrank.{table}") == [
            (RICH.as_of, RICH.as_of + timedelta(days=lifetime))
        ], table
    assert rows(db, "select distinct source from thumbrank.channels union select source from thumbrank.thumbnails") == [
        ("youtube_api",)
    ]


def test_rows_of_a_simulator_stay_for_ever(db, frozen):
    collect(db, frozen, source="simulator")
    for table in ("channels", "thumbnails", "discoveries", "misses", "view_snapshots"):
        assert rows(db, f"select distinct expires_at from thumbrank.{table}") == [(None,)], table


def test_deleted_and_private_videos_are_misses_and_not_rows(db, frozen, world):
    result = collect(db, frozen)
    gone = {video.id for video in world.videos if video.state in ("deleted", "private")}
    assert {v.state for v in world.videos} == {"public", "deleted", "private", "live", "upcoming"}
    assert rows(db, "select kind, item_id, reason from thumbrank.misses order by item_id") == [
        ("video", video_id, "private_or_deleted") for video_id in sorted(gone)
    ]
    assert result.misses == {"private_or_deleted": len(gone)}
    assert not stored(db) & gone


def test_collecting_twice_at_one_moment_leaves_the_same_tables(db, frozen):
    collect(db, frozen)
    first = as_written(db), every_row(db)
    again = collect(db, frozen)
    assert (again.videos_new, again.snapshots, again.state) == (0, 0, "complete")
    assert as_written(db) == first[0]
    for table in ("channels", "discoveries", "thumbnails", "view_snapshots", "misses"):
        assert every_row(db)[table] == first[1][table], table


def test_shorts_premieres_and_live_streams_are_told_apart(db, frozen, world):
    def truth(video):
        if video.state == "upcoming" and video.duration_seconds:
            return "premiere"
        if video.state in ("live", "upcoming") or traits.is_recorded_live(video):
            return "live"
        return "short" if traits.is_short(video) else "upload"

    collect(db, frozen)
    kinds = dict(rows(db, "select video_id, video_kind from thumbrank.thumbnails"))
    assert kinds == {video.id: truth(video) for video in listed(world).values()}
    assert set(kinds.values()) == {"upload", "short", "live", "premiere"}


def test_a_premiere_is_still_one_when_youtube_shows_it_as_a_recorded_stream(db, frozen, world):
    collect(db, frozen)
    [premiere] = [v for v in world.videos if v.state == "upcoming" and v.duration_seconds]
    stream = next(v for v in world.videos if traits.is_recorded_live(v))
    with db.connection() as connection:
        record_videos(
            connection,
            [
                VideoSeen(v.id, v.channel.id, v.title, v.published_at, "youtube_api", RICH.as_of, kind="live")
                for v in (premiere, stream)
            ],
        )
    kinds = dict(rows(db, "select video_id, video_kind from thumbrank.thumbnails"))
    assert (kinds[premiere.id], kinds[stream.id]) == ("premiere", "live")


def test_a_channel_found_by_two_niches_stays_with_the_first(db, frozen):
    collect(db, frozen)
    before = as_written(db)
    second = collect(db, frozen, "news", NicheConfig(title="News", queries=TECH.queries))
    assert (second.channels, second.videos, second.elsewhere) == (0, 0, 3)
    after = as_written(db)
    assert after["channels"] == before["channels"]
    assert after["thumbnails"] == before["thumbnails"]
    found = [(channel, query, rank) for channel, niche, query, rank in after["discoveries"] if niche == "news"]
    assert found == [(channel, query, rank) for channel, _, query, rank in before["discoveries"]]


def test_a_team_s_own_channels_are_collected_whatever_the_queries_find(db, frozen, world):
    wanted = world.channels[2].id
    collect(db, frozen, "beauty", NicheConfig(title="Beauty", queries=("zzzz qqqq",), channels=(wanted,)))
    assert rows(db, "select channel_id, niche::text from thumbrank.channels") == [(wanted, "beauty")]
    assert stored(db) == {video.id for video in listed(world).values() if video.channel.id == wanted}


def test_no_pages_of_search_means_no_search(db, frozen, world):
    before = frozen.attempts()
    config = NicheConfig(title="Tech", queries=TECH.queries, channels=(world.channels[0].id,))
    collect(db, frozen, config=config, policy=policy_of(collection={"search_pages": 0}))
    assert "search" not in difference(frozen.attempts(), before)
    assert rows(db, "select count(*) from thumbrank.channels") == [(1,)]


def test_a_query_that_finds_nothing_is_one_sentence(db, frozen):
    with pytest.raises(NothingFoundError, match=r"^No channel was found for tech: check its queries in config/niches"):
        collect(db, frozen, config=NicheConfig(title="Tech", queries=("zzzz qqqq xxxx",)))
    [(state, reason)] = rows(db, "select state, reason from thumbrank.collection_runs")
    assert (state, bool(reason)) == ("partial", True)


def test_the_team_s_own_channels_come_first_and_then_the_largest(db, frozen, world):
    smallest = min(world.channels, key=lambda channel: channel.subscribers)
    known = rank_by_subscribers(db, frozen)
    config = NicheConfig(title="Tech", queries=TECH.queries, channels=(smallest.id,))
    collect(db, frozen, config=config, policy=policy_of(collection={"max_channels": 2}), only=["vet", "list"])
    chosen = rows(
        db,
        "select split_part(item, '/', 1) from thumbrank.collection_progress where stage = 'list' order by position",
    )
    largest_first = [channel for channel in known if channel != smallest.id]
    assert [channel for (channel,) in chosen] == [smallest.id, largest_first[0]]


def rank_by_subscribers(db, server):
    collect(db, server, only=["discover", "vet"])
    return [
        channel
        for (channel,) in rows(
            db, "select channel_id from thumbrank.channels order by subscriber_count desc nulls last, channel_id"
        )
    ]


def test_only_the_window_is_collected_and_of_it_the_newest_uploads(db, frozen, world):
    newest = {v.id for channel in world.channels for v in world.uploads(channel.id)[:52]}
    inside = {v.id for v in world.videos if v.published_at >= RICH.as_of - timedelta(days=73)}
    assert min(len(newest - inside), len(inside - newest)) >= 3, "either limit alone would let some pass"
    collect(db, frozen, policy=policy_of(collection={"window_days": 73, "per_channel": 52}))
    assert stored(db) == newest & inside & set(listed(world))


def test_a_page_that_is_too_old_as_a_whole_ends_a_channel(db, frozen, world):
    pages = {}
    for days in (7, 8):
        before = frozen.served()
        collect(db, frozen, policy=policy_of(collection={"window_days": days}))
        pages[days] = difference(frozen.served(), before)["playlistItems.list"]
    assert [any(v.published_at >= RICH.as_of - timedelta(days=d) for v in world.videos) for d in (7, 8)] == [
        False,
        True,
    ]
    # The playlist is ordered by upload: old videos on a page prove nothing about the next, if one of them is not old.
    assert pages == {7: len(world.channels), 8: 2 * len(world.channels)}


def test_a_search_is_not_repeated_on_the_same_pacific_day_and_is_on_the_next(db, moving):
    before = moving.served()
    collect(db, moving, policy=LONG_WINDOW)
    searches = difference(moving.served(), before)["search.list"]
    assert searches >= 2 * len(TECH.queries)
    moving.advance(3600)
    before = moving.served()
    again = collect(db, moving, policy=LONG_WINDOW)
    assert "search.list" not in difference(moving.served(), before)
    assert "search" not in again.forecast_upper
    moving.advance(DAY)
    before = moving.served()
    collect(db, moving, policy=LONG_WINDOW)
    assert difference(moving.served(), before)["search.list"] == searches


def test_a_day_later_no_metadata_is_read_again_and_every_video_gets_one_snapshot(db, moving):
    collect(db, moving, policy=LONG_WINDOW)
    videos, first = stored(db), rows(db, "select count(*) from thumbrank.view_snapshots")[0][0]
    fetched = rows(db, "select distinct fetched_at, expires_at from thumbrank.thumbnails")
    before, now = moving.served(), moving.advance(DAY)
    result = collect(db, moving, policy=LONG_WINDOW)
    served = difference(moving.served(), before)
    assert "videos.list" not in served
    assert served["videos.batchGetStats"] == -(-len(videos) // 50)
    assert rows(db, "select distinct fetched_at, expires_at from thumbrank.thumbnails") == fetched
    shown = {v.id for v in build_world(TINY).videos if traits.batch_statistics(v) == "full"} & videos
    added = rows(
        db,
        "select t.video_id, s.expires_at from thumbrank.view_snapshots s join thumbrank.thumbnails t using (video_key) "
        "where observed_at = %s",
        (now,),
    )
    assert {video for video, _ in added} == shown
    assert {until for _, until in added} == {now + timedelta(days=30)}
    assert (result.snapshots, result.videos) == (len(shown), 0)
    assert rows(db, "select count(*) from thumbrank.view_snapshots") == [(first + len(shown),)]
    repeated = collect(db, moving, policy=LONG_WINDOW)
    assert repeated.snapshots == 0, "one snapshot a collection, also where the counts came with batchGetStats"


def test_rows_are_read_again_before_they_expire(db, moving):
    collect(db, moving, policy=LONG_WINDOW)
    videos = stored(db)
    before, now = moving.served(), moving.advance(26 * DAY)
    result = collect(db, moving, policy=LONG_WINDOW)
    served = difference(moving.served(), before)
    assert served["videos.list"] == -(-len(videos) // 50)
    assert "videos.batchGetStats" not in served, "the counts came with the videos"
    for table in ("channels", "thumbnails"):
        assert rows(db, f"select distinct fetched_at, expires_at from thumbrank.{table}") == [
            (now, now + timedelta(days=30))
        ], table
    assert (result.videos, result.videos_new) == (len(videos), 0)


def test_what_nobody_lists_any_more_is_refreshed_too(db, moving):
    collect(db, moving, policy=LONG_WINDOW)
    videos = stored(db)
    before, now = moving.served(), moving.advance(26 * DAY)
    collect(db, moving, policy=policy_of(collection={"window_days": 3650, "per_channel": 3}))
    assert rows(db, "select count(*), min(fetched_at), max(fetched_at) from thumbrank.thumbnails") == [
        (len(videos), now, now)
    ]
    assert difference(moving.served(), before)["videos.list"] == 1 + -(-(len(videos) - 18) // 50)


def test_an_unfinished_collection_that_has_aged_begins_anew(db, moving):
    collect(db, moving, policy=LONG_WINDOW, only=["discover", "vet", "list"])
    [(first, began)] = rows(db, "select crawl_id, started_at from thumbrank.collection_runs")
    moving.advance(3 * DAY)
    resumed = collect(db, moving, policy=LONG_WINDOW, only=["vet"])
    assert resumed.resumed
    assert rows(db, "select crawl_id, started_at, state from thumbrank.collection_runs") == [(first, began, "partial")]
    now = moving.advance(8 * DAY)
    result = collect(db, moving, policy=LONG_WINDOW)
    assert (result.resumed, result.state) == (False, "complete")
    [(second, started)] = rows(db, "select crawl_id, started_at from thumbrank.collection_runs")
    assert second != first
    assert started == now


def test_stages_that_were_left_out_are_named_and_the_next_run_does_them(db, frozen, world):
    first = collect(db, frozen, only=["discover", "vet", "list"])
    assert (first.state, first.reason) == ("partial", "hydrate not asked for yet")
    assert first.resumes_at == RICH.as_of
    assert not stored(db)
    second = collect(db, frozen)
    assert (second.state, second.resumed, second.videos) == ("complete", True, len(listed(world)))
    assert (second.units.get("search", 0), rows(db, "select count(*) from thumbrank.collection_queue")) == (0, [(0,)])


def test_stages_asked_for_one_at_a_time_end_with_the_tables_of_all_at_once(db, frozen, postgres, migrated_template):
    policy = policy_of(collection={"trainability": "sample"})
    with Database(postgres.create_database("undisturbed_stages", template=migrated_template)) as other:
        collect(other, frozen, policy=policy)
        expected = as_written(other)
    for stage in STAGES:
        collect(db, frozen, policy=policy, only=[stage])
    assert as_written(db) == expected


def test_videos_removed_on_youtube_become_misses_and_their_rows_stay(db):
    with generous(TINY) as server:
        collect(db, server, policy=LONG_WINDOW)
        gone = sorted(stored(db))[:3]
        counted = rows(db, "select count(*) from thumbrank.view_snapshots")
        server.remove_videos(gone)
        server.advance(DAY)
        later = collect(db, server, policy=LONG_WINDOW, only=["snapshot"])
        assert later.misses == {"not_returned": 3}
        with db.connection() as connection:
            assert miss_counts(connection, "tech", "video") == {"not_returned": 3}
        server.advance(26 * DAY)
        refreshed = collect(db, server, policy=LONG_WINDOW)
        asked = server.served()["videos.list"]
    with db.connection() as connection:
        assert miss_counts(connection, "tech", "video") == {"private_or_deleted": 3}, "its uploads say so"
    assert asked == 2 + 2, "what was just found gone is not asked for"
    assert set(gone) <= stored(db)
    assert refreshed.misses == {"private_or_deleted": 3}, "each is counted once"
    assert rows(
        db,
        "select count(*) from thumbrank.view_snapshots s join thumbrank.thumbnails t using (video_key) "
        "where t.video_id = any(%s)",
        (gone,),
    ) == [(3,)], "no counts are made up for them"
    assert counted[0][0] >= 3


def test_a_video_that_comes_back_is_no_miss_any_more(db, frozen, world):
    video = next(iter(listed(world)))
    channel = world.channels[0].id
    with db.connection() as connection:
        connection.execute(
            "insert into thumbrank.misses (kind, item_id, niche, reason, missed_at) values "
            "('video', %s, 'tech', 'not_returned', now()), ('channel', %s, 'tech', 'channel_gone', now())",
            (video, channel),
        )
    collect(db, frozen)
    assert rows(db, "select 1 from thumbrank.misses where item_id in (%s, %s)", (video, channel)) == []


def test_channels_without_uploads_suspended_or_unknown_are_misses(db):
    settings = replace(TINY, channels_per_niche=18, videos_per_channel=3)
    empty = [c.id for c in build_world(settings).channels if c.has_no_uploads]
    suspended = [c.id for c in build_world(settings).channels if traits.is_suspended(c.id, 0.2)]
    assert len(empty) == 1
    assert suspended
    assert not set(suspended) & set(empty)
    unknown = "UC" + "0" * 22
    with generous(settings, suspended=0.2) as server:
        result = collect(
            db, server, config=NicheConfig(title="Tech", queries=TECH.queries, channels=(unknown,)), policy=LONG_WINDOW
        )
    found = rows(db, "select item_id, reason from thumbrank.misses where kind = 'channel'")
    assert sorted(found) == sorted(
        [(empty[0], "no_uploads"), (unknown, "channel_gone"), *((channel, "channelSuspended") for channel in suspended)]
    )
    assert result.misses == {"no_uploads": 1, "channel_gone": 1, "channelSuspended": len(suspended)}
    assert result.state == "complete"


def test_channels_made_for_kids_are_not_listed_unless_the_policy_includes_them(db):
    settings = replace(TINY, seed=KIDS_SEED, made_for_kids=KIDS)
    world = build_world(settings)
    kids = {c.id for c in world.channels if traits.is_made_for_kids(c.id, KIDS)}
    assert 0 < len(kids) < len(world.channels)
    with generous(settings) as server:
        collect(db, server, policy=LONG_WINDOW)
        assert dict(rows(db, "select channel_id, made_for_kids from thumbrank.channels")) == {
            c.id: c.id in kids for c in world.channels
        }
        assert stored(db) == {v.id for v in listed(world).values() if v.channel.id not in kids}
        collect(
            db,
            server,
            policy=policy_of(criteria={"made_for_kids": "include"}, collection={"window_days": 3650}),
        )
    assert stored(db) == set(listed(world))
    assert rows(
        db,
        "select distinct c.channel_id from thumbrank.thumbnails t join thumbrank.channels c using (channel_key) "
        "where t.made_for_kids order by 1",
    ) == [(channel,) for channel in sorted(kids)]


def test_excluded_channels_and_videos_are_never_asked_for(db, frozen, world):
    channel, video = world.channels[1].id, next(v for v in listed(world).values() if v.channel is world.channels[0])
    banned = Exclusions({channel: "re-uploads"}, {video.id: "shows a minor"})
    config = NicheConfig(title="Tech", queries=TECH.queries, channels=(channel,))
    collect(db, frozen, config=config, exclusions=banned)
    assert channel not in {found for (found,) in rows(db, "select channel_id from thumbrank.channels")}
    assert stored(db) == {v.id for v in listed(world).values() if v.channel.id != channel and v.id != video.id}


def test_a_video_excluded_after_it_was_stored_gets_no_more_snapshots(db, moving):
    collect(db, moving, policy=LONG_WINDOW)
    video = min(stored(db))
    moving.advance(26 * DAY)
    collect(db, moving, policy=LONG_WINDOW, exclusions=Exclusions({}, {video: "shows a minor"}))
    moving.advance(DAY)
    collect(db, moving, policy=LONG_WINDOW, exclusions=Exclusions({}, {video: "shows a minor"}))
    assert rows(
        db,
        "select count(*) from thumbrank.view_snapshots s join thumbrank.thumbnails t using (video_key) where video_id = %s",
        (video,),
    ) == [(1,)]


def test_what_was_forgotten_is_never_collected_again_and_what_expired_is(db, frozen, world):
    forgotten, expired = world.channels[1], world.channels[2]
    of_others = [v for v in listed(world).values() if v.channel not in (forgotten, expired)]
    with db.connection() as connection:
        bury(connection, "channel", [forgotten.id], "forgotten", RICH.as_of)
        bury(connection, "channel", [expired.id], "expired", RICH.as_of)
        bury(connection, "video", [of_others[0].id], "forgotten", RICH.as_of)
        bury(connection, "video", [of_others[1].id], "expired", RICH.as_of)
    collect(db, frozen)
    assert stored(db) == {v.id for v in listed(world).values() if v.channel is not forgotten and v is not of_others[0]}
    assert forgotten.id not in {found for (found,) in rows(db, "select channel_id from thumbrank.channels")}
    assert rows(db, "select item_id from thumbrank.tombstones order by kind") == [(forgotten.id,), (of_others[0].id,)]


def test_trainability_off_asks_nobody(db, frozen):
    before = frozen.served()
    collect(db, frozen, policy=policy_of(collection={"trainability": "off"}))
    assert "videoTrainability.get" not in difference(frozen.served(), before)
    assert rows(db, "select distinct trainability, trainability_checked_at from thumbrank.thumbnails") == [(None, None)]


def test_trainability_of_a_sample_asks_for_so_many(db, frozen):
    before = frozen.served()
    collect(db, frozen, policy=policy_of(collection={"trainability": "sample", "trainability_sample": 7}))
    assert difference(frozen.served(), before)["videoTrainability.get"] == 7
    assert rows(db, "select count(trainability), count(trainability_checked_at) from thumbrank.thumbnails") == [(7, 7)]


def test_trainability_that_is_required_is_asked_of_every_video_and_again_when_it_is_old(db, moving):
    policy = policy_of(collection={"window_days": 3650, "trainability": "require"})
    videos = listed(build_world(TINY))
    before = moving.served()
    collect(db, moving, policy=policy)
    assert difference(moving.served(), before)["videoTrainability.get"] == len(videos)
    told = dict(rows(db, "select video_id, trainability from thumbrank.thumbnails"))
    assert told == {video_id: ",".join(traits.permitted_trainers(video_id)) for video_id in videos}
    assert len(set(told.values())) >= 3
    moving.advance(DAY)
    before = moving.served()
    collect(db, moving, policy=policy)
    assert "videoTrainability.get" not in difference(moving.served(), before)
    now = moving.advance(26 * DAY)
    collect(db, moving, policy=policy)
    assert rows(db, "select distinct trainability_checked_at from thumbrank.thumbnails") == [(now,)]


@contextmanager
def without_batch_get_stats(server):
    """The simulator behind a door that does not know videos.batchGetStats; yields its address and the paths asked for."""
    asked = []
    behind = urlsplit(server.endpoint).netloc

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            asked.append(urlsplit(self.path).path)
            if "batchGetStats" in self.path:
                self.answer(
                    404, "text/html", b"<!DOCTYPE html><title>Error 404 (Not Found)!!1</title>", behind_date(self)
                )
                return
            status, kind, body, date = forwarded(self)
            self.answer(status, kind, body, date)

        do_HEAD = do_GET

        def answer(self, status, kind, body, date):
            self.send_response_only(status)
            for name, value in (("Date", date), ("Content-Type", kind), ("Content-Length", str(len(body)))):
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    def forwarded(request):
        connection = http.client.HTTPConnection(behind, timeout=10)
        headers = {"X-Goog-Api-Key": request.headers["X-Goog-Api-Key"]} if "X-Goog-Api-Key" in request.headers else {}
        connection.request(request.command, request.path, headers=headers)
        found = connection.getresponse()
        body = found.read()
        connection.close()
        return found.status, found.headers["Content-Type"] or "text/plain", body, found.headers["Date"]

    def behind_date(request):
        connection = http.client.HTTPConnection(behind, timeout=10)
        connection.request("HEAD", "/")
        found = connection.getresponse()
        connection.close()
        return found.headers["Date"]

    door = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    thread = threading.Thread(target=door.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{door.server_port}", asked
    finally:
        door.shutdown()
        thread.join()
        door.server_close()


def test_where_batch_get_stats_is_refused_the_counts_come_from_videos_list(db, moving):
    collect(db, moving, policy=LONG_WINDOW)
    videos, now = stored(db), moving.advance(DAY)
    units = -(-len(videos) // 50)
    with without_batch_get_stats(moving) as (endpoint, asked):
        refused = collect(db, YouTube(SecretStr(KEY), endpoint), policy=LONG_WINDOW)
        assert (refused.state, "batchGetStats is refused" in refused.reason) == ("partial", True)
        assert asked.count("/youtube/v3/videos:batchGetStats") <= units, "no refused request is sent twice"
        asked.clear()
        plan = forecast(db, YouTube(SecretStr(KEY), endpoint), policy=LONG_WINDOW)
        result = collect(db, YouTube(SecretStr(KEY), endpoint), policy=LONG_WINDOW)
    assert result.state == "complete"
    assert "/youtube/v3/videos:batchGetStats" not in asked
    assert asked.count("/youtube/v3/videos") == units
    assert result.units["default"] <= plan.upper["default"], "the fallback is in the forecast"
    shown = {v.id for v in build_world(TINY).videos if v.is_listed and v.state != "upcoming"} & videos
    assert rows(db, "select count(*) from thumbrank.view_snapshots where observed_at = %s", (now,)) == [(len(shown),)]


def test_an_upload_that_arrives_while_a_channel_is_listed_loses_and_doubles_nothing(db, world):
    with generous(RICH, faults={"upload_midcrawl": 1.0}) as server:
        result = collect(db, server)
        assert stored(db) == set(listed(world)), "the new ones arrived above what had been read"
        assert result.videos == len(listed(world))
        server.set_faults({})
        server.advance(DAY)
        later = collect(db, server)
    assert later.videos_new == len(world.channels)
    assert len(stored(db)) == len(listed(world)) + len(world.channels)


def test_the_key_travels_in_a_header_only(frozen, caplog):
    caplog.set_level(logging.DEBUG)
    youtube = youtube_of(frozen, attempts=1)
    assert youtube.search(q="tech", type="channel").items
    with pytest.raises(FatalYouTubeError, match="refuses the request") as caught:
        youtube.channels([f"UC{i:022d}" for i in range(51)])
    everything = caplog.text + str(caught.value) + repr(caught.value) + repr(youtube) + repr(vars(youtube))
    assert KEY not in everything
    assert "key=" not in everything
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("key", "says"), [("invalid", "API key not valid"), ("disabled", "has not been used in project")]
)
def test_a_refused_key_stops_at_once_with_one_sentence_and_is_nowhere_in_logs_or_errors(db, frozen, caplog, key, says):
    caplog.set_level(logging.DEBUG)
    youtube = youtube_of(frozen, key)
    before = frozen.attempts()
    config = TECH.model_copy(update={"queries": ("tech", "laptop", "phone", "camera")})
    with pytest.raises(KeyRefusedError, match=says) as caught:
        collect(db, youtube, config=config)
    assert "check YOUTUBE_API_KEY" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None
    sent = difference(frozen.attempts(), before)
    assert sent == {"search": 1}, "however many may be in flight"
    assert ledger(db)["search"] == 1
    assert "X-Goog-Api-Key" not in caplog.text
    assert "key=" not in caplog.text + str(caught.value) + repr(caught.value)
    [(state, reason)] = rows(db, "select state, reason from thumbrank.collection_runs")
    assert state == "partial"
    assert reason


def test_an_unreachable_api_is_retried_and_then_one_sentence():
    youtube = YouTube(SecretStr(KEY), "http://127.0.0.1:9", attempts=2)
    with pytest.raises(
        RetryableYouTubeError, match=r"YouTube cannot be reached \(.*\): check the network and run again"
    ):
        youtube.search(q="tech", type="channel")
    assert youtube.calls == 2


def test_without_a_budget_for_it_nothing_is_sent(db, frozen):
    before = frozen.attempts()
    result = collect(
        db, frozen, budget=0, only=["vet"], config=NicheConfig(title="T", queries=("x",), channels=("UC" + "1" * 22,))
    )
    assert difference(frozen.attempts(), before) == {}
    assert result.state == "partial"
    with pytest.raises(BudgetSpentError):
        youtube = youtube_of(frozen)
        youtube.meter = NoBudget()
        youtube.channels(["UC1"])
    assert youtube.calls == 0


class NoBudget:
    def attempt(self, bucket):
        raise BudgetSpentError(bucket, "Spent.", RICH.as_of)
