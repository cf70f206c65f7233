"""The gate as a table: what it lets through, and that every refusal says why."""

import re
from dataclasses import replace

import pytest
import yaml

from thumbrank_core.bootstrap import Interval
from thumbrank_core.evaluation.floors import FloorsError, load_gate
from thumbrank_core.evaluation.gate import Champion, DataCounts, GateInputs, SliceLead, Verdict, decide, staleness
from thumbrank_core.paths import config_file

FLOORS = load_gate()
LATER = "a" * 64
NAN = float("nan")
NO_LATER = "no pairs later than its training"


def around(value, by=0.01):
    return Interval(value, value - by, value + by)


GOOD = GateInputs(
    phase=1,
    test_set=LATER,
    n_channels=90,
    n_channels_later=80,
    n_pairs=5000,
    pair_accuracy_micro=around(0.63),
    pair_auc_pooled=around(0.68),
    spearman_within_channel=around(0.36),
    above_newer=around(0.08),
    above_ridge_later=around(0.02),
    above_linear={"ridge on title": around(0.05), "ridge on image": around(0.02), "ridge on both": around(0.01, 0.02)},
    ece=around(0.012, 0.004),
    memoriser=around(0.5),
    shuffled=around(0.498),
    ctr_correlations=(),
    owners_unmeasured=0,
    data=DataCounts(130_000, 700, 140_000, 0),
    unusable=None,
)
CHAMPION = Champion(3, (), LATER, around(0.02), (SliceLead("niche", "tech", 45, around(0.01)),))
OF_PHASE_2 = {"phase": 2, "pair_auc_pooled": around(0.74), "spearman_within_channel": around(0.52)}
"""What reaches the floors of phase 2, click-through rates aside."""

# name, figures that differ from GOOD, champion, what was not shown, words of the sentence about it
PASSES = [
    ("the first model", {}, None),
    ("better than the champion", {}, CHAMPION),
    ("not ahead of a ridge, and not behind either", {"above_linear": {"ridge on both": around(-0.01, 0.02)}}, None),
    ("figures that are the floors", {"pair_auc_pooled": around(0.65), "spearman_within_channel": around(0.3)}, None),
    ("as miscalibrated as allowed", {"ece": around(0.03)}, None),
    ("a first model needs no later pairs", {"n_channels_later": 0, "above_ridge_later": None}, None),
    ("fifty channels", {"n_channels": 50}, None),
    ("phase 1 with an owner above the floor", {"ctr_correlations": (0.41,)}, None),
    ("phase 2 with every owner above the floor", OF_PHASE_2 | {"ctr_correlations": (0.41, 0.6)}, None),
    (
        "controls a little off, as honest ones are once in twenty",
        {"memoriser": around(0.515), "shuffled": around(0.485)},
        None,
    ),
    ("less data than the guide asks for", {"data": DataCounts(100, 60, 900, 0)}, None),
    (
        "worse in a niche of twelve channels",
        {},
        replace(CHAMPION, slices=(SliceLead("niche", "news", 12, around(-0.09)),)),
    ),
    (
        "worse in a niche within its interval",
        {},
        replace(CHAMPION, slices=(SliceLead("niche", "news", 40, around(-0.03, 0.04)),)),
    ),
    (
        "worse in a niche by two points and no more",
        {},
        replace(CHAMPION, slices=(SliceLead("niche", "news", 40, around(-0.02)),)),
    ),
]
REFUSED = [
    (
        "equal to the champion",
        {},
        replace(CHAMPION, lead=around(0.0)),
        "beats the champion",
        r"version 3\) it is \+0\.000",
    ),
    ("worse", {}, replace(CHAMPION, lead=around(-0.03)), "beats the champion", r"-0\.030 \(-0\.040 to -0\.020\)"),
    ("better by chance", {}, replace(CHAMPION, lead=around(0.02, 0.03)), "beats the champion", "must lie above 0"),
    (
        "worse in one niche of thirty channels",
        {},
        replace(CHAMPION, slices=(SliceLead("niche", "news", 30, around(-0.03)),)),
        "no slice lost",
        r"lost over 2 points in niche \(news\) -0\.030 \(-0\.040 to -0\.020\), 30 channels",
    ),
    (
        "fewer niches",
        {},
        replace(CHAMPION, lost_niches=("beauty",)),
        "covers the champion's niches",
        "also covers beauty",
    ),
    (
        "another test set",
        {},
        replace(CHAMPION, test_set="b" * 64),
        "same test set",
        "run `thumbrank evaluate` or evaluation_report again",
    ),
    (
        "a champion that cannot score",
        {},
        replace(CHAMPION, lead=None),
        "beats the champion",
        "no vectors of its encoders",
    ),
    (
        "no later pairs",
        {"n_channels_later": 0, "above_ridge_later": None},
        replace(CHAMPION, lead=None),
        "beats the champion",
        NO_LATER,
    ),
    (
        "below ridge on the later pairs",
        {"above_ridge_later": around(-0.01)},
        CHAMPION,
        "beats ridge on both, later",
        "against ridge on both it is -0.010",
    ),
    (
        "no better than ridge on the later pairs",
        {"above_ridge_later": around(0.005)},
        CHAMPION,
        "beats ridge on both, later",
        "must lie above 0",
    ),
    ("uncalibrated", {"ece": around(0.031)}, None, "calibrated", r"ECE\) after the temperature is 0\.031 .* 0\.03 is"),
    ("a calibration that is not known", {"ece": None}, None, "calibrated", "could not be measured"),
    ("unloadable", {"unusable": "m is damaged."}, None, "loads in a clean process", "m is damaged"),
    ("too few channels", {"n_channels": 49}, None, "enough channels", "49 unseen channels are too few: below 50"),
    ("a coin", {"pair_accuracy_micro": around(0.505)}, None, "beats a coin", r"0\.495; 0\.5 is a coin"),
    ("the clock", {"above_newer": around(0.005)}, None, "beats the clock", "newer wins"),
    (
        "below a linear model",
        {"above_linear": {"ridge on both": around(-0.02)}},
        None,
        "not below ridge on both",
        "must not lie below 0",
    ),
    (
        "below the AUC of phase 1",
        {"pair_auc_pooled": around(0.649)},
        None,
        "reaches pair_auc_pooled",
        "phase 1 asks 0.65",
    ),
    (
        "below the correlation of phase 1",
        {"spearman_within_channel": around(0.29)},
        None,
        "reaches spearman_within_channel",
        "phase 1 asks 0.3",
    ),
    ("no correlation", {"spearman_within_channel": around(NAN)}, None, "reaches spearman_within_channel", "nan"),
    ("a memoriser that finds something", {"memoriser": around(0.53)}, None, "memoriser finds nothing", "leaks"),
    ("shuffled labels that teach", {"shuffled": around(0.53)}, None, "shuffled labels teach nothing", "measure is off"),
    (
        "shuffled labels below one half",
        {"shuffled": around(0.47)},
        None,
        "shuffled labels teach nothing",
        "measure is off",
    ),
    (
        "phase 2 without click-through rates",
        OF_PHASE_2,
        None,
        "reaches ctr_rank_correlation",
        "no data.* phase 2 asks 0.4",
    ),
    (
        "phase 3 with owners of too few videos",
        {"phase": 3, "pair_auc_pooled": around(0.76), "spearman_within_channel": around(0.62), "owners_unmeasured": 2},
        None,
        "reaches ctr_rank_correlation",
        "too few unseen videos.* phase 3 asks 0.4",
    ),
    (
        "few channels with later pairs",
        {"n_channels_later": 49},
        CHAMPION,
        "enough later channels",
        "49 unseen channels have later pairs; 50 are asked",
    ),
    (
        "phase 2 below its own AUC",
        OF_PHASE_2 | {"pair_auc_pooled": around(0.7), "ctr_correlations": (0.5,)},
        None,
        "reaches pair_auc_pooled",
        "phase 2 asks 0.72",
    ),
    (
        "phase 2 with one owner below the floor",
        OF_PHASE_2 | {"ctr_correlations": (0.5, 0.1234)},
        None,
        "reaches ctr_rank_correlation",
        "for every owner that it could be had of, and it does not",
    ),
    (
        "phase 1 with an owner below the floor",
        {"ctr_correlations": (0.1234,)},
        None,
        "reaches ctr_rank_correlation",
        "and it does not",
    ),
    (
        "phase 3 without click-through rates",
        {"phase": 3, "pair_auc_pooled": around(0.8), "spearman_within_channel": around(0.7)},
        None,
        "reaches ctr_rank_correlation",
        "phase 3 asks 0.4",
    ),
]


@pytest.mark.parametrize(("changes", "champion"), [row[1:] for row in PASSES], ids=[row[0] for row in PASSES])
def test_it_lets_through(changes, champion):
    verdict = decide(replace(GOOD, **changes), FLOORS, champion)
    assert verdict.status == "pass", verdict.refusals
    assert verdict.refusals == []
    assert verdict.sentence.startswith("Earned its deployment: 63.0% of 5,000 pairs")
    assert verdict.against == (champion.version if champion else None)


@pytest.mark.parametrize(
    ("changes", "champion", "condition", "says"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_it_refuses_and_says_why(changes, champion, condition, says):
    verdict = decide(replace(GOOD, **changes), FLOORS, champion)
    assert verdict.status == "refused"
    failed = [found for found in verdict.conditions if not found.passed]
    assert [found.name for found in failed] == (
        [condition] if says != NO_LATER else ["enough later channels", condition, "beats ridge on both, later"]
    )
    [found] = [found for found in failed if found.name == condition]
    assert re.search(says, found.says)
    assert verdict.sentence.startswith("Not deployed: ")
    assert verdict.sentence.endswith(failed[0].says)


@pytest.mark.parametrize(
    ("against", "champion", "says"),
    [
        (None, None, None),
        (3, 3, None),
        (3, 4, "the champion was version 3 and is version 4 now; run `thumbrank evaluate` or evaluation_report again"),
        (None, 4, "the champion was none and is version 4 now"),
        (3, None, "the champion was version 3 and is none now"),
    ],
)
def test_a_verdict_holds_for_the_champion_that_it_was_measured_against(against, champion, says):
    found = staleness(against, champion)
    assert found is None if says is None else says in found


def test_no_figure_of_an_owner_is_in_a_verdict():
    verdict = decide(replace(GOOD, ctr_correlations=(0.1234, 0.5678)), FLOORS, CHAMPION)
    for figure in ("0.12", "0.56", "1 of 2", "2 of 2"):
        assert figure not in verdict.to_json()


def test_without_click_through_rates_phase_1_says_that_there_is_no_data():
    [condition] = [c for c in decide(GOOD, FLOORS, None).conditions if c.name == "reaches ctr_rank_correlation"]
    assert condition.passed
    assert condition.says.startswith("no data on click-through rates: no owner's are there")
    assert (condition.value, condition.floor) == (None, 0.4)


@pytest.mark.parametrize(
    ("phase", "stages"), [(1, {"minimum", "phase 1"}), (2, {"recommended", "phase 2"}), (3, {"recommended", "phase 3"})]
)
def test_the_guide_s_data_stands_beside_what_there_is_and_refuses_nothing(phase, stages):
    minimums = decide(replace(GOOD, phase=phase), FLOORS, None).minimums
    assert {size.need.stage for size in minimums} == stages
    thumbnails = next(size for size in minimums if size.need.unit == "thumbnails")
    assert thumbnails.have == 130_000
    assert thumbnails.short == (0 if phase == 1 else 70_000)


@pytest.mark.parametrize("champion", [None, CHAMPION])
def test_a_verdict_is_read_back_as_it_was_written(champion):
    verdict = decide(GOOD, FLOORS, champion)
    assert Verdict.from_json(verdict.to_json()) == verdict
    assert "NaN" not in decide(replace(GOOD, spearman_within_channel=around(NAN)), FLOORS, champion).to_json()


def test_the_shipped_floors_are_the_guide_s():
    assert [(floors.pair_auc_pooled, floors.spearman_within_channel) for floors in FLOORS.phases.values()] == [
        (0.65, 0.3),
        (0.72, 0.5),
        (0.75, 0.6),
    ]
    assert {floors.ctr_rank_correlation for floors in FLOORS.phases.values()} == {0.4}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda gate: gate.update(ece=2), "gate.yaml: ece is wrong"),
        (lambda gate: gate.update(eec=0.1), "gate.yaml: eec is wrong"),
        (lambda gate: gate["phases"].pop(2), "phases has no 2"),
        (lambda gate: gate["phases"].update({4: gate["phases"][1]}), r"phases\.4 is wrong"),
        (lambda gate: gate["phases"][1].update(pair_auc_pooled=0.4), r"phases\.1\.pair_auc_pooled is wrong"),
    ],
)
def test_a_wrong_gate_file_is_one_sentence(tmp_path, change, says):
    gate = yaml.safe_load(config_file("gate.yaml").read_text())
    change(gate)
    path = tmp_path / "gate.yaml"
    path.write_text(yaml.safe_dump(gate))
    with pytest.raises(FloorsError, match=says) as caught:
        load_gate(path)
    assert "\n" not in str(caught.value)


def test_a_gate_file_that_is_no_yaml_is_one_sentence(tmp_path):
    (tmp_path / "gate.yaml").write_text("phases: [")
    with pytest.raises(FloorsError, match=r"gate\.yaml is not YAML"):
        load_gate(tmp_path / "gate.yaml")
