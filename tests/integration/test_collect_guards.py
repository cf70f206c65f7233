"""What a collection must not do: touch a team's own rows, run twice at once, carry the key elsewhere, ask for what is banned."""

import os
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydantic import SecretStr

from tests.integration.collecting import DAY, KEY, POLICY, TECH, TINY, collect, difference, generous, policy_of, rows
from thumbrank_core.exclusions import Exclusions
from thumbrank_core.policy import load_policy
from thumbrank_core.retention.removal import expire, stores_of
from thumbrank_core.settings import Settings
from thumbrank_core.store.catalog import ChannelSeen, VideoSeen, record_channels, record_videos
from thumbrank_core.store.images import ImageStore
from thumbrank_core.youtube.client import YouTube
from thumbrank_core.youtube.crawl import CollectionRunningError
from thumbrank_core.youtube.errors import FatalYouTubeError
from thumbrank_core.youtube.quota import QuotaLedger

LONG = policy_of(collection={"window_days": 3650})


@pytest.fixture
def server():
    with generous(TINY) as running:
        yield running


def test_what_a_team_imported_stays_its_own_when_the_api_shows_it_too(db, server, world, tmp_path, monkeypatch):
    collect(db, server)
    [(video_id, channel_id)] = rows(
        db,
        "select t.video_id, c.channel_id from thumbrank.thumbnails t join thumbrank.channels c using (channel_key) "
        "join thumbrank.latest_snapshots using (video_key) order by 1 limit 1",
    )
    seen = datetime(2026, 5, 1, tzinfo=UTC)
    with db.connection() as connection:
        record_channels(connection, "tech", [ChannelSeen(channel_id, "ours", "import", seen)])
        record_videos(connection, [VideoSeen(video_id, channel_id, "our title", seen, "import", seen, view_count=7)])
    server.advance(27 * DAY)
    collect(db, server, policy=LONG)
    assert rows(db, "select title, source, expires_at from thumbrank.thumbnails where video_id = %s", (video_id,)) == [
        ("our title", "import", None)
    ]
    monkeypatch.setenv("THUMBRANK_HOME", str(tmp_path))
    stores = stores_of(Settings.read(), ImageStore(tmp_path / "images"))
    expire(db, stores, load_policy(), now=TINY.as_of + timedelta(days=400))
    kept = rows(
        db,
        "select t.title, s.view_count from thumbrank.view_snapshots s join thumbrank.thumbnails t using (video_key)",
    )
    assert kept == [("our title", 7)], "the API's counts went, the team's stays"


def test_a_second_collection_of_a_niche_is_one_sentence_and_a_killed_one_is_no_obstacle(db, server):
    collect(db, server, only=["discover", "vet"])
    host = os.uname().nodename

    def running(owner):
        rows(db, "update thumbrank.collection_runs set state = 'running', owner = %s returning 1", (owner,))

    running(f"{host}:1")
    with pytest.raises(CollectionRunningError, match=r"Another collection of tech is running \(process 1 on"):
        collect(db, server)
    running(f"{host}:4194304")  # beyond the largest process number: nobody
    assert collect(db, server).state == "complete"


@contextmanager
def answering(status, headers, seen):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path, self.headers.get("X-Goog-Api-Key")))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


def test_the_key_follows_no_redirect():
    elsewhere, here = [], []
    with answering(200, {}, elsewhere) as other, answering(302, {"Location": other + "/x"}, here) as endpoint:
        youtube = YouTube(SecretStr(KEY), endpoint, attempts=1)
        with pytest.raises(FatalYouTubeError) as caught:
            youtube.channels(["UC" + "a" * 22])
    assert here[0][1] == KEY
    assert elsewhere == []
    assert KEY not in str(caught.value)


def test_an_excluded_channel_is_not_asked_for_even_where_it_is_stored(db, server):
    collect(db, server, policy=LONG)
    stored = {channel for (channel,) in rows(db, "select channel_id from thumbrank.channels")}
    everyone = Exclusions(dict.fromkeys(stored, "re-uploads"), {})
    for wait in (DAY, 26 * DAY):
        before = server.served()
        server.advance(wait)
        result = collect(db, server, policy=LONG, exclusions=everyone, only=["list", "refresh", "snapshot"])
        assert (result.videos, result.snapshots) == (0, 0)
        assert set(difference(server.served(), before)) <= {"search.list"}


@pytest.mark.parametrize("lowered", [{"per_channel": 10}, {"search_pages": 1}])
def test_a_smaller_policy_ends_a_collection_that_a_larger_one_began(db, server, lowered):
    collect(db, server, policy=policy_of(collection={"search_pages": 2}), only=["discover", "vet"])
    rows(db, "update thumbrank.collection_progress set pages = 9, done = false where stage = 'discover' returning 1")
    assert collect(db, server, policy=policy_of(collection=lowered)).state == "complete"


def test_a_refusal_just_after_midnight_is_about_the_day_before(db):
    midnight = datetime(2026, 8, 2, 7, 0, tzinfo=UTC)
    for minutes, believed in ((1, 0), (11, 1)):
        now = midnight + timedelta(minutes=minutes)
        refusal = QuotaLedger(db, POLICY.quota, "tech", lambda now=now: now).exhaust("search")
        assert rows(db, "select count(exhausted_at) from thumbrank.quota_ledger") == [(believed,)]
        assert refusal.resumes_at > now


def test_a_bucket_without_units_skips_what_it_would_pay_for(db, server):
    collect(db, server)
    server.advance(2 * DAY)
    config = TECH.model_copy(
        update={"channels": tuple(channel for (channel,) in rows(db, "select channel_id from thumbrank.channels"))}
    )
    before = server.attempts()
    result = collect(db, server, policy=policy_of(quota={"search": 0, "stats_batch": 0}), config=config)
    assert result.state == "complete"
    assert result.snapshots > 0, "videos.list gives the counts"
    spent = difference(server.attempts(), before)
    assert set(spent) == {"default"}
