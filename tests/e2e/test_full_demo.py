"""What is promised of the default world, in full."""

import json

import pytest

from tests.e2e.processes import left_behind, new_home, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def summaries():
    """The default world, twice in the same folder."""
    with new_home() as home:
        found = []
        for _ in range(2):
            done = run(home, "demo", timeout=900)
            assert done.returncode == 0, done.stderr[-3000:]
            assert left_behind(home) == []
            found.append(json.loads((home / "demo" / "summary.json").read_text()))
        yield found


@pytest.fixture(scope="module")
def summary(summaries):
    return summaries[0]


def test_the_default_world_has_its_ceiling_and_enough_channels(summary):
    assert summary["n_test_channels"] >= 75
    assert summary["ceiling"] == pytest.approx(0.70, abs=0.02)


def test_the_model_beats_what_it_must_and_comes_near_the_ceiling(summary):
    for name in ("coin", "newer wins", "title length", "ridge on title"):
        assert summary["minus_model"][name]["ci_high"] < 0, name
    # At 14,000 training pairs the lead on these is a third of its interval: what can be asked of one world is not to be behind.
    for name in ("ridge on image", "ridge on both"):
        assert summary["minus_model"][name]["ci_low"] <= 0, name
    assert summary["pair_accuracy"] >= 0.5 + 0.8 * (summary["ceiling"] - 0.5)


def test_it_earns_its_deployment_and_stays_small(summary):
    assert summary["verdict"] == "pass"
    assert summary["champion_version"] == 1
    assert summary["peak_pss_mb"] < 3072


def test_running_again_trains_nothing_and_finds_the_same(summaries):
    first, again = summaries
    assert first["trained"]
    assert not again["trained"]
    for name in ("pair_accuracy", "ci_low", "ci_high", "pair_auc", "ceiling", "references", "n_pairs"):
        assert again[name] == first[name]
