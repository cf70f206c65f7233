"""The gate at its borders: a figure that lies on a limit, what stands beside it in the verdict, and the ranges of config/gate.yaml."""

import re
from dataclasses import replace

import pytest
import yaml

from tests.unit.test_gate import CHAMPION, FLOORS, GOOD, LATER, NAN, around
from thumbrank_core.bootstrap import Interval
from thumbrank_core.evaluation.floors import FloorsError, load_gate
from thumbrank_core.evaluation.gate import DataCounts, GateInputs, SliceLead, Verdict, decide
from thumbrank_core.labels.sizes import NEEDS, Size
from thumbrank_core.paths import config_file


def condition(verdict: Verdict, name: str):
    [found] = [found for found in verdict.conditions if found.name == name]
    return found


def lost(name: str, value: float, high: float, n_channels: int = 30) -> SliceLead:
    return SliceLead("niche", name, n_channels, Interval(value, value - 0.1, high))


@pytest.mark.parametrize(
    ("changes", "name", "passed"),
    [
        ({"pair_accuracy_micro": Interval(0.6, 0.5, 0.7)}, "beats a coin", False),
        ({"above_newer": Interval(0.1, 0.0, 0.2)}, "beats the clock", False),
        ({"above_linear": {"ridge on both": Interval(-0.1, -0.2, 0.0)}}, "not below ridge on both", True),
        ({"above_linear": {"ridge on both": Interval(-0.1, -0.2, -1e-9)}}, "not below ridge on both", False),
        ({"memoriser": Interval(0.53, 0.51, 0.55)}, "memoriser finds nothing", True),
        ({"memoriser": Interval(0.47, 0.45, 0.49)}, "memoriser finds nothing", True),
        ({"memoriser": Interval(0.53, 0.511, 0.55)}, "memoriser finds nothing", False),
        ({"shuffled": Interval(0.47, 0.45, 0.489)}, "shuffled labels teach nothing", False),
        ({"ctr_correlations": (0.4, 0.7)}, "reaches ctr_rank_correlation", True),
        ({"n_channels_later": 50}, "enough later channels", True),
        ({"above_ridge_later": Interval(0.1, 0.0, 0.2)}, "beats ridge on both, later", False),
    ],
)
def test_a_figure_on_the_limit_itself(changes, name, passed):
    assert condition(decide(replace(GOOD, **changes), FLOORS, CHAMPION), name).passed is passed


@pytest.mark.parametrize(
    ("lead", "passed"), [(Interval(0.02, 0.0, 0.04), False), (Interval(0.02, 1e-9, 0.04), True)], ids=["on 0", "above"]
)
def test_a_lead_over_the_champion_whose_interval_begins_at_0_is_none(lead, passed):
    assert condition(decide(GOOD, FLOORS, replace(CHAMPION, lead=lead)), "beats the champion").passed is passed


@pytest.mark.parametrize(
    ("part", "passed"),
    [
        (lost("news", -0.03, -1e-9), False),
        (lost("news", -0.03, 0.0), True),
        (lost("news", -0.02, -0.01), True),
        (lost("news", -0.015, -0.01), True),
        (lost("news", -0.03, -0.01, n_channels=29), True),
    ],
    ids=["lost", "an interval that ends at 0", "two points", "less than two points", "too few channels to say so"],
)
def test_a_slice_is_lost_by_more_than_the_loss_with_its_whole_interval_and_in_enough_channels(part, passed):
    assert condition(decide(GOOD, FLOORS, replace(CHAMPION, slices=(part,))), "no slice lost").passed is passed


def test_every_lost_slice_is_named_and_the_worst_is_the_figure():
    slices = (lost("news", -0.03, -0.01), lost("tech", -0.08, -0.02, 41), lost("beauty", 0.01, 0.02))
    found = condition(decide(GOOD, FLOORS, replace(CHAMPION, slices=slices)), "no slice lost")
    assert (found.value, found.floor) == (-0.08, -0.02)
    assert found.says == (
        "against the champion (version 3) it lost over 2 points in niche (news) -0.030 (-0.130 to -0.010), 30 channels; "
        "niche (tech) -0.080 (-0.180 to -0.020), 41 channels."
    )


def test_slices_that_are_looked_at_are_counted_where_none_is_lost():
    slices = (lost("tech", 0.01, 0.02, 30), lost("news", 0.01, 0.02, 31), lost("beauty", -0.2, -0.1, 29))
    found = condition(decide(GOOD, FLOORS, replace(CHAMPION, slices=slices)), "no slice lost")
    assert found.says == "none of 2 slices of 30 channels or more lost over 2 points beyond its interval."


def test_each_condition_has_the_figure_that_decides_beside_its_limit():
    figures: GateInputs = replace(GOOD, above_linear={"ridge on both": around(0.01, 0.02)})
    found = {one.name: (one.value, one.floor) for one in decide(figures, FLOORS, CHAMPION).conditions}
    assert found == {
        "enough channels": (90, 50),
        "beats a coin": (pytest.approx(0.62), 0.5),
        "beats the clock": (pytest.approx(0.07), 0.0),
        "not below ridge on both": (pytest.approx(0.03), 0.0),
        "reaches pair_auc_pooled": (0.68, 0.65),
        "reaches spearman_within_channel": (0.36, 0.3),
        "reaches ctr_rank_correlation": (None, 0.4),
        "calibrated": (0.012, 0.03),
        "memoriser finds nothing": (0.5, 0.5),
        "shuffled labels teach nothing": (0.498, 0.5),
        "loads in a clean process": (None, None),
        "same test set": (None, None),
        "enough later channels": (80, 50),
        "covers the champion's niches": (None, None),
        "beats the champion": (pytest.approx(0.01), 0.0),
        "beats ridge on both, later": (pytest.approx(0.01), 0.0),
        "no slice lost": (None, None),
    }


def test_what_could_not_be_had_has_no_figure_beside_its_limit():
    verdict = decide(replace(GOOD, ece=None, above_ridge_later=None), FLOORS, replace(CHAMPION, lead=None))
    missing = {one.name: (one.value, one.floor) for one in verdict.conditions if not one.passed}
    assert missing == {
        "calibrated": (None, 0.03),
        "beats the champion": (None, 0.0),
        "beats ridge on both, later": (None, 0.0),
    }


def test_a_verdict_says_with_its_interval_what_was_shown_and_beside_whom():
    alone, beside = decide(GOOD, FLOORS, None), decide(GOOD, FLOORS, CHAMPION)
    shown = "Earned its deployment: 63.0% of 5,000 pairs ranked right in 90 unseen channels (95 % interval 62.0% to 64.0%), above"
    assert alone.sentence == f"{shown} a coin and the clock, and not below any linear model."
    assert beside.sentence == (
        f"{shown} a coin and the clock, and not below any linear model, and better than the champion (version 3) on later pairs."
    )
    unknown = decide(replace(GOOD, pair_accuracy_micro=Interval(0.63, NAN, NAN)), FLOORS, None)
    assert "in 90 unseen channels (no interval of so few channels); " in unknown.sentence


def test_the_first_thing_that_was_not_shown_stands_in_the_sentence():
    verdict = decide(replace(GOOD, n_channels=10, ece=None), FLOORS, None)
    assert [found.name for found in verdict.conditions if not found.passed] == ["enough channels", "calibrated"]
    assert verdict.sentence.endswith(verdict.refusals[0])
    assert verdict.refusals[1] == "its calibration could not be measured."


@pytest.mark.parametrize(
    ("changes", "champion", "name", "says"),
    [
        ({}, replace(CHAMPION, lead=None, mute="it is gone"), "beats the champion", "is not comparable: it is gone"),
        ({"above_ridge_later": None}, CHAMPION, "beats ridge on both, later", "not comparable: it was not measured"),
        ({}, replace(CHAMPION, test_set="b", mute="it is gone"), "same test set", r"cannot be compared \(it is gone\)"),
        ({}, replace(CHAMPION, test_set="b"), "same test set", r"cannot be compared \(the pairs changed meanwhile\)"),
        ({}, CHAMPION, "same test set", r"the champion \(version 3\) was measured on the same later pairs\."),
        ({}, CHAMPION, "covers the champion's niches", r"learnt every niche of the champion \(version 3\)"),
        ({}, CHAMPION, "enough later channels", "80 unseen channels have later pairs; 50 are asked to decide on"),
        ({}, CHAMPION, "beats the champion", r"\+0\.020 \(\+0\.010 to \+0\.030\) on the later pairs of 80 channels"),
        ({"n_channels": 50}, None, "enough channels", "50 unseen channels are enough: 50 are asked"),
        ({}, None, "loads in a clean process", "it loads and scores alone"),
        ({}, None, "memoriser finds nothing", r"gets 0\.500 \(0\.490 to 0\.510\) on unseen channels.* take 0\.01\.$"),
        ({"ctr_correlations": (0.5,)}, None, "reaches ctr_rank_correlation", "had of, and it does"),
    ],
)
def test_a_condition_says_the_reason(changes, champion, name, says):
    assert re.search(says, condition(decide(replace(GOOD, **changes), FLOORS, champion), name).says)


def test_a_verdict_names_the_pairs_and_the_champion_that_it_holds_for():
    verdict = decide(GOOD, FLOORS, CHAMPION)
    assert (verdict.against, verdict.test_set) == (3, LATER)


def test_the_guide_s_minimums_stand_beside_what_the_model_was_made_from():
    figures = replace(GOOD, phase=2, data=DataCounts(1, 2, 3, 4))
    assert [(size.need.stage, size.need.unit, size.have) for size in decide(figures, FLOORS, None).minimums] == [
        ("recommended", "thumbnails", 1),
        ("recommended", "channels", 2),
        ("recommended", "pairs", 3),
        ("recommended", "videos with real CTR", 4),
        ("phase 2", "pairs", 3),
        ("phase 2", "videos with real CTR", 4),
    ]


def test_a_need_that_is_just_met_lacks_nothing():
    need = next(need for need in NEEDS if (need.stage, need.unit) == ("minimum", "channels"))
    assert (Size(need, 500).short, str(Size(need, 500))) == (0, "minimum: 500 of 500 channels")
    assert Size(need, 499).short == 1
    assert str(Size(need, 499)).startswith("minimum: 499 of 500 channels, 1 short (")
    assert Size(need, 800).short == 0


@pytest.mark.parametrize(
    ("field", "allowed", "wrong"),
    [
        ("channels", (2,), (1,)),
        ("slice_channels", (2,), (1,)),
        ("ece", (1e-6, 0.5), (0, 0.51)),
        ("slice_loss", (0, 0.49), (-0.01, 0.5)),
        ("phases.1.pair_auc_pooled", (0.5, 1), (0.49, 1.01)),
        ("phases.1.spearman_within_channel", (0, 1), (-0.01, 1.01)),
        ("phases.1.ctr_rank_correlation", (0, 1), (-0.01, 1.01)),
    ],
)
def test_a_floor_is_within_its_range_or_is_named(tmp_path, field, allowed, wrong):
    path = tmp_path / "gate.yaml"

    def load(value: float):
        gate = yaml.safe_load(config_file("gate.yaml").read_text())
        *_, name = field.split(".")
        (gate["phases"][1] if "." in field else gate)[name] = value
        path.write_text(yaml.safe_dump(gate))
        return load_gate(path)

    for value in allowed:
        floors = load(value)
        asked = floors.of(1) if "." in field else floors
        assert getattr(asked, field.rpartition(".")[2]) == value
    for value in wrong:
        with pytest.raises(FloorsError, match=rf"gate\.yaml: {re.escape(field)} is wrong"):
            load(value)
