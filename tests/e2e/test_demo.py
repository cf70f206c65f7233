"""`thumbrank demo` on a small world, as a newcomer runs it: interrupted once, and continued."""

import json
import signal

import pytest

from tests.e2e.processes import left_behind, new_home, run, send_when_said, start

SMALL = ("demo", "--seed", 1, "--channels", 14, "--videos", 14)


@pytest.fixture(scope="module")
def demo():
    """The first run is interrupted with Ctrl-C while it works on its second niche; the second continues and finishes."""
    with new_home() as home:
        interrupted = start(home, *SMALL)
        said = send_when_said(interrupted, "[2/6] gaming", signal.SIGINT)
        after_interrupt = (interrupted.returncode, said, left_behind(home))
        first = run(home, *SMALL)
        summary = json.loads((home / "demo" / "summary.json").read_text()) if first.returncode == 0 else {}
        yield {"home": home, "after_interrupt": after_interrupt, "first": first, "summary": summary}


def test_ctrl_c_ends_with_one_sentence_and_leaves_no_process(demo):
    status, said, left = demo["after_interrupt"]
    assert status in (130, -signal.SIGINT), "as a shell says both"
    assert "Interrupted" in said
    assert "Traceback" not in said
    assert left == []


def test_the_next_run_continues_and_ends_well(demo):
    assert demo["first"].returncode == 0, demo["first"].stderr[-3000:]
    assert left_behind(demo["home"]) == []
    for text in ("ridge on both", "newer wins", "ceiling", "simulated, not YouTube", "Report:", "make dev"):
        assert text in demo["first"].stdout


def test_the_summary_holds_what_it_promises(demo):
    promised = {
        "pair_accuracy",
        "ci_low",
        "ci_high",
        "pair_auc",
        "ceiling",
        "references",
        "n_pairs",
        "n_test_channels",
        "seconds",
    }
    assert promised | {"peak_pss_mb", "encoders"} <= set(demo["summary"])
    assert demo["summary"]["ci_low"] < demo["summary"]["pair_accuracy"] < demo["summary"]["ci_high"]
    assert demo["summary"]["encoders"] == "tiny"
    assert 200 < demo["summary"]["peak_pss_mb"] < 3072


def test_the_model_learns_from_the_pictures_of_even_a_small_world(demo):
    summary, references = demo["summary"], demo["summary"]["references"]
    assert summary["pair_accuracy"] > 0.5 + 0.5 * (summary["ceiling"] - 0.5)
    for name in ("coin", "newer wins", "title length", "ridge on title"):
        assert summary["pair_accuracy"] > references[name]


def test_a_world_too_small_to_decide_on_is_not_deployed(demo):
    assert demo["summary"]["n_test_channels"] < 50
    assert demo["summary"]["verdict"] == "refused"
    assert demo["summary"]["champion_version"] == "none"


@pytest.mark.slow
def test_a_run_that_was_killed_is_continued_and_its_pool_slots_are_given_back():
    """With the whole process group gone at once nobody could tidy up: the next run has to."""
    with new_home() as home:
        killed = start(home, "demo", "--seed", 2, "--channels", 4, "--videos", 12)
        send_when_said(killed, "[2/6] gaming", signal.SIGKILL)
        assert left_behind(home) == [], "Postgres and the simulator end with their parent, also by kill -9"
        again = start(home, "demo", "--seed", 2, "--channels", 4, "--videos", 12)
        # Then every niche was collected, so that no slot was held.
        said = send_when_said(again, "training, evaluating, deploying", signal.SIGINT)
        assert left_behind(home) == []
    assert "Traceback" not in said
