"""Sensors: what happens when something else has. Thin: facts, a decision of thumbrank_core/automation, a request.

A training is asked for in two steps. First the month's key is taken in Postgres, then a run is requested under a run key made of
it. Whoever is killed between the two finds the key at its next tick and requests the same run again; Dagster starts it once.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from thumbrank_core.automation.calendar import Automation, month_of
from thumbrank_core.niches import enabled_niches
from thumbrank_dagster.automation import (
    ATTEMPT_TAG,
    MONTH_TAG,
    Deployment,
    config_of,
    decided,
    decision_inputs,
    is_on_its_way,
    newest_runs,
    sensor_status,
)
from thumbrank_dagster.automation_keys import attempt_key
from thumbrank_dagster.defs.operations.alerts import why as why_failed
from thumbrank_dagster.defs.operations.jobs import (
    NICHE_ASSETS,
    apply_retention,
    evaluate_again,
    refresh_niche,
    train_and_deploy,
)
from thumbrank_dagster.resources.clock import ClockResource
from thumbrank_dagster.resources.state import StateResource

if TYPE_CHECKING:
    import psycopg

    from thumbrank_core.automation.decisions import Decision, DecisionInputs
    from thumbrank_core.automation.months import TrainingMonth, Trigger

Decide = Callable[["psycopg.Connection", "DecisionInputs", Automation], "Decision"]

EVERY_MINUTE, EVERY_FIVE_MINUTES, EVERY_HOUR = 60, 300, 3600
LONGEST_RUN = timedelta(days=2)
"""Run monitoring ends what takes longer (instance_file.py)."""


@dataclass
class Asked:
    """What a tick asks for, and what it says where it asks for nothing. A tick may say one thing only."""

    runs: list[dg.RunRequest] = field(default_factory=list)
    says: list[str] = field(default_factory=list)

    def result(self) -> dg.SensorResult:
        """For Dagster."""
        if self.runs:
            return dg.SensorResult(run_requests=self.runs)
        return dg.SensorResult(skip_reason=" ".join(self.says))


def sensors(deployment: Deployment, rules: Automation) -> list[dg.SensorDefinition]:
    """All that ask for runs."""
    return [
        continue_collections(deployment),
        *training_sensors(deployment, rules),
        evaluate_on_ab_outcomes(deployment),
        retention_due(deployment),
    ]


def training_sensors(deployment: Deployment, rules: Automation) -> list[dg.SensorDefinition]:
    """The three that train: (1) the month's own, (2) for new real click-through rates, (3) for an old champion or drift."""

    def sensor_of(name: str, every: int, description: str, triggers: "dict[Trigger, Decide]") -> dg.SensorDefinition:
        @dg.sensor(
            name=name,
            job=train_and_deploy,
            minimum_interval_seconds=every,
            default_status=sensor_status(name, deployment),
            description=description,
        )
        def sensor(context: dg.SensorEvaluationContext, state: StateResource, clock: ClockResource) -> dg.SensorResult:
            asked = Asked()
            for trigger, decide in triggers.items():
                _train(asked, context, state, clock, rules, trigger, decide)
            return asked.result()

        return sensor

    return [
        sensor_of(
            "train_when_refreshed",
            EVERY_MINUTE,
            "Trains once a month, when every enabled niche was refreshed since it began (wait_for: all), or has settled with enough of "
            "them refreshed (wait_for: settled, config/automation.yaml).",
            {"monthly": _monthly},
        ),
        sensor_of(
            "train_on_owner_rates",
            EVERY_FIVE_MINUTES,
            "Trains when owners' click-through rates came since the last training, unless the month was trained already: then the next "
            "month takes them in.",
            {"owner_rates": _on_owner_rates},
        ),
        sensor_of(
            "train_when_old",
            EVERY_HOUR,
            "Trains when the champion is older than config/automation.yaml allows, or a niche's pictures drifted since the last "
            "training, unless the month was trained already.",
            {"champion_age": _on_age, "drift": _on_drift},
        ),
    ]


def evaluate_on_ab_outcomes(deployment: Deployment) -> dg.SensorDefinition:
    """(2) New A/B outcomes: they are for evaluation only, so nothing is trained."""

    @dg.sensor(
        name="evaluate_on_ab_outcomes",
        job=evaluate_again,
        minimum_interval_seconds=EVERY_FIVE_MINUTES,
        default_status=sensor_status("evaluate_on_ab_outcomes", deployment),
        description="Evaluates the newest model again when A/B outcomes were imported since its evaluation. Trains nothing.",
    )
    def sensor(context: dg.SensorEvaluationContext, state: StateResource, clock: ClockResource) -> dg.SensorResult:
        from thumbrank_core.automation.news import ab_news

        with in_a_tick(state) as connection:
            news = ab_news(connection)
        asked = Asked()
        if news is None or news.since is None:
            asked.says.append("No A/B outcome was imported since the last evaluation, or nothing was evaluated yet.")
            return asked.result()
        key = attempt_key(context.instance, f"ab:{news.newest.isoformat()}", now=clock.now())
        asked.runs += [dg.RunRequest(run_key=key)] if key else []
        asked.says.append("The evaluation was asked for.")
        return asked.result()

    return sensor


def continue_collections(deployment: Deployment) -> dg.SensorDefinition:
    """A collection that stopped for want of units is continued when they are back. Nobody's failure, and nobody's retry."""

    @dg.sensor(
        name="continue_collections",
        job=refresh_niche,
        minimum_interval_seconds=EVERY_FIVE_MINUTES,
        default_status=sensor_status("continue_collections", deployment),
        description="Refreshes a niche again, the next day, whose run ended well with a partial collection, such as for want of units.",
    )
    def sensor(context: dg.SensorEvaluationContext, state: StateResource, clock: ClockResource) -> dg.SensorResult:
        from thumbrank_core.automation.stored_facts import paused_collections

        now, asked = clock.now(), Asked()
        with in_a_tick(state) as connection:
            paused = paused_collections(connection, enabled_niches())
        since = min((found.at for found in paused.values()), default=now) - LONGEST_RUN
        runs = newest_runs(context.instance, list(paused), since)
        for niche, found in paused.items():
            # A run that failed is for people, and so is one that somebody gave a budget, or did on the command line.
            if not _ended_well_unlimited(runs.get(niche)):
                continue
            if found.continues_at > now:
                asked.says.append(f"{niche} goes on at {found.continues_at:%Y-%m-%d %H:%M} UTC.")
            else:
                key = f"{niche}:{found.continues_at.isoformat()}"
                asked.runs.append(dg.RunRequest(run_key=key, partition_key=niche))
        asked.says = asked.says or ["No collection waits to go on."]
        return asked.result()

    return sensor


def _ended_well_unlimited(record: dg.RunRecord | None) -> bool:
    if record is None or record.dagster_run.status != dg.DagsterRunStatus.SUCCESS:
        return False
    return config_of(record.dagster_run, NICHE_ASSETS[0]).get("budget") is None


def retention_due(deployment: Deployment) -> dg.SensorDefinition:
    """(4) Once a day, whatever became of yesterday's."""

    @dg.sensor(
        name="retention_due",
        job=apply_retention,
        minimum_interval_seconds=EVERY_HOUR,
        default_status=sensor_status("retention_due", deployment),
        description="Removes once a day what the policy no longer lets us keep.",
    )
    def sensor(context: dg.SensorEvaluationContext, clock: ClockResource) -> dg.RunRequest | dg.SkipReason:
        now = clock.now()
        key = attempt_key(context.instance, f"retention:{now:%Y-%m-%d}", now=now)
        return dg.RunRequest(run_key=key) if key else dg.SkipReason("It was asked for today.")

    return sensor


def _monthly(_connection: "psycopg.Connection", now: "DecisionInputs", rules: Automation) -> "Decision":
    from thumbrank_core.automation.decisions import monthly

    return monthly(now, rules)


def _on_owner_rates(connection: "psycopg.Connection", now: "DecisionInputs", rules: Automation) -> "Decision":
    from thumbrank_core.automation.decisions import Decision, beside
    from thumbrank_core.automation.news import owner_rates_news

    news = owner_rates_news(connection)
    if news is None:
        return Decision("wait", "No click-through rate came since the last training.")
    return beside(now, rules, news.says)


def _on_age(connection: "psycopg.Connection", now: "DecisionInputs", rules: Automation) -> "Decision":
    from thumbrank_core.automation.decisions import Decision, beside
    from thumbrank_core.automation.stored_facts import champion_is_old

    reason = champion_is_old(connection, rules, now.now)
    return beside(now, rules, reason) if reason else Decision("wait", "The champion is not too old, or there is none.")


def _on_drift(connection: "psycopg.Connection", now: "DecisionInputs", rules: Automation) -> "Decision":
    from thumbrank_core.automation.decisions import Decision, beside
    from thumbrank_core.automation.stored_facts import drift_since, last_asked

    reason = drift_since(connection, last_asked(connection))
    return beside(now, rules, reason) if reason else Decision("wait", "No niche drifted since the last training.")


def _train(
    asked: Asked,
    context: dg.SensorEvaluationContext,
    state: StateResource,
    clock: ClockResource,
    rules: Automation,
    trigger: "Trigger",
    decide: Decide,
) -> None:
    """Write down how earlier trainings ended, decide, take the key, ask for the run."""
    from thumbrank_core.automation.months import claim, skip

    now = clock.now()
    month = month_of(now, rules.month)
    unlaunched = _settle(context.instance, state, now)
    asked.runs += [_request(row) for row in unlaunched if row.trigger == trigger]
    with in_a_tick(state) as connection:
        facts = decision_inputs(context.instance, connection, enabled_niches(), month, now)
        decision = decide(connection, facts, rules)
    if decision.action == "train":
        decision = _fit(state, facts, decision)
    taken = None
    with in_a_tick(state) as connection:
        if decision.action == "skip":
            skip(connection, month.key, decision.says, now)
        elif decision.action == "train":
            taken = claim(connection, month.key, trigger, decision.says, decision.niches, now)
        elif decision.action == "by_hand":
            claim(connection, month.key, "by_hand", decision.says, decision.niches, now, state="trained")
    if taken is not None:
        asked.runs.append(_request(taken))
    asked.says.append(decision.says)


def _fit(state: StateResource, facts: "DecisionInputs", decision: "Decision") -> "Decision":
    """The training without those niches that were not refreshed and would stop it at its border."""
    from thumbrank_core.automation.decisions import without
    from thumbrank_core.automation.fitness import unfit

    doubtful = [niche.niche for niche in facts.niches if niche.state != "fresh"]
    if not doubtful:
        return decision
    with state.database.connection() as connection:  # counts over whole niches: longer than a tick's other questions
        return without(decision, unfit(connection, doubtful, state.settings, facts.now))


def _settle(instance: dg.DagsterInstance, state: StateResource, now: datetime) -> "list[TrainingMonth]":
    """Write down what became of requested trainings; returns those of which Dagster knows no run."""
    from thumbrank_core.automation.alerts import without_secrets
    from thumbrank_core.automation.months import settle, unsettled_months

    with in_a_tick(state) as connection:
        asked = unsettled_months(connection)
    unlaunched: list[TrainingMonth] = []
    for row in asked:
        tags = {MONTH_TAG: row.month, ATTEMPT_TAG: str(row.attempt)}
        record = next(iter(instance.get_run_records(dg.RunsFilter(tags=tags), limit=1)), None)
        if record is None:
            unlaunched += [row] if row.state == "requested" else []
            continue
        run = record.dagster_run
        if is_on_its_way(record, now):
            continue
        # Of a run that somebody repeated in part, only one that decided what serves ends the month.
        done = run.status == dg.DagsterRunStatus.SUCCESS and run.run_id in decided(instance, row.requested_at)
        if row.state == "failed" and not done:
            continue
        why = None if done else without_secrets(why_failed(instance, run), state.settings)
        with in_a_tick(state) as connection:
            settle(connection, row.month, row.attempt, "trained" if done else "failed", now, why)
    return unlaunched


@contextmanager
def in_a_tick(state: StateResource) -> "Generator[psycopg.Connection]":
    """A connection that waits for nobody: a tick that hangs behind a migration would be given up by Dagster, and its thread stay."""
    from thumbrank_core.store.local_settings import IN_A_TICK, local_settings

    with state.database.connection() as connection, local_settings(connection, IN_A_TICK):
        yield connection


def _request(row: "TrainingMonth") -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{row.month}:{row.attempt}",
        run_config={"ops": {"trained_model": {"config": {"niches": list(row.niches)}}}},
        tags={MONTH_TAG: row.month, ATTEMPT_TAG: str(row.attempt)},
    )
