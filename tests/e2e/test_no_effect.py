"""Nothing is found where there is nothing. A file of its own, so that it runs beside the default world's."""

import json
import subprocess
import sys

import numpy as np
import pytest

from tests.e2e.processes import environment, left_behind, new_home, run

SEEDS = range(1, 6)
DEMOS = f"""
import json
from thumbrank_core.settings import Settings
from thumbrank_core.simulator.world import WorldSettings
from thumbrank_dagster.demo import run_demo
settings = Settings.read()  # once: a demo points its process at its own state
for seed in {list(SEEDS)}:
    world = WorldSettings(seed=seed, effect=0.0, channels_per_niche=24, videos_per_channel=14)
    (settings.home / f"{{seed}}.json").write_text(json.dumps(run_demo(settings, world)))
"""
"""Five demos in one process, which imports everything once: a minute less than five commands."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def summaries():
    with new_home() as home:
        done = subprocess.run(
            [sys.executable, "-c", DEMOS], cwd=home, env=environment(home), capture_output=True, text=True, timeout=1400
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert left_behind(home) == []
        again = run(
            home, "demo", "--seed", SEEDS[0], "--effect", 0, "--channels", 24, "--videos", 14
        )  # another process
        assert again.returncode == 0, again.stderr[-3000:]
        found = [json.loads((home / f"{seed}.json").read_text()) for seed in SEEDS]
        return found, json.loads((home / "demo" / "summary.json").read_text())


def test_without_an_effect_five_worlds_average_to_a_coin(summaries):
    found, _ = summaries
    assert [one["verdict"] for one in found] == ["refused"] * len(SEEDS)
    accuracies = [one["pair_accuracy"] for one in found]
    assert abs(np.mean(accuracies) - 0.5) < 0.03, accuracies


def test_a_demo_again_trains_nothing_and_finds_the_same(summaries):
    (first, *_), again = summaries
    assert first["trained"]
    assert not again["trained"]
    for name in ("pair_accuracy", "ci_low", "ci_high", "pair_auc", "ceiling", "references", "n_pairs"):
        assert again[name] == first[name]
