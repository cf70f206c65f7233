"""How steps fail: what passes by itself is tried again, what a person has to mend is not, and a spent quota is neither."""

import os
import signal
from collections.abc import Mapping
from typing import Any

import dagster as dg
import pytest
from dagster._core.errors import DagsterExecutionInterruptedError
from pydantic import SecretStr

from tests.integration.collecting import KEY, PLENTY, generous
from thumbrank_core.progress import LineSink, listen
from thumbrank_core.simulator.behaviour import Behaviour
from thumbrank_core.simulator.server import SimulatorServer
from thumbrank_core.simulator.world import WorldSettings
from thumbrank_core.youtube.client import YouTube
from thumbrank_core.youtube.errors import RetryableYouTubeError
from thumbrank_dagster.build import build_defs
from thumbrank_dagster.resources.youtube import YouTubeResource

SMALL = WorldSettings(seed=3, niches=("tech",), channels_per_niche=3, videos_per_channel=5)
AT_ONCE = dg.RetryPolicy(max_retries=3, delay=0)


class Impatient(YouTubeResource):
    """Sends each request once, so that an answer that failed is the step's to try again."""

    def client(self):
        return YouTube(SecretStr(os.environ["YOUTUBE_API_KEY"]), os.environ["YOUTUBE_API_ENDPOINT"], attempts=1)


@pytest.fixture
def state(tmp_path, database_url, monkeypatch):
    for name, value in {
        "DATABASE_URL": database_url,
        "THUMBRANK_HOME": str(tmp_path),
        "YOUTUBE_API_KEY": KEY,
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def served(state, monkeypatch):
    with generous(SMALL) as server:
        monkeypatch.setenv("YOUTUBE_API_ENDPOINT", server.endpoint)
        yield server


def run(asset, *, youtube=None, retries=AT_ONCE, at_first_retry=lambda: None, budget=None):
    """One step of the niche tech; what it said when it was to be tried again, and the result."""
    said = []

    def hear(text):
        if "Attempt" in text:
            said.append(text)
            if len(said) == 1:
                at_first_retry()

    definitions = build_defs({"youtube": youtube or Impatient()}, retries=retries)
    config = {"ops": {"raw_videos": {"config": {"budget": budget}}}} if budget is not None else None
    with dg.DagsterInstance.ephemeral() as instance, listen(LineSink(hear, every=1e9)):
        result = definitions.resolve_job_def("refresh_niche").execute_in_process(
            partition_key="tech",
            instance=instance,
            asset_selection=[dg.AssetKey(asset)],
            run_config=config,
            raise_on_error=False,
        )
    return said, result


def failing(error, **options):
    """A step that ends with this error: how often it was begun, what it said, and the result."""
    begun = []

    class Failing(YouTubeResource):
        def client(self):
            begun.append(1)
            raise error

    said, result = run("raw_videos", youtube=Failing(), **options)
    return len(begun), said, result


def check(result, name):
    return next(found for found in result.get_asset_check_evaluations() if found.check_name == name)


def metadata(result) -> Mapping[str, Any]:
    [event] = result.get_asset_materialization_events()
    return event.step_materialization_data.materialization.metadata


def said_at_the_end(result):
    """The sentence of the one step that failed."""
    [failure] = result.get_step_failure_events()
    said = failure.step_failure_data.user_failure_data
    assert said is not None and said.description is not None
    return said.description


def restarts(result):
    return [event for event in result.all_events if event.event_type == dg.DagsterEventType.STEP_UP_FOR_RETRY]


def test_a_server_that_answers_500_for_a_while_is_asked_again_and_the_niche_is_collected(served):
    served.set_faults({"http_500": 1.0})
    said, result = run("raw_videos", at_first_retry=lambda: served.set_faults({}))
    assert result.success
    assert len(restarts(result)) == len(said) == 1
    assert "requests failed after every retry" in said[0]
    assert metadata(result)["collection"].value == "complete"
    assert check(result, "complete").passed


def test_a_server_that_answers_500_for_ever_leaves_a_partial_collection_and_a_warning(served):
    served.set_faults({"http_500": 1.0})
    said, result = run("raw_videos")
    assert len(restarts(result)) == len(said) == 3
    assert metadata(result)["collection"].value.startswith("partial, resumes at")
    assert not check(result, "complete").passed
    assert not check(result, "has_videos").passed
    assert not result.success, "there is no video to go on with"


def test_a_budget_is_spent_once_whatever_happens(served):
    served.set_faults({"http_500": 1.0})
    said, result = run("raw_videos", budget=50)
    assert (said, restarts(result)) == ([], [])
    assert metadata(result)["collection"].value.startswith("partial")


def test_a_quota_that_is_spent_is_no_failure_and_nothing_is_tried_again(state, monkeypatch):
    with SimulatorServer(SMALL, behaviour=Behaviour(**{**PLENTY, "quota_default": 8})) as server:
        monkeypatch.setenv("YOUTUBE_API_ENDPOINT", server.endpoint)
        said, result = run("raw_videos")
    assert (said, restarts(result)) == ([], [])
    assert metadata(result)["collection"].value.startswith("partial, resumes at 20")
    complete = check(result, "complete")
    assert (complete.passed, complete.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert result.success, "what came before the quota ended is enough to go on with"


def test_a_key_that_is_refused_fails_at_once_with_one_sentence(served, monkeypatch):
    monkeypatch.setenv("YOUTUBE_API_KEY", "invalid")
    said, result = run("raw_videos")
    assert (said, restarts(result)) == ([], [])
    assert "check YOUTUBE_API_KEY" in said_at_the_end(result)
    [failure] = result.get_step_failure_events()
    data = failure.step_failure_data
    assert data.error is not None and data.error.cause is None, "the sentence, and no page of what led to it"
    assert data.user_failure_data is not None
    assert "KeyRefusedError" in str(data.user_failure_data.metadata["traceback"].value)


def test_pictures_whose_host_is_busy_are_fetched_again(served):
    assert run("raw_videos")[1].success
    served.set_faults({"picture_500": 1.0})
    said, result = run("thumbnail_images", at_first_retry=lambda: served.set_faults({}))
    assert result.success
    assert len(restarts(result)) == len(said) == 1
    assert "their host did not answer well" in said[0]
    assert metadata(result)["coverage"].value == 1.0


def test_what_does_not_pass_after_all_ends_as_its_sentence(state):
    begun, said, result = failing(RetryableYouTubeError("backendError", "YouTube is busy: run again in a while."))
    assert (begun, len(said), len(restarts(result))) == (4, 3, 3)
    assert said[0].startswith("YouTube is busy: run again in a while. Attempt 1 of 4")
    assert said_at_the_end(result) == "YouTube is busy: run again in a while."


def test_a_defect_keeps_its_traceback_and_is_not_tried_again(state):
    begun, said, result = failing(TypeError("ours"))
    assert (begun, said, restarts(result)) == (1, [], [])
    [failure] = result.get_step_failure_events()
    assert failure.step_failure_data.user_failure_data is None
    error = failure.step_failure_data.error
    assert error is not None and error.cause is not None
    assert error.cause.cls_name == "TypeError"
    assert "in client" in error.cause.to_string()


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), DagsterExecutionInterruptedError()], ids=["ctrl-c", "terminate"])
def test_who_stops_a_step_has_stopped_it(state, stop):
    begun, _, result = failing(stop)
    assert (begun, restarts(result)) == (1, [])
    assert not result.success


def test_the_wait_for_the_next_attempt_hears_ctrl_c(state):
    hour = dg.RetryPolicy(max_retries=3, delay=3600)
    busy = RetryableYouTubeError("backendError", "YouTube is busy.")

    def press_ctrl_c():
        signal.setitimer(signal.ITIMER_REAL, 0.5)

    previous = signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    try:
        begun, said, result = failing(busy, retries=hour, at_first_retry=press_ctrl_c)
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert (begun, len(said), restarts(result)) == (1, 1, [])
    assert not result.success
