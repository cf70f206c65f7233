"""The digest's words: the outcome first, every figure with its n, nothing that was not given."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.unit.evaluations import around, verdict
from thumbrank_core.automation.digest_text import write
from thumbrank_core.automation.month_facts import DeploymentDecision, DriftFound, Figure, MonthFacts, NicheMonth
from thumbrank_core.automation.months import TrainingMonth
from thumbrank_core.evaluation.gate import Condition

NOW = datetime(2026, 11, 3, tzinfo=UTC)
TECH = NicheMonth(
    niche="tech",
    new_channels=12,
    new_videos=1340,
    lost_channels={"gone": 2},
    lost_videos={"private_or_deleted": 5, "unreadable": 1},
    lost_pictures={},
    pictures_changed=4,
    pairs=21071,
    channels=319,
    drift=DriftFound(True, 0.21, 1e-9, 0.08, 3100, 4200),
    waits="",
)
NEWS = NicheMonth(
    "news", 0, 0, {}, {}, {}, 0, None, 0, None, "its collection waits until 2026-11-04 08:00 UTC: units spent"
)
TRAINED = TrainingMonth(
    "2026-11", 1, "monthly", "6 of 6 niches were refreshed in 2026-11.", ("tech",), NOW, "trained", NOW
)
FIGURE = Figure("pair_accuracy_micro", (around(0.675), 6537, 97), (around(0.671), 6537, 97), same_pairs=True)
EMPTY = MonthFacts("2026-11", False, (NEWS,), {}, None, (), None, None, None, (), {})
FULL = MonthFacts(
    month="2026-11",
    simulated=False,
    niches=(TECH, NEWS),
    removed={"expire": (310, 4)},
    training=TRAINED,
    decisions=(DeploymentDecision("promoted", 5, 4, verdict().sentence),),
    serving=5,
    challenger=5,
    verdict=replace(verdict(), against=4),
    figures=(FIGURE,),
    units={"default": 12345, "search": 300},
)


def headline(facts):
    return write(facts).splitlines()[0]


def test_a_month_in_a_page():
    body = write(FULL)
    assert headline(FULL) == "Thumbrank 2026-11: version 5 serves now in place of version 4."
    assert (
        "- pair_accuracy_micro: 0.671 (0.653 to 0.689) -> 0.675 (0.657 to 0.693), 6,537 pairs of 97 unseen channels."
        in body
    )
    assert "- Verdict on version 5: Earned its deployment" in body
    assert (
        "- tech: 12 new channels, 1,340 new videos, 4 pictures changed, 2 channels lost (gone 2), "
        "6 videos lost (private or deleted 5, unreadable 1); 21,071 pairs in 319 channels." in body
    )
    assert "- news: nothing new, nothing lost; no pairs." in body
    assert (
        "- tech: pictures differ from the run before (KS 0.21, p 1e-09, mean shift 0.08; 3,100 pictures then, 4,200 now)."
        in body
    )
    assert "- 310 videos and 4 channels removed (too old)." in body
    assert "- default 12,345, search 300." in body
    assert "- news: its collection waits until 2026-11-04 08:00 UTC: units spent" in body
    assert body.count("Earned its deployment") == 1
    assert len(body) < 2500


def test_the_same_facts_give_the_same_text():
    assert write(FULL) == write(replace(FULL))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "nothing was trained; no model serves."),
        ({"serving": 4}, "nothing was trained; version 4 serves."),
        (
            {"serving": 4, "training": replace(TRAINED, state="requested", ended_at=None)},
            "the training is on its way; version 4 serves.",
        ),
        (
            {"serving": 4, "training": replace(TRAINED, state="failed", why="It broke.")},
            "the training failed; version 4 serves.",
        ),
        (
            {"serving": 4, "training": replace(TRAINED, state="skipped", why="Too few.")},
            "nothing was trained; version 4 serves.",
        ),
        ({"serving": 4, "training": TRAINED}, "the training changed nothing; version 4 serves."),
        (
            {"serving": 4, "decisions": (DeploymentDecision("refused", 5, 4, "No."),)},
            "version 4 still serves; version 5 was refused.",
        ),
        ({"decisions": (DeploymentDecision("refused", 1, None, "No."),)}, "no model serves; version 1 was refused."),
        ({"decisions": (DeploymentDecision("promoted", 1, None, "Yes."),)}, "version 1 serves now."),
        (
            {"decisions": (DeploymentDecision("forced", 5, 4, "we must"),)},
            "version 5 serves now by force in place of version 4.",
        ),
        (
            {
                "decisions": (
                    DeploymentDecision("promoted", 5, 4, "Yes."),
                    DeploymentDecision("rolled_back", 4, 5, "it is bad"),
                )
            },
            "version 4 serves now again, after a rollback in place of version 5.",
        ),
        (
            {"decisions": (DeploymentDecision("promoted", 5, 4, "Yes."), DeploymentDecision("refused", 6, 5, "No."))},
            "version 5 serves now in place of version 4.",
        ),
    ],
)
def test_the_first_line_says_the_outcome(changes, says):
    assert headline(replace(EMPTY, **changes)) == f"Thumbrank 2026-11: {says}"


def test_a_refusal_has_its_reasons_once_each():
    refused = verdict("refused")
    lead = Condition(
        "beats the champion", False, "against the champion (version 4) it is +0.002 (-0.010 to +0.014).", -0.01, 0
    )
    more = [Condition(f"number {i}", False, f"reason {i} of many.") for i in range(5)]
    whole = replace(refused, conditions=(*refused.conditions, lead, *more), against=4)
    body = write(
        replace(EMPTY, decisions=(DeploymentDecision("refused", 5, 4, refused.sentence),), verdict=whole, challenger=5)
    )
    assert body.count("newer wins") == 1
    assert body.count("+0.002 (-0.010 to +0.014)") == 1
    assert "reason 2 of many." in body and "reason 3 of many." not in body
    assert "And 2 more reasons" in body


def test_figures_of_two_test_sets_are_not_passed_off_as_a_measured_difference():
    other = replace(FIGURE, then=(around(0.651), 5000, 80), same_pairs=False)
    assert (
        "- pair_accuracy_micro: 0.651 (0.633 to 0.669), 5,000 pairs of 80 unseen channels -> 0.675 (0.657 to 0.693), "
        "6,537 pairs of 97 unseen channels (other pairs)." in write(replace(EMPTY, figures=(other,)))
    )
    first = replace(FIGURE, then=None)
    assert "- pair_accuracy_micro: 0.675 (0.657 to 0.693), 6,537 pairs of 97 unseen channels." in write(
        replace(EMPTY, figures=(first,))
    )


def test_what_is_not_known_is_not_said():
    body = write(EMPTY)
    assert "*Units spent*\n\n- None." in body
    assert "- Nothing was compared." in body
    assert "Model" not in body and "Retention" not in body
    assert "nan" not in body.lower()


def test_invented_data_are_called_so():
    assert headline(replace(EMPTY, simulated=True)).endswith("These are simulated data.")


def test_a_long_sentence_of_somebody_else_does_not_fill_the_page():
    failed = replace(TRAINED, state="failed", why="x" * 5000)
    assert len(write(replace(EMPTY, training=failed))) < 1500
