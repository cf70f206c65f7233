"""Whether a month is trained: every state of its niches, its key and the other triggers, without a clock and without a database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from thumbrank_core.automation.calendar import Automation, Month
from thumbrank_core.automation.decisions import DecisionInputs, NicheNow, beside, monthly, without
from thumbrank_core.automation.months import TrainingMonth

BEGAN = datetime(2026, 7, 1, 10, tzinfo=UTC)
RULES = Automation.model_validate(
    {
        "month": {"day": 1, "hour": 3, "timezone": "America/Los_Angeles"},
        "training": {"wait_for": "all", "fresh_at_least": 2, "patience_days": 7},
        "champion_oldest_days": 31,
    }
)
SETTLED = RULES.model_copy(update={"training": RULES.training.model_copy(update={"wait_for": "settled"})})
NAMES = ("tech", "gaming", "news")


def inputs(states="fresh fresh fresh", *, hours=2.0, row=None, underway=False, trained_at=None):
    words: list[Any] = states.split()
    niches = tuple(
        NicheNow(name, state, BEGAN + timedelta(hours=1) if state == "fresh" else None)
        for name, state in zip(NAMES, words, strict=True)
    )
    return DecisionInputs(BEGAN + timedelta(hours=hours), Month("2026-07", BEGAN), niches, row, underway, trained_at)


def row(state, *, hours=1.5, why="tech: leaks"):
    ended = None if state == "requested" else BEGAN + timedelta(hours=hours)
    return TrainingMonth("2026-07", 1, "monthly", "because", NAMES, BEGAN, state, ended, why)


DAYS_8 = 8 * 24.0


@pytest.mark.parametrize(
    ("facts", "rules", "action"),
    [
        (inputs(), RULES, "train"),
        (inputs("fresh fresh running"), RULES, "wait"),
        (inputs("fresh fresh partial"), RULES, "wait"),
        (inputs("fresh fresh failed"), RULES, "wait"),
        (inputs("fresh fresh waiting"), RULES, "wait"),
        (inputs("fresh fresh failed", hours=DAYS_8), RULES, "wait"),
        (inputs("fresh fresh failed"), SETTLED, "train"),
        (inputs("fresh fresh waiting"), SETTLED, "wait"),
        (inputs("fresh fresh partial"), SETTLED, "wait"),
        (inputs("fresh fresh running"), SETTLED, "wait"),
        (inputs("fresh fresh waiting", hours=DAYS_8), SETTLED, "train"),
        (inputs("fresh fresh partial", hours=DAYS_8), SETTLED, "train"),
        (inputs("fresh fresh running", hours=DAYS_8), SETTLED, "wait"),
        (inputs("fresh failed failed"), SETTLED, "skip"),
        (inputs("waiting waiting waiting", hours=DAYS_8), SETTLED, "skip"),
        (inputs("fresh failed failed", row=row("skipped")), SETTLED, "skip"),
        (inputs("fresh fresh failed", row=row("skipped")), SETTLED, "train"),
        (inputs(underway=True), RULES, "wait"),
        (inputs(row=row("requested")), RULES, "wait"),
        (inputs(row=row("trained")), RULES, "wait"),
        (inputs(row=row("failed")), RULES, "wait"),
        (inputs(row=row("failed", hours=0.5)), RULES, "train"),
        (inputs(row=row("failed"), trained_at=BEGAN + timedelta(hours=1.8)), RULES, "by_hand"),
        (inputs(row=row("failed"), trained_at=BEGAN + timedelta(hours=0.5)), RULES, "wait"),
        (inputs(trained_at=BEGAN + timedelta(hours=1.5)), RULES, "by_hand"),
        (inputs(trained_at=BEGAN + timedelta(hours=0.5)), RULES, "train"),
    ],
)
def test_the_month_s_own_training(facts, rules, action):
    decision = monthly(facts, rules)
    assert decision.action == action, decision.says
    assert decision.says.endswith(".")


@pytest.mark.parametrize(
    ("facts", "action"),
    [
        (inputs(hours=DAYS_8), "train"),
        (inputs("fresh fresh failed", hours=DAYS_8), "train"),
        (inputs("fresh fresh waiting", hours=DAYS_8), "train"),
        (inputs("waiting waiting waiting", hours=DAYS_8), "wait"),
        (inputs("failed failed failed", hours=DAYS_8), "wait"),
        (inputs("fresh failed waiting", hours=DAYS_8), "wait"),
        (inputs(hours=24), "wait"),
        (inputs("fresh running fresh", hours=DAYS_8), "wait"),
        (inputs("fresh partial fresh", hours=DAYS_8), "wait"),
        (inputs(hours=DAYS_8, row=row("trained")), "wait"),
        (inputs(hours=DAYS_8, row=row("requested")), "wait"),
        (inputs(hours=DAYS_8, row=row("failed")), "wait"),
        (inputs(hours=DAYS_8, row=row("skipped")), "train"),
        (inputs(hours=DAYS_8, underway=True), "wait"),
    ],
)
def test_a_training_for_another_reason(facts, action):
    decision = beside(facts, RULES, "New rates came.")
    assert decision.action == action, decision.says


def test_what_is_waited_for_is_named_with_its_state_and_why():
    facts = inputs("fresh partial failed")
    facts = replace(facts, niches=(*facts.niches[:1], replace(facts.niches[1], says="units"), *facts.niches[2:]))
    assert monthly(facts, RULES).says == "2026-07 waits for gaming partial (units), news failed."


def test_a_niche_that_would_stop_the_training_is_left_out_by_name_and_reason():
    decision = monthly(inputs("fresh fresh failed"), SETTLED)
    found = without(decision, {"news": "has no training pairs (collect or import it first)"})
    assert found.niches == ("tech", "gaming")
    assert found.says.endswith("Without news has no training pairs (collect or import it first).")
    assert without(decision, {}) == decision


def test_a_failed_niche_takes_part_with_what_it_has():
    assert monthly(inputs("fresh fresh failed"), SETTLED).niches == NAMES


def test_no_enabled_niche_is_said():
    assert monthly(replace(inputs(), niches=()), RULES).says == "No niche is enabled in config/niches.yaml."
