"""The gate: what it lets through, and that every refusal says why."""

from dataclasses import fields

import numpy as np
import pytest

from thumbrank_core.bootstrap import Interval
from thumbrank_core.evaluation.evaluate import AllPairs, Evaluation, Scored, Slice
from thumbrank_core.evaluation.gate import Champion, decide
from thumbrank_core.evaluation.leak_alarm import LeakAlarm
from thumbrank_core.training.dataset import Pairs

NONE = Interval(0.0, 0.0, 0.0)


def scored(name, accuracy, gap):
    return Scored(name, name != "model", {"pair_accuracy_micro": accuracy}, gap)


def evaluation(low=0.62, n_channels=90, newer=(-0.09, -0.04), linear=(-0.03, 0.01)):
    scorers = {
        "model": scored("model", Interval(0.66, low, 0.68), NONE),
        "newer wins": scored("newer wins", Interval(0.55, 0.54, 0.56), Interval(-0.06, *newer)),
    }
    for name in ("ridge on title", "ridge on image", "ridge on both"):
        scorers[name] = scored(name, Interval(0.6, 0.59, 0.61), Interval(-0.01, *linear))
    empty = np.empty(0)
    pairs = Pairs(*[empty] * len(fields(Pairs)))
    everywhere, leak = AllPairs(1, 1, NONE, 0), LeakAlarm(NONE, 1, NONE, 1)
    return Evaluation("age_adjusted", everywhere, Slice("all", 5000, n_channels, scorers), {}, {}, pairs, leak)


def test_a_model_above_everything_passes():
    assert decide(evaluation()).status == "pass"


@pytest.mark.parametrize(
    ("change", "condition"),
    [
        ({"n_channels": 35}, "enough channels"),
        ({"low": 0.49}, "beats a coin"),
        ({"newer": (-0.05, 0.01)}, "beats the clock"),
        ({"linear": (0.001, 0.02)}, "not below ridge on both"),
    ],
)
def test_each_missing_proof_refuses_and_says_so(change, condition):
    verdict = decide(evaluation(**change))
    assert verdict.status == "refused"
    assert condition in [found.name for found in verdict.conditions if not found.passed]
    assert verdict.refusals
    assert verdict.sentence.startswith("Not deployed")


@pytest.mark.parametrize(
    ("champion", "status"),
    [
        (Champion(1, (), Interval(0.02, 0.01, 0.03)), "pass"),
        (Champion(1, (), Interval(0.02, -0.01, 0.03)), "refused"),
        (Champion(1, (), None), "refused"),
        (Champion(1, ("tech",), Interval(0.02, 0.01, 0.03)), "refused"),
    ],
)
def test_a_champion_is_replaced_only_by_a_proven_better_model_of_no_fewer_niches(champion, status):
    assert decide(evaluation(), champion).status == status
