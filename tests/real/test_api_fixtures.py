"""Recorded answers of the real API: served over HTTP to the real client, and read by what reads them (make test-real)."""

import json
import threading
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from thumbrank_core.exclusions import Exclusions
from thumbrank_core.niches import load_niches
from thumbrank_core.policy import load_policy
from thumbrank_core.youtube.client import YouTube
from thumbrank_core.youtube.crawl import CrawlContext, Tally
from thumbrank_core.youtube.errors import (
    FatalYouTubeError,
    KeyRefusedError,
    QuotaSpentError,
    RetryableYouTubeError,
    SkippableYouTubeError,
    classify,
)
from thumbrank_core.youtube.lifetimes import Lifetimes
from thumbrank_core.youtube.records import channel_of, counts_of, kind_of, thumbnail_url, time_of, video_of
from thumbrank_core.youtube.stages.base import PageTask
from thumbrank_core.youtube.stages.discover import Discover

pytestmark = pytest.mark.real
DATA = Path(__file__).resolve().parents[3] / "shared" / "real" / "api-fixtures"
NEWER = DATA / "python-youtube" / "testdata" / "apidata"
OLDER = DATA / "smappnyu-youtube-data-api" / "tests" / "data"
NOW = datetime(2026, 8, 1, tzinfo=UTC)
API = Lifetimes(timedelta(days=30), timedelta(days=30))


def recorded(kind):
    """Every recorded answer of one kind, by file name; empty lists of others are left out."""
    found = {}
    for path in sorted([*NEWER.rglob("*.json"), *OLDER.glob("*.json")]):
        answer = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(answer, dict) and answer.get("kind") == f"youtube#{kind}ListResponse":
            found[str(path.relative_to(DATA))] = answer
    return found


def items(kind):
    """Every recorded resource of one kind."""
    return [item for answer in recorded(kind).values() for item in answer.get("items", [])]


@contextmanager
def replaying(body):
    """The real client in front of a server that always gives this answer; yields it and the paths it asked for."""
    asked = []
    content = json.dumps(body).encode()

    class Replay(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "application/json; charset=UTF-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Replay) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield YouTube(SecretStr("x"), f"http://127.0.0.1:{server.server_port}", attempts=1), asked
        finally:
            server.shutdown()
            thread.join()


def ask(api, kind):
    """The client's own method for answers of a kind."""
    match kind:
        case "search":
            return api.search(q="x", type="video")
        case "video":
            return api.videos(["x"])
        case "channel":
            return api.channels(["UCx"])
        case _:
            return api.uploads("UUx", None)


FILES = [(kind, name) for kind in ("search", "video", "channel", "playlistItem") for name in recorded(kind)]


def test_there_are_recorded_answers_of_every_kind_newer_and_older():
    assert Counter(kind for kind, _ in FILES) == {"search": 10, "video": 7, "channel": 5, "playlistItem": 5}
    assert {name for _, name in FILES if name.startswith("smappnyu")} == {
        f"smappnyu-youtube-data-api/tests/data/{name}.json"
        for name in ("recommendation", "video_metadata", "channel_metadata")
    }


@pytest.mark.parametrize(("kind", "name"), FILES)
def test_the_client_hands_on_every_recorded_answer_whole(kind, name):
    body = recorded(kind)[name]
    with replaying(body) as (api, asked):
        answer = ask(api, kind)
    assert answer.body == body
    assert answer.items == body["items"]
    assert len(asked) == 1
    assert "key=" not in asked[0]


def test_every_recorded_video_is_read():
    videos = items("video")
    assert len(videos) >= 14
    for item in videos:
        if "snippet" not in item:
            continue
        video = video_of(item, NOW, API, "youtube_api")
        snippet, statistics = item["snippet"], item.get("statistics", {})
        assert video.published_at.isoformat()[:19] == snippet["publishedAt"][:19]
        assert (video.video_id, video.title, video.channel_id) == (item["id"], snippet["title"], snippet["channelId"])
        assert video.kind == kind_of(item)
        assert video.expires_at == NOW + timedelta(days=30)
        for ours, theirs in (
            (video.view_count, "viewCount"),
            (video.like_count, "likeCount"),
            (video.comment_count, "commentCount"),
        ):
            assert ours == (int(statistics[theirs]) if theirs in statistics else None)
        counts = counts_of(item, NOW, API)
        assert (counts.view_count if counts else None) == video.view_count


def test_some_recorded_counts_are_missing_and_stay_missing():
    with_views = [v for v in (video_of(item, NOW, API, "youtube_api") for item in items("video")) if v.view_count]
    assert with_views
    assert any(video.comment_count is None for video in with_views)


def test_every_recorded_video_has_a_wide_picture_at_youtube():
    for item in items("video"):
        url = thumbnail_url(item["snippet"]["thumbnails"])
        assert url is not None
        assert url.startswith("https://i.ytimg.com/vi/")
        assert url.rpartition("/")[2].split("_")[0] in {
            "maxresdefault.jpg",
            "mqdefault.jpg",
            "maxresdefault",
            "mqdefault",
        }


def test_every_recorded_channel_is_read():
    channels = items("channel")
    assert len(channels) >= 7
    for item in channels:
        channel = channel_of(item, NOW, API, "youtube_api")
        assert (channel.channel_id, channel.title) == (item["id"], item["snippet"]["title"])
        statistics = item.get("statistics", {})
        hidden = statistics.get("hiddenSubscriberCount")
        assert channel.subscriber_count == (
            None if hidden or "subscriberCount" not in statistics else int(statistics["subscriberCount"])
        )
        assert channel.video_count == (int(statistics["videoCount"]) if "videoCount" in statistics else None)
        uploads = item.get("contentDetails", {}).get("relatedPlaylists", {}).get("uploads")
        assert channel.uploads_playlist == uploads
        if uploads:
            assert uploads == "UU" + channel.channel_id[2:]
    assert any(channel.get("statistics") for channel in channels)


def context_without_a_crawl():
    """Enough of a job to read an answer: what it found does not depend on when the collection began."""
    crawl: Any = None
    return CrawlContext("tech", load_niches()["tech"], load_policy(), Exclusions({}, {}), "youtube_api", crawl, Tally())


def test_every_recorded_search_gives_its_channels_whatever_kind_of_thing_it_found():
    stage = Discover(context_without_a_crawl())
    for name, body in recorded("search").items():
        with replaying(body) as (api, _):
            found = stage._channels(PageTask("video:x", None, 2), ask(api, "search"))
        in_order = [item["id"].get("channelId") or item["snippet"]["channelId"] for item in body["items"]]
        assert list(found) == list(dict.fromkeys(in_order)), name
        assert list(found.values()) == [100 + in_order.index(channel) for channel in found], name
        assert all(channel.startswith("UC") and len(channel) == 24 for channel in found), name


def test_recorded_search_ids_are_of_videos_and_of_channels_and_a_playlist_s_counts_for_its_channel():
    kinds = Counter(item["id"]["kind"] for item in items("search"))
    assert set(kinds) == {"youtube#video", "youtube#channel"}
    assert all(f"{kind.partition('#')[2]}Id" in item["id"] for item in items("search") for kind in [item["id"]["kind"]])
    playlist = {
        "id": {"kind": "youtube#playlist", "playlistId": "PL1"},
        "snippet": {"channelId": "UC_x5XG1OV2P6uZZ5FSM9Ttw"},
    }
    with replaying({"items": [playlist, {"id": {}}]}) as (api, _):
        answer = ask(api, "search")
    assert Discover(context_without_a_crawl())._channels(PageTask("channel:x", None, 0), answer) == {
        "UC_x5XG1OV2P6uZZ5FSM9Ttw": 0
    }


def test_titles_in_recorded_searches_are_escaped_which_is_why_none_is_stored():
    titles = [item["snippet"]["title"] for item in items("search")]
    assert any("&amp;" in title or "&#39;" in title or "&quot;" in title for title in titles)
    assert not any("&amp;" in item["snippet"]["title"] for item in items("video"))


def test_recorded_uploads_page_on_and_name_videos_and_times():
    pages = recorded("playlistItem")
    for name, body in pages.items():
        for item in body["items"]:
            assert time_of(item["snippet"]["publishedAt"]).tzinfo is UTC, name
            assert len(item["snippet"]["resourceId"]["videoId"]) == 11, name
    more = {name: "nextPageToken" in body for name, body in pages.items() if "paged" in name}
    assert sorted(more.values()) == [False, True]


def test_recorded_errors_are_told_apart():
    bodies = json.loads((DATA / "error_bodies.json").read_text(encoding="utf-8"))
    bodies |= {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in (
            DATA / "python-youtube" / "testdata" / "error_response.json",
            DATA / "python-youtube" / "testdata" / "error_response_simple.json",
            NEWER / "error_permission_resp.json",
        )
    }
    expected = {
        "quotaExceeded_403": (403, QuotaSpentError),
        "playlistNotFound_404": (404, SkippableYouTubeError),
        "apiKeyInvalid_400_google": (400, KeyRefusedError),
        "rateLimit_429_errorinfo_from_a_test": (429, RetryableYouTubeError),
        "error_response": (400, KeyRefusedError),
        "error_response_simple": (400, FatalYouTubeError),
        "error_permission_resp": (403, FatalYouTubeError),
    }
    assert set(bodies) - {"note"} == set(expected)
    for name, (status, kind) in expected.items():
        found = classify(status, json.dumps(bodies[name]).encode())
        assert type(found) is kind, name
        assert "<" not in str(found)
