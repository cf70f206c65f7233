"""`thumbrank reach …` as a person types it: consent in a browser, tokens on the disk, and no secret anywhere else."""

import contextlib
import json
import logging
import os
import signal
import stat
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import httpx
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from tests.integration.reaching import (
    BACKFILLED,
    SECRET,
    TWO_DAYS,
    Browser,
    count,
    csv_answer,
    log_in,
    refresh_token,
    settings_of,
    withdraw,
)
from thumbrank_core.cli import app
from thumbrank_core.youtube.reach import consent
from thumbrank_core.youtube.reach.errors import ReachError
from thumbrank_core.youtube.reach.sync import login
from thumbrank_core.youtube.reach.tokens import Consent, TokenStore
from thumbrank_dagster.defs.collect.reach import owner_reach
from thumbrank_dagster.resources.state import StateResource

COMMAND = [sys.executable, "-c", "from thumbrank_core.cli import app; app()", "reach"]


@pytest.fixture
def db(reach_db):
    return reach_db


@pytest.fixture
def database_url(reach_url, db):
    return reach_url


@pytest.fixture
def owner(owned_world):
    return owned_world.channels[0].id


@pytest.fixture
def environment(google, tmp_path, database_url, monkeypatch):
    settings = settings_of(google, tmp_path)
    for name, value in (
        ("DATABASE_URL", database_url),
        ("THUMBRANK_HOME", str(tmp_path)),
        ("YOUTUBE_API_ENDPOINT", google.endpoint),
        ("THUMBRANK_OAUTH_CLIENT", str(settings.oauth_client)),
    ):
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.fixture
def thumbrank(environment, owner, monkeypatch):
    """The commands, on a machine with a browser whose user owns `owner`."""
    monkeypatch.setattr("webbrowser.open", lambda address: Browser(owner).open(address))

    def run(*words):
        done = CliRunner().invoke(app, ["reach", *words])
        assert not SECRET.search(done.output)
        return done

    return run


def test_login_sync_status_and_logout_from_end_to_end(thumbrank, google, db, owner, owned_world):
    done = thumbrank("login")
    assert done.exit_code == 0, done.output
    assert f"({owner}) consented" in done.output
    assert "within 48 hours" in done.output
    assert "nothing before that can be had" in done.output
    assert google.asked["GET channels"] == 1
    google.clock.advance(TWO_DAYS)
    done = thumbrank("sync")
    assert done.exit_code == 0
    assert f" {BACKFILLED} " in done.output
    assert "nothing new" in thumbrank("sync").output
    assert f"{count(db, 'reach_daily'):,}" in thumbrank("status").output
    planned = thumbrank("logout")
    assert "Would be removed" in planned.output
    assert "--yes" in planned.output
    assert count(db, "reach_daily") > 0
    assert thumbrank("logout", owner, "--yes").exit_code == 0
    assert count(db, "reach_daily") == 0
    assert "No owner has consented" in thumbrank("status").output
    assert "No owner has consented" in thumbrank("sync").output


def test_without_a_browser_the_address_is_printed_and_a_guess_a_preconnection_and_a_favicon_change_nothing(
    environment, google, db, owner
):
    child = subprocess.Popen(
        [*COMMAND, "login", "--no-browser"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    address = next(line.strip() for line in child.stdout if line.startswith("http"))
    browser = Browser(owner)
    browser.open(address)
    out, err = child.communicate(timeout=60)
    assert browser.thread is not None
    browser.thread.join(timeout=10)
    assert child.returncode == 0, err
    assert "Waiting for the owner's consent" in err
    assert "ssh -L" in err
    chooser, icon, guess, done = browser.pages
    assert owner in chooser
    assert icon.startswith("404")
    assert guess.startswith("404")
    assert "Thumbrank has your consent" in done
    assert TokenStore(environment / "owners").owners() == [owner]
    assert not SECRET.search(out + err)


def test_the_address_asks_for_the_two_scopes_offline_with_state_and_challenge(reach, owner):
    seen = []

    def show(address, port):
        seen.append(dict(httpx.URL(address).params))
        Browser(owner).open(address)

    login(reach, show, wait_seconds=10)
    [asked] = seen
    assert asked["scope"].split() == list(consent.SCOPES)
    assert (asked["access_type"], asked["prompt"], asked["code_challenge_method"]) == ("offline", "consent", "S256")
    assert len(asked["state"]) >= 20
    assert asked["redirect_uri"].startswith("http://127.0.0.1:")


def test_ctrl_c_while_it_waits_leaves_nothing(environment, db):
    child = subprocess.Popen(
        [*COMMAND, "login", "--no-browser"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    address = next(line.strip() for line in child.stdout if line.startswith("http"))
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=30)
    assert child.returncode == 130
    assert "Traceback" not in err
    assert not (environment / "owners").exists()
    assert count(db, "reach_owners") == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(httpx.URL(address).params["redirect_uri"])


def test_an_owner_who_declines_or_does_not_come_is_told_in_one_sentence(reach, tmp_path):
    with pytest.raises(ReachError, match=r"No consent was given \(Google: access_denied\)"):
        log_in(reach, "none")
    with pytest.raises(ReachError, match="No consent came within 0 minutes"):
        login(reach, lambda address, port: None, wait_seconds=0.1)
    assert not (tmp_path / "owners").exists()


def test_a_box_left_unticked_is_told(reach, owner, google, monkeypatch):
    from starlette.responses import JSONResponse

    answer = {
        "access_token": "a",
        "refresh_token": "r",
        "expires_in": 9,
        "token_type": "Bearer",
        "scope": consent.SCOPES[1],
    }
    google.meddle = lambda request: JSONResponse(answer) if request.url.path == "/token" else None
    with pytest.raises(ReachError, match="tick every box"):
        log_in(reach, owner)


def test_a_second_login_of_the_same_owner_replaces_the_token_and_keeps_the_job(reach, google, tmp_path, owner):
    first = log_in(reach, owner)
    token = refresh_token(tmp_path, owner)
    assert log_in(reach, owner).job == first.job
    assert refresh_token(tmp_path, owner) != token
    assert google.asked["POST jobs"] == 1


def test_after_a_withdrawn_consent_a_new_login_works(reach, google, tmp_path, owner):
    log_in(reach, owner)
    withdraw(google, refresh_token(tmp_path, owner))
    assert log_in(reach, owner).owner_id == owner


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_token_is_private_from_its_first_moment_whatever_the_umask(tmp_path, umask, monkeypatch):
    modes = []

    def watch(handle):
        modes.extend(stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "owners").iterdir())
        real(handle)

    real = os.fsync
    monkeypatch.setattr(os, "fsync", watch)
    before = os.umask(umask)
    try:
        store = TokenStore(tmp_path / "owners")
        with store.locked():
            store.write(consent_of("UC" + "a" * 22))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "owners").stat().st_mode) == 0o700
    assert modes
    assert set(modes) == {0o600}
    assert sorted(path.name for path in (tmp_path / "owners").iterdir()) == [".lock", "UC" + "a" * 22 + ".json"]


def consent_of(owner_id):
    return Consent(
        owner_id=owner_id,
        refresh_token=SecretStr("1//secret-refresh-token"),
        client_id="c",
        token_uri="https://oauth2.googleapis.com/token",
        granted_at=datetime(2026, 8, 1, tzinfo=UTC),
    )


def test_a_token_that_cannot_be_written_leaves_the_last_one_and_no_piece_of_the_new(tmp_path, monkeypatch):
    store, owner_id = TokenStore(tmp_path / "owners"), "UC" + "a" * 22
    store.write(consent_of(owner_id))
    kept = store.path(owner_id).read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.write(consent_of(owner_id).model_copy(update={"client_id": "d"}))
    assert [path.name for path in store.folder.iterdir()] == [f"{owner_id}.json"]
    assert store.path(owner_id).read_bytes() == kept


def test_what_a_killed_login_left_is_no_owner_and_goes_with_the_consent(tmp_path):
    store, owner_id = TokenStore(tmp_path / "owners"), "UC" + "a" * 22
    store.folder.mkdir()
    (store.folder / f"{owner_id}.json.part").write_text("half a token")
    assert (store.owners(), store.delete(owner_id)) == ([], False)
    assert list(store.folder.iterdir()) == []


def test_a_token_that_others_can_read_or_that_is_broken_is_refused_without_showing_it(tmp_path):
    store, owner_id = TokenStore(tmp_path / "owners"), "UC" + "a" * 22
    store.write(consent_of(owner_id))
    store.path(owner_id).chmod(0o644)
    with pytest.raises(ReachError, match="chmod 600"):
        store.read(owner_id)
    store.path(owner_id).chmod(0o600)
    store.path(owner_id).write_text('{"refresh_token": "1//secret-refresh-token"}')
    with pytest.raises(ReachError, match="is broken") as caught:
        store.read(owner_id)
    assert "secret" not in str(caught.value) + repr(caught.value.__cause__)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("owner_id", ["../../etc/passwd", "UC/../x", "", "UC" + "a" * 21, "UC" + "a" * 23])
def test_nothing_but_a_channel_s_id_becomes_a_file_s_name(tmp_path, owner_id):
    with pytest.raises(ReachError, match="not the id of a channel"):
        TokenStore(tmp_path).path(owner_id)


def test_no_secret_is_in_any_repr(tmp_path, google, reach):
    client = reach.client()
    shown = (
        repr(consent_of("UC" + "a" * 22)) + str(consent_of("UC" + "a" * 22)) + repr(client) + str(client) + repr(reach)
    )
    assert "GOCSPX" not in shown
    assert "1//" not in shown


def test_no_secret_is_in_the_logs_of_any_library_nor_in_the_database(thumbrank, google, db, owner, environment, caplog):
    loggers = ["", "httpx", "httpcore", "googleapiclient", "requests_oauthlib.oauth2_session", "oauthlib", "urllib3"]
    loggers += ["google_auth_oauthlib.flow", "google.auth", "google", "psycopg", "thumbrank.progress"]
    with contextlib.ExitStack() as stack:
        for name in loggers:
            stack.enter_context(caplog.at_level(logging.DEBUG, name))
        assert thumbrank("login").exit_code == 0
        token = refresh_token(environment, owner)
        google.clock.advance(TWO_DAYS)
        assert thumbrank("sync").exit_code == 0
        withdraw(google, token)
        assert "has ended" in thumbrank("sync").output
    assert len(caplog.records) > 50
    said = "\n".join(f"{record.name} {record.getMessage()} {record.args!r}" for record in caplog.records)
    assert "httpx" in said
    assert token not in said
    assert not SECRET.search(said), SECRET.search(said)
    with db.connection() as connection:
        tables = connection.execute("select table_name from information_schema.tables where table_schema = 'thumbrank'")
        for (table,) in tables.fetchall():
            rows = connection.execute(f"select r::text from thumbrank.{table} r").fetchall()
            assert not any(token in text or "GOCSPX" in text for (text,) in rows)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read"),
        ("no json", "cannot be read"),
        ({"web": {}}, "not the file of a Desktop app"),
        ({"installed": {"client_id": "c", "client_secret": "GOCSPX-x"}}, "auth_uri Field required"),
        (
            {
                "installed": {
                    "client_id": "c",
                    "client_secret": "GOCSPX-x",
                    "auth_uri": "https://a",
                    "token_uri": "http://evil.example/token",
                }
            },
            "is not an https address",
        ),
        (
            {
                "installed": {
                    "client_id": "c",
                    "client_secret": "GOCSPX-x",
                    "auth_uri": "https://accounts.google.com/o/oauth2/auth",
                    "token_uri": "https://oauth2.googleapis.com/token",
                }
            },
            "do not go together",
        ),
    ],
)
def test_a_client_file_that_does_not_serve_is_one_sentence_without_its_secret(
    thumbrank, environment, content, sentence
):
    file = environment / "client_secret.json"
    if content is None:
        file.unlink()
    else:
        file.write_text(content if isinstance(content, str) else json.dumps(content))
    done = thumbrank("login")
    assert done.exit_code == 1
    assert sentence in done.output
    assert "GOCSPX" not in done.output
    assert "Traceback" not in done.output


def test_without_a_client_file_the_variable_is_named(thumbrank, monkeypatch):
    monkeypatch.delenv("THUMBRANK_OAUTH_CLIENT")
    assert "THUMBRANK_OAUTH_CLIENT is not set" in thumbrank("login").output
    assert thumbrank("sync").exit_code == 0, "without an owner nobody needs a client"


def test_logout_of_several_owners_asks_which_and_of_an_unknown_one_says_so(thumbrank, reach, owned_world):
    assert "there is nothing to give back" in thumbrank("logout").output
    first, second = (channel.id for channel in owned_world.channels[:2])
    log_in(reach, first)
    log_in(reach, second)
    assert "There are 2 owners" in thumbrank("logout", "--yes").output
    assert "Nothing of UC" in thumbrank("logout", "UC" + "x" * 22).output


def test_a_second_command_waits_for_the_first(thumbrank, reach, owner, environment):
    log_in(reach, owner)
    with reach.tokens.locked():
        child = subprocess.Popen([*COMMAND, "sync"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert child.stderr is not None and "waiting for it" in child.stderr.readline()
        time.sleep(0.1)
        assert child.poll() is None
    child.communicate(timeout=30)
    assert child.returncode == 0


def materialize() -> tuple[dict[str, Any], dg.AssetCheckEvaluation]:
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([owner_reach], resources={"state": StateResource()}, instance=instance)
    [event] = result.get_asset_materialization_events()
    [check] = result.get_asset_check_evaluations()
    metadata = event.step_materialization_data.materialization.metadata
    return {name: value.value for name, value in metadata.items()}, check


def test_the_asset_without_an_owner_succeeds_and_says_so(environment):
    metadata, check = materialize()
    assert metadata["owners"] == 0
    assert "No owner has consented" in metadata["news"]
    assert check.passed


def test_the_asset_reads_every_owner_and_counts(environment, reach, google, owner, db, tmp_path):
    log_in(reach, owner)
    google.clock.advance(TWO_DAYS)
    metadata, check = materialize()
    assert (metadata["owners"], metadata["days"], metadata["rows"]) == (1, BACKFILLED, count(db, "reach_daily"))
    assert metadata["impressions"] > 0
    assert check.passed
    withdraw(google, refresh_token(tmp_path, owner))
    again, _ = materialize()
    assert again["purged"] == metadata["rows"]
    assert "has ended" in again["news"]


def test_a_report_that_cannot_be_read_fails_the_asset_s_check_and_not_its_run(environment, reach, google, owner):
    log_in(reach, owner)
    google.clock.advance(TWO_DAYS)
    google.meddle = lambda request: csv_answer("no,columns\n") if "/media/" in request.url.path else None
    metadata, check = materialize()
    assert metadata["rows"] == 0
    assert not check.passed
    assert "cannot be read" in str(check.metadata["problems"].value)
