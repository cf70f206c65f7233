"""What Dagster keeps of a sync of owners' reports: counts and kinds, and no owner, no report, and nothing out of one."""

import re
from typing import get_args

import dagster as dg
import pytest
from starlette.responses import JSONResponse

from tests.integration.reaching import TWO_DAYS, csv_answer, log_in, refresh_token, settings_of, withdraw
from thumbrank_core.youtube.reach.errors import ReachKind
from thumbrank_core.youtube.reach.sync import sync_all
from thumbrank_dagster.defs.collect import reach as module
from thumbrank_dagster.defs.collect.reach import SAID, by_kind, owner_reach, said
from thumbrank_dagster.instance_file import HEAD
from thumbrank_dagster.resources.state import StateResource

VIDEO = "dQw4w9WgXcQ"


@pytest.fixture
def environment(google, tmp_path, reach_url, reach_db, monkeypatch):
    for name, value in (
        ("DATABASE_URL", reach_url),
        ("THUMBRANK_HOME", str(tmp_path)),
        ("YOUTUBE_API_ENDPOINT", google.endpoint),
        ("THUMBRANK_OAUTH_CLIENT", str(settings_of(google, tmp_path).oauth_client)),
    ):
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.fixture
def sync(environment):
    """Materializes the asset as a server does, with our logs in its events; returns the metadata, the check and all the events."""
    home = environment / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text(HEAD)
    with dg.DagsterInstance.from_config(str(home)) as instance:

        def run():
            done = dg.materialize([owner_reach], resources={"state": StateResource()}, instance=instance)
            [event] = done.get_asset_materialization_events()
            [check] = done.get_asset_check_evaluations()
            metadata = event.step_materialization_data.materialization.metadata
            kept = "\n".join(entry.to_json() for entry in instance.all_logs(done.run_id))
            return {name: value.value for name, value in metadata.items()}, check, kept

        yield run


def test_no_event_holds_an_owner_a_report_or_a_cell_of_one(sync, environment, google, reach, owned_world, monkeypatch):
    # Every piece of work is told of as it is told of when it lasts.
    monkeypatch.setattr("thumbrank_core.progress.LineSink.end", lambda sink, handle: sink.say(sink._names.pop(handle)))
    first, second = (channel.id for channel in owned_world.channels[:2])
    log_in(reach, first)
    log_in(reach, second)
    kept = [sync()[2]]
    google.clock.advance(TWO_DAYS)
    google.meddle = lambda request: csv_answer(f"{VIDEO},{first}\n") if "/media/" in request.url.path else None
    metadata, check, events = sync()
    kept.append(events)
    number = sum(check.metadata["problems_by_kind"].data.values())
    assert check.metadata["problems_by_kind"].data == {"A report cannot be read": number}
    assert check.metadata["problems"].value == (
        f"A report cannot be read ({number} times). `thumbrank reach sync` tries again and names each."
    )
    assert number > 2 and metadata["owners"] == 2
    google.meddle = None
    withdraw(google, refresh_token(environment, second))
    metadata, check, events = sync()
    kept.append(events)
    assert metadata["news"] == "A consent has ended, and its rows and its token are removed."
    assert check.passed
    reports = re.compile(r"Report \S+ of 20")
    assert "reports of an owner" in kept[0]
    for events in kept:
        assert "STEP_SUCCESS" in events, "these are the events"
        assert not re.search(r"UC[\w-]{22}", events)
        assert VIDEO not in events and not reports.search(events)


def test_the_command_still_names_who_and_what(environment, google, reach, owned_world):
    owner = owned_world.channels[0].id
    log_in(reach, owner)
    google.clock.advance(TWO_DAYS)
    google.meddle = lambda request: csv_answer("no,columns\n") if "/media/" in request.url.path else None
    [found] = sync_all(reach)
    assert found.owner_id == owner
    assert all(re.match(r"Report \S+ of 20", problem) for problem in found.problems)


def test_every_kind_has_its_words_and_is_counted_by_them():
    kinds = by_kind(["refused", "busy", "busy"])
    assert kinds == {"Google is busy": 2, "YouTube refuses a request": 1}
    assert said(kinds) == "Google is busy (2 times). YouTube refuses a request."
    assert said({}) == ""
    assert tuple(SAID) and set(SAID) == set(get_args(ReachKind))
    assert not any(module.OWNER.search(words) for words in SAID.values())


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        (403, "forbidden", "YouTube does not let an owner read reports"),
        (400, "badRequest", "YouTube refuses a request"),
        (403, "accessNotConfigured", "An API is not enabled in the project of THUMBRANK_OAUTH_CLIENT"),
    ],
)
def test_an_answer_s_kind_is_counted_whatever_its_words(sync, google, reach, owned_world, status, reason, words):
    log_in(reach, owned_world.channels[0].id)
    body = {"error": {"message": "Some new words of Google's.", "errors": [{"reason": reason}]}}
    google.meddle = lambda request: JSONResponse(body, status) if "/v1/" in request.url.path else None
    _, check, events = sync()
    assert check.metadata["problems_by_kind"].data == {words: 1}
    assert "Some new words" not in events
