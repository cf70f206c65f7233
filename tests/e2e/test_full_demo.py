"""What is promised of the default world, in full."""

import json
import signal
import time

import httpx
import pytest

from tests.e2e.processes import left_behind, new_home, run, start
from tests.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def home():
    with new_home() as found:
        yield found


@pytest.fixture(scope="module")
def summary(home):
    done = run(home, "demo", timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    assert left_behind(home) == []
    return json.loads((home / "demo" / "summary.json").read_text())


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


def test_dev_opens_the_ui_on_the_same_state_and_one_ctrl_c_ends_it(home, summary):
    port = free_port()
    child = start(home, "dev", "--demo", "--port", port, "--mlflow-port", free_port())
    query = '{"query": "{ assetNodes { assetKey { path } assetMaterializations(limit: 1) { runId } } }"}'
    try:
        deadline = time.monotonic() + 240
        nodes = []
        while time.monotonic() < deadline and not nodes:
            try:
                answer = httpx.post(
                    f"http://127.0.0.1:{port}/graphql",
                    content=query,
                    headers={"content-type": "application/json"},
                    timeout=10,
                )
                nodes = answer.json().get("data", {}).get("assetNodes", [])
            except httpx.HTTPError:
                time.sleep(0.5)
        materialised = {node["assetKey"]["path"][0]: bool(node["assetMaterializations"]) for node in nodes}
        left_alone = {
            "retention",  # a demo makes and removes nothing
            "owner_reach",  # its channels have no owner's consent
            "monthly_digest",  # and no month
            "dagster_runs",  # nothing makes it: checks hang on it
        }
        assert {name for name, made in materialised.items() if not made} == left_alone
        assert len(materialised) - len(left_alone) == 8, sorted(materialised)
        taken = run(home, "dev", "--demo", "--port", port, timeout=60)
        assert taken.returncode == 1
        assert f"Port {port} is taken" in taken.stderr
    finally:
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=60)
    assert left_behind(home) == []
