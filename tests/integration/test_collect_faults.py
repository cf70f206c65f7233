"""Collection while everything goes wrong: the tables are those of an undisturbed run, and the key is nowhere."""

import http.server
import logging
import threading
import time
import traceback

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from tests.integration.collecting import (
    KEY,
    POLICY,
    RICH,
    TINY,
    as_written,
    attempts_from_here,
    collect,
    emptied,
    every_row,
    generous,
    ledger,
    policy_of,
    rows,
    youtube_of,
)
from thumbrank_core.cli import app
from thumbrank_core.errors import ThumbrankError
from thumbrank_core.simulator.behaviour import REQUEST_FAULTS
from thumbrank_core.simulator.world import build_world
from thumbrank_core.store.database import Database
from thumbrank_core.youtube.client import YouTube
from thumbrank_core.youtube.errors import RetryableYouTubeError

RUNS = 4
SLOW_SECONDS = 0.05
SAMPLE = policy_of(collection={"trainability": "sample"})


@pytest.fixture
def db(collecting_db):
    return emptied(collecting_db)


@pytest.fixture(scope="module")
def calm():
    """The tiny world without a fault; a test that sets some takes them away."""
    with generous(TINY) as server:
        yield server


@pytest.fixture(scope="module")
def undisturbed(calm, postgres, migrated_template):
    """The tables after one collection of the tiny world that nothing disturbed, and what it cost."""
    with Database(postgres.create_database("undisturbed_faults", template=migrated_template)) as db:
        attempts = attempts_from_here(calm)
        assert collect(db, calm, policy=SAMPLE).state == "complete"
        return as_written(db), attempts()


@pytest.fixture
def everything_logged(caplog):
    """Every logger of the process, down to DEBUG, also where a library turned its own up."""
    caplog.set_level(logging.DEBUG)
    for name in (
        "googleapiclient",
        "googleapiclient.http",
        "googleapiclient.discovery",
        "httplib2",
        "httpx",
        "urllib3",
    ):
        caplog.set_level(logging.DEBUG, name)
    return caplog


def collect_until_complete(db, server, **options):
    """Run again while there is something left; every partial run has to say why and when. Returns what was printed."""
    printed = []
    for _ in range(RUNS):
        try:
            result = collect(db, server, **options)
        except ThumbrankError as error:
            printed += ["".join(traceback.format_exception(error)), repr(error)]
            continue
        printed += [repr(result), result.headline]
        for bucket, units in result.units.items():
            assert units <= result.forecast_upper[bucket], "no run spends more than its forecast's upper figure"
        if result.state == "complete":
            assert (result.reason, result.resumes_at) == ("", None)
            return "\n".join(printed)
        assert result.reason, "a run that stops says why"
        assert result.resumes_at is not None, "and when it can go on"
        assert rows(db, "select state, reason, resumes_at from thumbrank.collection_runs") == [
            ("partial", result.reason, result.resumes_at)
        ]
    raise AssertionError(f"not complete after {RUNS} runs: {printed}")


def assert_no_key(*texts):
    for text in texts:
        assert KEY not in text
        assert "key=" not in text


@pytest.mark.parametrize("kind", ["truncated_json"])
def test_a_tenth_of_all_requests_gone_wrong_changes_nothing_in_the_tables(db, undisturbed, everything_logged, kind):
    tables, cost = undisturbed
    with generous(TINY, faults={kind: 0.1}, slow_seconds=SLOW_SECONDS) as server:
        said = collect_until_complete(db, server, policy=SAMPLE)
        sent = server.attempts()
        assert ledger(db) == sent
    assert as_written(db) == tables
    assert sum(sent.values()) > sum(cost.values()), "some requests had to be sent again"
    assert_no_key(said, everything_logged.text, repr(every_row(db)))


def test_two_per_cent_of_every_fault_at_once_change_nothing_in_the_tables(db, undisturbed, everything_logged):
    tables, cost = undisturbed
    with generous(TINY, faults=dict.fromkeys(REQUEST_FAULTS, 0.02), slow_seconds=SLOW_SECONDS) as server:
        said = collect_until_complete(db, server, policy=SAMPLE)
        assert ledger(db) == server.attempts()
        assert sum(server.attempts().values()) > sum(cost.values())
    assert as_written(db) == tables
    assert_no_key(said, everything_logged.text, repr(every_row(db)))


def test_uploads_that_arrive_between_pages_and_faults_together_lose_and_double_nothing(db):
    faults = {"upload_midcrawl": 0.5, "http_503": 0.04, "truncated_json": 0.04, "dropped": 0.04}
    with generous(RICH, faults=faults) as server:
        collect_until_complete(db, server)
        assert ledger(db) == server.attempts()
    stored = [video_id for (video_id,) in rows(db, "select video_id from thumbrank.thumbnails")]
    before = {video.id for video in build_world(RICH).videos if video.is_listed}
    assert len(stored) == len(set(stored))
    assert before <= set(stored)
    assert len(set(stored) - before) <= 3, "at most one upload a channel arrived in time to be listed"
    assert rows(db, "select count(*) from thumbrank.collection_queue") == [(0,)]


def test_an_answer_that_never_gets_better_is_given_up_and_asked_again_by_the_next_run(db, calm):
    attempts = attempts_from_here(calm)
    calm.set_faults({"http_500": 1.0})
    try:
        result = collect(db, youtube_of(calm, attempts=2))
    finally:
        calm.set_faults({})
    assert result.state == "partial"
    assert "requests failed after every retry" in result.reason
    assert "run again" in result.reason
    assert result.resumes_at == TINY.as_of
    assert 2 <= sum(attempts().values()) <= 2 * POLICY.collection.requests + 2, "it does not try them all"
    again = collect(db, calm)
    assert (again.state, again.resumed, again.videos) == ("complete", True, 84)
    assert ledger(db) == attempts()


def test_a_server_that_is_not_there_is_one_sentence_and_no_state(db):
    with pytest.raises(RetryableYouTubeError, match="check the network and run again") as caught:
        collect(db, YouTube(SecretStr(KEY), "http://127.0.0.1:9"))
    assert_no_key("".join(traceback.format_exception(caught.value)))
    assert rows(db, "select count(*) from thumbrank.collection_runs") == [(0,)]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'"a string"',
        b'{"items": [',
        b"<html>soon</html>",
        b"\xff\xfe\x00",
    ],
)
def test_an_answer_that_cannot_be_read_is_one_that_may_come_better(body):
    answered = []

    class Broken(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            answered.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "application/json; charset=UTF-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Broken) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            youtube = YouTube(SecretStr(KEY), f"http://127.0.0.1:{server.server_port}", attempts=1)
            with pytest.raises(RetryableYouTubeError, match="run again") as caught:
                youtube.channels(["UC1"])
        finally:
            server.shutdown()
            thread.join()
    assert len(answered) == 1
    assert_no_key(str(caught.value), repr(caught.value), *answered)


def test_a_kept_connection_that_the_server_has_closed_costs_no_attempt():
    """Nothing was sent on it: opening another is no second try, and an attempt that failed would have been charged."""
    answered = []

    class Closing(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            answered.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "application/json; charset=UTF-8")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")
            self.close_connection = True  # without a word of it in the headers

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Closing) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            youtube = YouTube(SecretStr(KEY), f"http://127.0.0.1:{server.server_port}", attempts=1)
            for _ in range(3):
                assert youtube.channels(["UC1"]).items == []
                time.sleep(0.1)  # until the end of the connection has come
        finally:
            server.shutdown()
            thread.join()
    assert (youtube.calls, len(answered)) == (3, 3)


def test_the_command_prints_what_happened_and_never_the_key(database_url, monkeypatch, tmp_path, everything_logged):
    faults = {"http_503": 0.05, "truncated_json": 0.05, "html_error": 0.05}
    with generous(TINY, faults=faults) as server:
        monkeypatch.chdir(tmp_path)
        for name, value in {
            "DATABASE_URL": database_url,
            "YOUTUBE_API_KEY": KEY,
            "YOUTUBE_API_ENDPOINT": server.endpoint,
            "THUMBRANK_HOME": str(tmp_path / "home"),
        }.items():
            monkeypatch.setenv(name, value)
        dry = CliRunner().invoke(app, ["collect", "--niche", "tech", "--dry-run"])
        assert dry.exit_code == 0, dry.output
        assert "Nothing was spent." in dry.output
        assert sum(server.attempts().values()) == 0
        real = CliRunner().invoke(app, ["collect", "--niche", "tech", "--stage", "discover", "--stage", "vet"])
        assert real.exit_code == 0, real.output
        quota = CliRunner().invoke(app, ["quota"])
        assert quota.exit_code == 0, quota.output
        sent = server.attempts()
    with Database(database_url) as db:
        assert ledger(db) == sent
    assert f"units of the search bucket {sent['search']}" in " ".join(real.output.replace("│", " ").split())
    assert "The next reset:" in quota.output
    assert_no_key(dry.output, real.output, quota.output, everything_logged.text)


@pytest.mark.slow
@pytest.mark.parametrize("kind", REQUEST_FAULTS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_tenth_gone_wrong_in_other_places_changes_nothing_either(db, undisturbed, kind, seed):
    with generous(TINY, faults={kind: 0.1}, fault_seed=seed, slow_seconds=SLOW_SECONDS) as server:
        collect_until_complete(db, server, policy=SAMPLE)
        assert ledger(db) == server.attempts()
    assert as_written(db) == undisturbed[0]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_a_rich_world_under_every_fault_at_once_is_collected_whole(db, postgres, migrated_template, seed):
    policy = policy_of(collection={"trainability": "require"})
    with (
        generous(RICH) as server,
        Database(postgres.create_database(f"undisturbed_rich_{seed}", template=migrated_template)) as other,
    ):
        collect(other, server, policy=policy)
        tables = as_written(other)
    faults = dict.fromkeys(REQUEST_FAULTS, 0.02)
    with generous(RICH, faults=faults, fault_seed=seed, slow_seconds=SLOW_SECONDS) as server:
        collect_until_complete(db, server, policy=policy)
        assert ledger(db) == server.attempts()
    assert as_written(db) == tables
