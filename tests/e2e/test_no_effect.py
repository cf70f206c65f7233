"""Nothing is found where there is nothing. A file of its own, so that it runs beside the default world's."""

import json

import numpy as np
import pytest

from tests.e2e.processes import new_home, run


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_without_an_effect_five_worlds_average_to_a_coin():
    accuracies = []
    for seed in range(1, 6):
        with new_home() as home:
            done = run(home, "demo", "--effect", 0, "--seed", seed, "--channels", 24, "--videos", 14, timeout=600)
            assert done.returncode == 0, done.stderr[-3000:]
            found = json.loads((home / "demo" / "summary.json").read_text())
            accuracies.append(found["pair_accuracy"])
            assert found["verdict"] == "refused"
    assert abs(np.mean(accuracies) - 0.5) < 0.03, accuracies
