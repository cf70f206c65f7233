"""Reading an owner's reports: real HTTP, a real Postgres, the simulator's clock."""

import gzip
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
from scipy.stats import spearmanr
from starlette.responses import JSONResponse, Response

from tests.integration.reaching import (
    BACKFILLED,
    TWO_DAYS,
    count,
    csv_answer,
    log_in,
    reach_of,
    refresh_token,
    settings_of,
    stored,
    sync_one,
    withdraw,
)
from thumbrank_core.labels.click_rates import click_rates
from thumbrank_core.policy import load_policy
from thumbrank_core.retention.cascade import Gone, make_sets
from thumbrank_core.retention.expiry import Ages, choose_expired
from thumbrank_core.store.database import Database
from thumbrank_core.store.tombstones import record
from thumbrank_core.youtube.reach import api, transport
from thumbrank_core.youtube.reach.errors import ReachError
from thumbrank_core.youtube.reach.reports import ReachRow, ReachTable, Report
from thumbrank_core.youtube.reach.rows import replace_report
from thumbrank_core.youtube.reach.sync import logout, sync_all

HEADER = "date,channel_id,video_id,video_thumbnail_impressions,video_thumbnail_impressions_ctr"


@pytest.fixture
def db(reach_db):
    return reach_db


@pytest.fixture
def database_url(reach_url, db):
    return reach_url


@pytest.fixture(scope="module")
def owner(owned_world):
    """A channel with a video that is not public any more, so that its reports have a row without an id."""
    return next(video.channel.id for video in owned_world.videos if not video.is_listed)


@pytest.fixture
def logged_in(reach, owner):
    log_in(reach, owner)
    return reach


def test_on_the_first_day_there_is_no_report_and_the_sentence_says_when_and_how_far_back(logged_in, owner):
    found = sync_one(logged_in)
    assert (found.days, found.rows, found.problems) == (0, 0, ())
    [sentence] = found.news
    assert "within 48 hours" in sentence
    assert "2026-08-03 00:00 UTC" in sentence
    assert "2026-07-01" in sentence
    assert owner in sentence


def test_two_days_later_thirty_days_are_backfilled_and_the_rows_without_a_video_counted(logged_in, google, db, owner):
    google.clock.advance(TWO_DAYS)
    found = sync_one(logged_in)
    assert (found.days, found.reissued, found.news, found.problems) == (BACKFILLED, 0, (), ())
    assert found.without_video > 0
    kept = stored(db)
    assert len(kept) == found.rows > 100
    assert sum(row[5] for row in kept) == found.impressions
    assert {row[0] for row in kept} == {owner}
    assert {row[3] for row in kept} == {date(2026, 7, 1) + timedelta(days=day) for day in range(31)}
    assert all(row[3] == row[4] and 0 <= row[6] <= 1 for row in kept)
    assert count(db, "reach_reports") == BACKFILLED


def test_a_second_sync_downloads_nothing_and_changes_nothing(logged_in, google, db):
    google.clock.advance(TWO_DAYS)
    sync_one(logged_in)
    before, downloads = stored(db), google.asked["GET media"]
    again = sync_one(logged_in)
    assert (again.days, again.news, again.problems) == (0, (), ())
    assert (stored(db), google.asked["GET media"]) == (before, downloads)
    assert google.asked["POST jobs"] == 1


def test_a_reissued_day_is_replaced_and_every_other_stays(logged_in, google, db):
    google.clock.advance(TWO_DAYS)
    sync_one(logged_in)
    before = {(row[2], row[3]): row for row in stored(db)}
    google.clock.advance(timedelta(days=3))
    found = sync_one(logged_in)
    assert found.reissued == 1
    assert found.days > 1, "new days came too"
    after = {(row[2], row[3]): row for row in stored(db)}
    [day] = {key[1] for key, row in before.items() if after[key] != row}
    of_day = [(before[key], after[key]) for key in before if key[1] == day]
    assert len({new[7] for _, new in of_day}) == 1
    assert all(new[7] > old[7] for old, new in of_day)
    assert sum(new[5] for _, new in of_day) > sum(old[5] for old, _ in of_day), "the first issue had counted too few"


def test_a_list_of_many_pages_is_read_to_its_end(logged_in, google, db):
    google.clock.advance(timedelta(days=30))
    found = sync_one(logged_in)
    assert google.asked["GET reports"] > 1, "a page holds fifty"
    assert found.days == count(db, "reach_reports") > 50


def test_a_job_that_somebody_else_made_is_used_and_none_is_made_beside_it(reach, google, owner):
    headers = {"Authorization": f"Bearer owner-{owner}"}
    body = {"reportTypeId": "channel_reach_basic_a1", "name": "theirs"}
    made = httpx.post(f"{google.endpoint}/v1/jobs", json=body, headers=headers).json()
    google.asked.clear()
    assert log_in(reach, owner).job.job_id == made["id"]
    assert google.asked["POST jobs"] == 0


def test_a_job_that_is_made_between_the_look_and_the_wish_is_used(reach, google, owner):
    looks = []

    def hide_it_once(request):
        if request.method == "GET" and request.url.path == "/v1/jobs":
            looks.append(1)
            return JSONResponse({}) if len(looks) == 1 else None
        return None

    log_in(reach, owner)
    google.meddle = hide_it_once
    found = sync_one(reach)
    assert found.problems == ()
    assert google.asked["POST jobs"] == 2


def test_each_owner_s_click_rates_follow_the_world_s_true_effects(reach, google, db, owned_world):
    owners = [channel.id for channel in owned_world.channels][:4]
    for owner_id in owners:
        log_in(reach, owner_id)
    google.clock.advance(TWO_DAYS)
    sync_all(reach)
    enough = 0
    for owner_id in owners:
        with db.connection() as connection:
            rates = click_rates(connection, owner_id, min_impressions=500).rates
        if len(rates) >= 12:
            enough += 1
            truth = owned_world.true_effect([rate.video_id for rate in rates])
            correlation: Any = spearmanr([rate.click_rate for rate in rates], truth)
            assert correlation.statistic > 0.5, owner_id
    assert enough >= 2


def test_two_owners_are_kept_apart(reach, google, db, owned_world):
    first, second = sorted(channel.id for channel in owned_world.channels)[:2]
    log_in(reach, first)
    log_in(reach, second)
    google.clock.advance(TWO_DAYS)
    found = sync_all(reach)
    assert [each.owner_id for each in found] == [first, second]
    assert all(each.days == BACKFILLED for each in found)
    mine = {video.id for video in owned_world.videos if video.channel.id == first}
    assert {row[2] for row in stored(db, first)} <= mine
    assert not {row[2] for row in stored(db, second)} & mine
    with db.connection() as connection:
        assert {rate.video_id for rate in click_rates(connection, first).rates} <= mine
    before = stored(db, second)
    logout(reach, first)
    assert (stored(db, first), stored(db, second)) == ([], before)


def test_an_access_token_that_ends_in_the_middle_is_renewed(logged_in, google, db):
    google.clock.advance(TWO_DAYS)

    def an_hour_passes(request):
        if "/media/" in request.url.path and google.asked["GET media"] == 5:
            google.clock.advance(timedelta(hours=1))
        return None

    google.meddle = an_hour_passes
    tokens = google.asked["POST token"]
    found = sync_one(logged_in)
    assert (found.days, found.problems) == (BACKFILLED, ())
    assert google.asked["POST token"] == tokens + 2
    assert google.asked["GET media"] == BACKFILLED + 1


def test_a_withdrawn_consent_takes_its_rows_and_its_token_with_it_in_one_sentence(
    logged_in, google, db, owner, tmp_path
):
    google.clock.advance(TWO_DAYS)
    rows = sync_one(logged_in).rows
    withdraw(google, refresh_token(tmp_path, owner))
    found = sync_one(logged_in)
    [sentence] = found.news
    assert sentence.count(".") == 1 + sentence.count("revoked.")
    assert f"{rows:,} rows and its token are removed" in sentence
    assert found.purged == rows
    assert (stored(db), count(db, "reach_reports"), count(db, "reach_owners")) == ([], 0, 0)
    assert not (tmp_path / "owners" / f"{owner}.json").exists()
    assert sync_all(logged_in) == []
    with db.connection() as connection:
        [(action, subject, counts)] = connection.execute(
            "select action, subject, counts from thumbrank.retention_audit"
        )
    assert (action, subject, counts["reach_daily"]) == ("revoked", f"reach of {owner}", rows)


def test_a_foreign_client_is_refused_before_anything_is_asked_and_purges_nothing(
    logged_in, google, db, owner, tmp_path
):
    google.clock.advance(TWO_DAYS)
    sync_one(logged_in)
    before = stored(db)
    path = tmp_path / "client_secret.json"
    path.write_text(path.read_text().replace("123456789012-simulator", "999-another"))
    google.asked.clear()
    assert "another OAuth client" in sync_one(logged_in).problems[0]
    assert (stored(db), google.asked.total()) == (before, 0)


def test_logout_revokes_removes_what_the_api_gave_and_leaves_what_came_from_studio(
    logged_in, google, db, owner, tmp_path
):
    google.clock.advance(TWO_DAYS)
    rows = sync_one(logged_in).rows
    with db.connection() as connection:
        connection.execute(
            "insert into thumbrank.reach_daily values (%s, 'studio', 'v', '2026-01-01', '2026-01-31', 5, 0.2, now())",
            (owner,),
        )
    token = refresh_token(tmp_path, owner)
    assert logout(logged_in, owner, dry_run=True).rows == rows
    assert len(stored(db)) == rows + 1
    assert google.asked["POST revoke"] == 0
    assert logout(logged_in, owner).rows == rows
    assert [row[1] for row in stored(db)] == ["studio"]
    assert logged_in.tokens.owners() == []
    assert not list((tmp_path / "owners").glob("*UC*"))
    with pytest.raises(Exception, match="400"):
        withdraw(google, token)


def test_logout_without_a_network_removes_all_the_same_and_says_what_is_left_to_do(
    logged_in, google, db, owner, caplog
):
    google.meddle = lambda request: Response(status_code=503) if request.url.path == "/revoke" else None
    with caplog.at_level("INFO", "thumbrank.progress"):
        logout(logged_in, owner)
    assert "myaccount.google.com/connections" in caplog.text
    assert count(db, "reach_owners") == 0
    assert logged_in.tokens.owners() == []


@pytest.mark.parametrize("status", [500, 503, 429])
def test_what_may_pass_is_asked_again(logged_in, google, status):
    google.clock.advance(TWO_DAYS)
    seen = set()

    def fail_once(request):
        key = (request.method, request.url.path, request.url.query)
        if key in seen:
            return None
        seen.add(key)
        return Response("<html>oops", status)

    google.meddle = fail_once
    found = sync_one(logged_in)
    assert (found.days, found.problems) == (BACKFILLED, ())


def test_what_does_not_pass_is_a_problem_that_keeps_what_was_read_and_the_next_sync_goes_on(logged_in, google, db):
    google.clock.advance(TWO_DAYS)

    def fail_from_the_tenth(request):
        late = "/media/" in request.url.path and google.asked["GET media"] >= 10
        return Response(status_code=500) if late else None

    google.meddle = fail_from_the_tenth
    found = sync_one(logged_in)
    assert found.days == count(db, "reach_reports") == 9
    assert "Google is busy" in found.problems[0]
    assert google.asked["GET media"] == 9 + transport.ATTEMPTS
    google.meddle = None
    assert sync_one(logged_in).days == BACKFILLED - 9


def test_an_api_that_is_not_enabled_says_so(logged_in, google):
    body = {
        "error": {
            "code": 403,
            "message": "YouTube Reporting API has not been used in project 1",
            "errors": [{"reason": "forbidden"}],
            "details": [{"reason": "SERVICE_DISABLED"}],
        }
    }
    google.meddle = lambda request: JSONResponse(body, 403) if request.url.path.startswith("/v1") else None
    assert sync_one(logged_in).problems == (
        "YouTube Reporting API is not enabled: enable it in the Google Cloud project of THUMBRANK_OAUTH_CLIENT.",
    )


def test_a_network_that_is_away_is_one_sentence(logged_in, google, owner, tmp_path):
    path = tmp_path / "owners" / f"{owner}.json"
    for file in (path, tmp_path / "client_secret.json"):
        file.write_text(re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:9", file.read_text()))
    [problem] = sync_one(logged_in).problems
    assert problem == "Google cannot be reached (ConnectError): check the network and run again."


def media(text, **headers):
    """Every report says this."""
    return lambda request: csv_answer(text, **headers) if "/media/" in request.url.path else None


def one_day(google, owner, rows, header=HEADER, issued="2026-08-02T10:11:12.123456789Z"):
    """Only one report is listed, of 30 July, and these are its rows."""
    text = "\n".join([header, *rows]) + "\n"

    def meddle(request):
        if request.url.path.endswith("/reports"):
            return JSONResponse(
                {
                    "reports": [
                        {
                            "id": "1",
                            "startTime": "2026-07-30T07:00:00Z",
                            "endTime": "2026-07-31T07:00:00Z",
                            "createTime": issued,
                            "downloadUrl": f"{google.endpoint}/v1/media/x?alt=media",
                        }
                    ]
                }
            )
        return media(text)(request)

    google.meddle = meddle


def test_columns_are_found_by_name_dates_in_both_forms_and_more_rows_of_a_video_added_up(logged_in, google, db, owner):
    header = "video_thumbnail_impressions_ctr,country_code,video_id,date,video_thumbnail_impressions,channel_id"
    rows = [
        f"0.1,US,video-a,20260730,100,{owner}",
        f"0.4,GB,video-a,2026-07-30,50,{owner}",
        f"0.5,US,,20260730,10,{owner}",
        f"0,US,video-b,20260730,0,{owner}",
    ]
    one_day(google, owner, rows, header)
    found = sync_one(logged_in)
    assert (found.rows, found.impressions, found.without_video, found.problems) == (2, 150, 1, ())
    issued = datetime(2026, 8, 2, 10, 11, 12, 123456, tzinfo=UTC)
    day = date(2026, 7, 30)
    assert stored(db) == [
        (owner, "reporting_api", "video-a", day, day, 150, pytest.approx(0.2), issued),
        (owner, "reporting_api", "video-b", day, day, 0, None, issued),
    ]


def test_an_older_issue_that_is_listed_later_never_replaces_a_newer_one(logged_in, google, db, owner):
    one_day(google, owner, [f"20260730,{owner},v,100,0.1"], issued="2026-08-05T10:00:00Z")
    sync_one(logged_in)
    before = stored(db)
    downloads = google.asked["GET media"]
    one_day(google, owner, [f"20260730,{owner},v,80,0.2"], issued="2026-08-02T10:00:00Z")
    assert sync_one(logged_in).days == 0
    assert (stored(db), google.asked["GET media"]) == (before, downloads)
    one_day(google, owner, [f"20260730,{owner},w,120,0.3"], issued="2026-08-06T10:00:00Z")
    assert sync_one(logged_in).reissued == 1
    assert [row[2] for row in stored(db)] == ["w"], "the whole day is replaced, not only the videos it names"


def test_of_two_syncs_at_once_the_older_issue_loses_also_when_it_is_written_last(logged_in, google, db, owner):
    begin, end = (datetime(2026, 7, day, 7, tzinfo=UTC) for day in (30, 31))
    report = Report("1", begin, end, datetime(2026, 8, 5, tzinfo=UTC), "")
    newer = ReachTable((ReachRow(date(2026, 7, 30), "v", 100, 0.1),), 0)
    older = ReachTable((ReachRow(date(2026, 7, 30), "v", 80, 0.2),), 0)
    assert replace_report(db, owner, report, newer) is not None
    before = stored(db)
    assert replace_report(db, owner, replace(report, issued_at=datetime(2026, 8, 4, tzinfo=UTC)), older) is None
    assert stored(db) == before


def test_what_was_read_for_an_owner_who_logged_out_in_the_meantime_is_not_written(logged_in, db, owner):
    begin, end = (datetime(2026, 7, day, 7, tzinfo=UTC) for day in (30, 31))
    report = Report("1", begin, end, datetime(2026, 8, 5, tzinfo=UTC), "")
    logout(logged_in, owner)
    with pytest.raises(ReachError, match="was logged out"):
        replace_report(db, owner, report, ReachTable((ReachRow(date(2026, 7, 30), "v", 100, 0.1),), 0))
    assert stored(db) == []


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("20260730,{owner},v,100,4.2", "does not lie between 0 and 1"),
        ("20260730,{owner},v,100,nan", "does not lie between 0 and 1"),
        ("20260730,{owner},v,100,", "not a click-through rate"),
        ("20260730,{owner},v,-1,0.1", "not a number of impressions"),
        ("20260731,{owner},v,100,0.1", "not a day of this report"),
        ("yesterday,{owner},v,100,0.1", "not a date"),
        ("20260730,UCsomebodyelse,v,100,0.1", "another channel"),
        ("20260730,{owner},v", "too few columns"),
    ],
)
def test_a_report_that_is_not_what_it_should_be_is_a_problem_and_stores_nothing(
    logged_in, google, db, owner, row, reason
):
    one_day(google, owner, ["20260730," + owner + ",good,10,0.1", row.format(owner=owner)])
    found = sync_one(logged_in)
    [problem] = found.problems
    assert "line 3" in problem
    assert reason in problem
    assert (stored(db), count(db, "reach_reports")) == ([], 0)


def test_a_report_without_a_column_names_it(logged_in, google, owner):
    one_day(google, owner, [], HEADER.replace("_ctr", "_rate"))
    assert "exactly one column video_thumbnail_impressions_ctr" in sync_one(logged_in).problems[0]


def test_a_video_that_was_forgotten_is_not_written_back(logged_in, google, db, owner):
    with db.connection() as connection:
        record(connection, "video", ["video-a"], "forgotten", datetime.now(UTC))
    one_day(google, owner, [f"20260730,{owner},video-a,100,0.1", f"20260730,{owner},video-b,100,0.1"])
    found = sync_one(logged_in)
    assert (found.rows, found.forgotten) == (1, 1)
    assert [row[2] for row in stored(db)] == ["video-b"]


def test_a_channel_that_was_forgotten_is_not_read_again_and_its_consent_not_used(logged_in, google, db, owner):
    with db.connection() as connection:
        record(connection, "channel", [owner], "forgotten", datetime.now(UTC))
    google.asked.clear()
    assert f"thumbrank reach logout {owner}" in sync_one(logged_in).problems[0]
    assert google.asked == {}


def test_a_body_may_be_gzip_by_its_header_or_by_its_first_bytes(logged_in, google, db, owner):
    text = f"{HEADER}\n20260730,{owner},v,100,0.1\n"
    one_day(google, owner, [])
    listing = google.meddle
    for headers in ({"content-encoding": "gzip"}, {}):
        body = Response(gzip.compress(text.encode()), media_type="text/csv", headers=headers)
        google.meddle = lambda request, body=body: body if "/media/" in request.url.path else listing(request)
        assert sync_one(logged_in).rows == 1
        with db.connection() as connection:
            connection.execute("delete from thumbrank.reach_reports")


def test_a_gzip_of_several_members_is_read_to_its_end(logged_in, google, owner):
    parts = (f"{HEADER}\n20260730,{owner},v,100,0.1\n", f"20260730,{owner},w,200,0.2\n")
    one_day(google, owner, [])
    listing = google.meddle
    body = Response(b"".join(gzip.compress(part.encode()) for part in parts), media_type="text/csv")
    google.meddle = lambda request: body if "/media/" in request.url.path else listing(request)
    assert sync_one(logged_in).rows == 2


def test_a_body_that_unpacks_to_more_than_the_limit_is_not_unpacked(logged_in, google, db, monkeypatch):
    monkeypatch.setattr(api, "MAX_REPORT_BYTES", 1_000_000)
    google.clock.advance(TWO_DAYS)
    bomb = gzip.compress(b"0" * 50_000_000)
    assert len(bomb) < 1_000_000
    google.meddle = lambda request: (
        Response(bomb, headers={"content-encoding": "gzip"}) if "/media/" in request.url.path else None
    )
    assert "larger than 1 MiB" in sync_one(logged_in).problems[0]
    google.meddle = lambda request: Response(b"0" * 1_000_001) if "/media/" in request.url.path else None
    assert "larger than 1 MiB" in sync_one(logged_in).problems[0]
    assert stored(db) == []


@pytest.mark.parametrize("how", ["another host", "a redirect"])
def test_the_owner_s_token_goes_to_no_other_host(logged_in, google, owner, how):
    one_day(google, owner, [f"20260730,{owner},v,100,0.1"])
    listing = google.meddle
    elsewhere = "http://localhost:1/v1/media/x?alt=media"

    def mislead(request):
        if how == "a redirect" and "/media/" in request.url.path:
            return Response(status_code=302, headers={"location": elsewhere})
        answer = listing(request)
        if how == "another host" and request.url.path.endswith("/reports"):
            return Response(re.sub(rb"http://127[^\"]*", elsewhere.encode(), answer.body))
        return answer

    google.meddle = mislead
    [problem] = sync_one(logged_in).problems
    assert ("is not the API" if how == "another host" else "HTTP 302") in problem


def test_a_process_killed_between_download_and_commit_leaves_a_state_that_the_next_sync_completes(
    logged_in, google, db, database_url, owner, tmp_path, postgres, migrated_template
):
    google.clock.advance(TWO_DAYS)
    settings = settings_of(google, tmp_path)
    environment = {
        **os.environ,
        "DATABASE_URL": database_url,
        "THUMBRANK_HOME": str(tmp_path),
        "YOUTUBE_API_ENDPOINT": google.endpoint,
        "THUMBRANK_OAUTH_CLIENT": str(settings.oauth_client),
    }
    with psycopg.connect(database_url) as blocker:
        blocker.execute("lock table thumbrank.reach_daily in share mode")
        command = [sys.executable, "-c", "from thumbrank_core.cli import app; app()", "reach", "sync"]
        child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        waiting = "select count(*) from pg_locks where not granted and relation = 'thumbrank.reach_daily'::regclass"
        while blocker.execute(waiting).fetchone() == (0,):
            assert time.monotonic() < deadline and child.poll() is None
            time.sleep(0.02)
        child.send_signal(signal.SIGKILL)
        child.wait(timeout=10)
    assert google.asked["GET media"] == 1, "downloaded, and not committed"
    deadline = time.monotonic() + 10
    while stored(db) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (stored(db), count(db, "reach_reports")) == ([], 0)
    assert sync_one(logged_in).days == BACKFILLED
    with Database(postgres.create_database("reach_uninterrupted", template=migrated_template)) as other:
        uninterrupted = reach_of(google, tmp_path, other)
        sync_one(uninterrupted)
        assert stored(db) == stored(other)


def test_rows_of_a_consent_that_was_not_confirmed_for_thirty_days_expire_and_can_be_read_again(
    logged_in, google, db, owner
):
    google.clock.advance(TWO_DAYS)
    rows = sync_one(logged_in).rows

    def expire(days):
        gone = Gone()
        with db.connection() as connection:
            make_sets(connection)
            choose_expired(connection, Ages.of(load_policy(), datetime.now(UTC) + timedelta(days=days)), gone)
        return gone.rows

    assert expire(29.9)["reach_daily"] == 0
    gone = expire(30)
    assert (gone["reach_daily"], gone["reach_reports"], gone["reach_owners"]) == (rows, BACKFILLED, 1)
    assert sync_one(logged_in).rows == rows
