"""Whether a month is trained now. Pure functions: what is known goes in, what is to be done comes out, with its sentence.

What belongs here: the rules, each with the failure that it was made for. Where the facts come from is the orchestrator's
(thumbrank_dagster/automation.py) and stored_facts.py; the key that all triggers share is months.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from thumbrank_core.automation.calendar import Automation, Month
from thumbrank_core.automation.months import TrainingMonth

NicheState = Literal["fresh", "running", "partial", "failed", "waiting"]


@dataclass(frozen=True)
class NicheNow:
    """Where a niche stands in this month.

    `state`: fresh: collected and embedded since the month began; running: a run of it is on its way; partial: its collection
    waits for units or was left unfinished; failed: its last run failed and is not tried again by itself; waiting: nothing was asked of it
    yet. `refreshed_at`: of a fresh one. `says`: more, for people.
    """

    niche: str
    state: NicheState
    refreshed_at: datetime | None = None
    says: str = ""

    def __str__(self) -> str:
        return f"{self.niche} {self.state}" + (f" ({self.says})" if self.says else "")


@dataclass(frozen=True)
class DecisionInputs:
    """Everything that a decision looks at.

    `niches`: the enabled ones. `row`: what is written of the month. `underway`: somebody's training is running or asked for.
    `trained_at`: when the last run began that trained on all of them (or on the row's), evaluated and came to a decision about the
    deployment, by whomever; what it read was there by then.
    """

    now: datetime
    month: Month
    niches: tuple[NicheNow, ...]
    row: TrainingMonth | None
    underway: bool
    trained_at: datetime | None


@dataclass(frozen=True)
class Decision:
    """`train`: take the key and train `niches`. `by_hand`: take the key, a person has trained. `skip`: write down that the month
    is not trained as things stand. `wait`: nothing."""

    action: Literal["train", "by_hand", "skip", "wait"]
    says: str
    niches: tuple[str, ...] = ()


def monthly(inputs: DecisionInputs, rules: Automation) -> Decision:
    """The month's own training: once, when every niche was refreshed, or has settled where the rules say so.

    Not `AutomationCondition.on_cron`: it fires after the first niche. Not a partitioned job with the model in it: it would train
    once a niche.
    """
    closed = _closed(inputs)
    if closed is not None:
        return closed
    fresh = [niche for niche in inputs.niches if niche.state == "fresh"]
    others = [niche for niche in inputs.niches if niche.state != "fresh"]
    if not inputs.niches:
        return Decision("wait", "No niche is enabled in config/niches.yaml.")
    if others and rules.training.wait_for == "all":
        return Decision("wait", f"{inputs.month.key} waits for {_listed(others)}.")
    if others:
        over = inputs.now >= inputs.month.patience_ends(rules)
        unsettled = [niche for niche in others if niche.state != "failed" and not over]
        if unsettled:
            return Decision("wait", f"{inputs.month.key} waits for {_listed(unsettled)}.")
        # A run that is on its way writes the very rows that a training would read: its end is waited for, however long.
        running = [niche for niche in others if niche.state == "running"]
        if running:
            return Decision("wait", f"{inputs.month.key} waits for the end of {_listed(running)}.")
    if others and len(fresh) < rules.training.fresh_at_least:
        return Decision(
            "skip",
            f"{inputs.month.key} is not trained: {len(fresh)} of {len(inputs.niches)} niches were refreshed, and "
            f"{rules.training.fresh_at_least} are asked for ({_listed(others)}): mend and refresh them, and it is trained then.",
        )
    return _train(inputs, f"{len(fresh)} of {len(inputs.niches)} niches were refreshed in {inputs.month.key}.")


def beside(inputs: DecisionInputs, rules: Automation, reason: str) -> Decision:
    """A training for another reason: new click-through rates, an old champion, drift.

    For the first days of a month the month's own training comes first: whatever is new is part of it. Without this, rates that
    arrive on the 1st would take the key, and the refreshed niches would wait for a month. And never before niches were
    refreshed: with nothing new to learn from, an old champion would close the month, and the niches that somebody mends on the
    next day would wait for the month after.
    """
    closed = _closed(inputs)
    if closed is not None:
        return closed
    until = inputs.month.patience_ends(rules)
    if inputs.now < until:
        return Decision(
            "wait",
            f"The month's own training comes first until {until:%Y-%m-%d %H:%M} UTC, and takes this in: {reason}",
        )
    moving = [niche for niche in inputs.niches if niche.state in ("running", "partial")]
    if moving:
        return Decision("wait", f"{_listed(moving)}: waits for it. {reason}")
    fresh = sum(niche.state == "fresh" for niche in inputs.niches)
    if fresh < rules.training.fresh_at_least:
        return Decision(
            "wait",
            f"{fresh} of {len(inputs.niches)} niches were refreshed in {inputs.month.key}, and "
            f"{rules.training.fresh_at_least} are asked for. {reason}",
        )
    return _train(inputs, reason)


def without(decision: Decision, unfit: Mapping[str, str]) -> Decision:
    """The training without niches that would stop it. `unfit`: niche -> why, of those that were not refreshed in the month: a niche
    that was passed its own checks, and one that was not must not cost the others theirs."""
    kept = tuple(niche for niche in decision.niches if niche not in unfit)
    if len(kept) == len(decision.niches):
        return decision
    left = ", ".join(f"{niche} {why}" for niche, why in unfit.items() if niche in decision.niches)
    return Decision("train", f"{decision.says} Without {left}.", kept)


def _closed(inputs: DecisionInputs) -> Decision | None:
    """Why nobody may train now, for every trigger alike; None: the key is free."""
    row, key = inputs.row, inputs.month.key
    if inputs.underway:
        return Decision("wait", "A training is on its way; another one waits for its end.")
    if row is None or row.state == "skipped":
        return None
    if row.state == "requested":
        return Decision("wait", f"{key} is being trained (asked for by {row.trigger}, attempt {row.attempt}).")
    if row.state == "trained":
        return Decision("wait", f"{key} was trained ({row.trigger}).")
    ended = row.ended_at
    if ended is not None and inputs.trained_at is not None and inputs.trained_at > ended:
        return Decision("by_hand", f"A model was trained by hand after the training of {key} failed.", row.niches)
    if any(ended is not None and n.refreshed_at is not None and n.refreshed_at > ended for n in inputs.niches):
        return None
    return Decision(
        "wait",
        f"The training of {key} failed: {row.why} Once a niche was refreshed again, it is tried again; or train by hand.",
    )


def _train(inputs: DecisionInputs, reason: str) -> Decision:
    niches = tuple(niche.niche for niche in inputs.niches)
    refreshed = [niche.refreshed_at for niche in inputs.niches if niche.refreshed_at is not None]
    if inputs.trained_at is not None and refreshed and inputs.trained_at >= max(refreshed):
        return Decision("by_hand", f"A model was trained on the niches of {inputs.month.key} already.", niches)
    return Decision("train", reason, niches)


def _listed(niches: Sequence[NicheNow]) -> str:
    return ", ".join(map(str, niches))
