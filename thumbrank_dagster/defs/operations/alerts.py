"""Failure alerts: whoever answers for the pipeline is told of every run that ended failed and stays so, once a day of every check of
the daily inventory that does not pass, and once a day of every schedule and sensor whose own ticks fail.

A plain sensor over failed runs and not `@dg.run_failure_sensor`: that one moves its cursor on when its body raises, so that a
webhook which is down for a minute would cost the alerts of that minute; it does not see what happened before its first tick;
and it is called once, when a run that Dagster means to retry has failed and the retry may never come. Here the run itself
carries whether somebody was told. A message that could not be posted is tried again at the next tick, for a day; a process
that dies between posting and writing that down tells twice, and never not at all. A message that alone is refused holds no other
up: it is tried again every hour, in plain words.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorState, InstigatorTick, InstigatorType, TickStatus
from dagster_shared.error import SerializableErrorInfo

from thumbrank_dagster.defs.operations.inventory import NotPassed, not_passed
from thumbrank_dagster.partitions import PARTITION_TAG
from thumbrank_dagster.resources.alerts import NOT_SET, AlertsResource
from thumbrank_dagster.resources.clock import ClockResource
from thumbrank_dagster.retries import RETRIED_BY_TAG, RETRY_TAG, RETRY_WITHIN

ALERTED_TAG = "thumbrank/alerted"
"""On a run of which somebody was told: its own id, because Dagster copies tags to a run that is executed again."""
NUMBER_TAG = "dagster/retry_number"

SETTLED_AFTER = timedelta(seconds=5)
"""Dagster writes the status first, and whether it will retry after that."""
TRIED_FOR = timedelta(days=1)
"""What could not be told for so long is news no more: the failed ticks say that nobody was told."""
REFUSED_FOR = timedelta(hours=1)
"""How long a message that was refused is left alone."""
AT_ONCE = 10
"""Messages a tick: a tick has a minute."""
FAILED_TICKS = {InstigatorType.SENSOR: 3, InstigatorType.SCHEDULE: 1}
"""Ticks in a row that failed before somebody is told. A sensor tries again by itself; a schedule's next tick may be a month away."""
ENDED = (TickStatus.SUCCESS, TickStatus.SKIPPED, TickStatus.FAILURE)
MEMORY = "thumbrank/alerts"
MOST_FOUND = 5
"""Rows of a check's table in its message."""
LONGEST_SENTENCE = 600
EVERY_SECONDS = 30
NAME = "failure_alerts"


@dataclass(frozen=True)
class _News:
    """Something to tell. `key`: what it is remembered by. `name`: what the tick calls it. `run_id`: of a failed run."""

    key: str
    name: str
    text: Callable[[], str]
    run_id: str | None = None


class _Memory:
    """When a key was told or refused last, beside the cursors of Dagster's own daemons.

    Not in the sensor's cursor: Dagster drops that of a tick that ends as failed, as one does in which a message was refused.
    """

    def __init__(self, instance: dg.DagsterInstance, now: datetime) -> None:
        self._instance, self._now = instance, now
        stored = instance.daemon_cursor_storage.get_cursor_values({MEMORY}).get(MEMORY, "{}")
        entries: dict[str, dict[str, Any]] = json.loads(stored)
        # Nothing is news for longer than TRIED_FOR, so that nothing need be remembered for longer than twice as long.
        self._entries = {key: each for key, each in entries.items() if now - _at(each) <= 2 * TRIED_FOR}

    def is_due(self, key: str) -> bool:
        """Whether it was neither told nor refused within the hour."""
        entry = self._entries.get(key)
        return entry is None or (entry["refused"] and self._now - _at(entry) >= REFUSED_FOR)

    def refused(self, key: str) -> bool:
        """Whether it was refused when it was last tried."""
        return key in self._entries and bool(self._entries[key]["refused"])

    def write(self, key: str, *, refused: bool) -> None:
        """Write down what became of it, at once: the tick may end with the next message."""
        self._entries[key] = {"at": self._now.isoformat(), "refused": refused}
        self._instance.daemon_cursor_storage.set_cursor_values({MEMORY: json.dumps(self._entries)})


def _at(entry: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(entry["at"])


def failure_alerts_sensor(status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    """The sensor, on or off from the beginning."""

    @dg.sensor(
        name=NAME,
        minimum_interval_seconds=EVERY_SECONDS,
        default_status=status,
        description="Posts every run that failed and will not be retried to THUMBRANK_ALERT_WEBHOOK, once, and once a day every check "
        "of the daily inventory that does not pass and every schedule or sensor that fails. While the webhook cannot be reached its "
        "ticks fail, and the messages wait, for a day at most.",
    )
    def sensor(context: dg.SensorEvaluationContext, alerts: AlertsResource, clock: ClockResource) -> dg.SkipReason:
        from thumbrank_core.automation.alerts import AlertError, AlertRefusedError, plainer

        webhook = alerts.webhook()
        if webhook is None:
            return dg.SkipReason(NOT_SET)
        now = clock.now()
        memory = _Memory(context.instance, now)
        told: list[str] = []
        refusals: list[str] = []
        waiting = 0
        for news in _news(context.instance, alerts, now):
            if not memory.is_due(news.key):
                waiting += memory.refused(news.key)
                continue
            text = alerts.without_secrets(news.text())
            try:
                # Whatever else it raises ends the tick as failed, with its sentence: nobody takes messages just now, and the next
                # tick begins with this one.
                webhook.post(plainer(text) if memory.refused(news.key) else text)
            except AlertRefusedError as error:
                memory.write(news.key, refused=True)
                refusals.append(str(error))
            else:
                if news.run_id is not None:
                    context.instance.add_run_tags(news.run_id, {ALERTED_TAG: news.run_id})
                memory.write(news.key, refused=False)
                told.append(news.name)
            if len(told) + len(refusals) == AT_ONCE:
                break
        if refusals:
            raise AlertError(f"{refusals[0]} Messages refused: {len(refusals)}, which are tried again in an hour.")
        says = f"Told of {', '.join(told)}." if told else "Nothing failed that nobody was told of."
        return dg.SkipReason(
            f"{says} Refused within the hour, and tried again after it: {waiting}." if waiting else says
        )

    return sensor


def _news(instance: dg.DagsterInstance, alerts: AlertsResource, now: datetime) -> Iterator[_News]:
    """What somebody is to be told of, whether or not somebody was: failed runs, what stands, failed ticks."""
    for run in _untold(instance, now):

        def of_run(run: dg.DagsterRun = run) -> str:
            return message(instance, run, alerts.run_link(run.run_id))

        yield _News(f"run:{run.run_id}", run.run_id[:8], of_run, run.run_id)
    for found in not_passed(instance, now - TRIED_FOR):

        def of_check(found: NotPassed = found) -> str:
            return _standing(found, alerts.run_link(found.run_id))

        yield _News(f"check:{found.check}:{found.at:%Y-%m-%d}", f"check {found.check}", of_check)
    for state, tick in _failing(instance, now - TRIED_FOR):

        def of_ticks(state: InstigatorState = state, tick: InstigatorTick = tick) -> str:
            return _ticks(state, tick)

        day = datetime.fromtimestamp(tick.timestamp, UTC)
        kind = state.instigator_type.value.lower()
        yield _News(f"ticks:{state.instigator_name}:{day:%Y-%m-%d}", f"{kind} {state.instigator_name}", of_ticks)


def _failing(instance: dg.DagsterInstance, since: datetime) -> Iterator[tuple[InstigatorState, InstigatorTick]]:
    """Schedules and sensors whose last ticks failed, each with the newest one. Not the sensor of this module: what it fails at is
    the telling, and that is told once it goes again."""
    if instance.schedule_storage is None:
        return
    for state in instance.all_instigator_state():
        most = FAILED_TICKS.get(state.instigator_type)
        if most is None or not state.is_running or state.instigator_name == NAME:
            continue
        ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=most, statuses=list(ENDED))
        in_a_row = len(ticks) == most and all(tick.status == TickStatus.FAILURE for tick in ticks)
        if in_a_row and ticks[0].timestamp >= since.timestamp():
            yield state, ticks[0]


def _standing(found: NotPassed, link: str | None) -> str:
    """What is posted of a check that does not pass."""
    rows = "; ".join(found.found[:MOST_FOUND])
    more = f"; and {len(found.found) - MOST_FOUND} more" if len(found.found) > MOST_FOUND else ""
    lines = [f"Did not pass: check {found.check}", found.mend, _short(f"Found: {rows}{more}.") if rows else ""]
    return "\n".join([*filter(None, lines), link or f"Run {found.run_id}"])


def _ticks(state: InstigatorState, tick: InstigatorTick) -> str:
    """What is posted of a schedule or a sensor that fails."""
    why_failed = _short(_innermost(tick.error).message) if tick.error is not None else "It does not say why."
    if state.instigator_type == InstigatorType.SCHEDULE:
        what, then = (
            f"schedule {state.instigator_name}",
            "What this tick would have started is not started: mend what it names, and launch it in the UI.",
        )
    else:
        what, then = (
            f"sensor {state.instigator_name}, {FAILED_TICKS[InstigatorType.SENSOR]} times in a row",
            "It goes on trying: mend what it names. Until then it asks for nothing.",
        )
    return "\n".join([f"Failed: {what}", why_failed, then, "Its page in Dagster has its ticks."])


def message(instance: dg.DagsterInstance, run: dg.DagsterRun, link: str | None) -> str:
    """What is posted of a failed run: what, where, why, and what happens next."""
    steps = [event.step_key for event in _events(instance, run, dg.DagsterEventType.STEP_FAILURE) if event.step_key]
    what = _what(run, steps[0] if steps else None)
    return "\n".join([f"Failed: {what}", why(instance, run), _next(run), link or f"Run {run.run_id}"])


def why(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """The first error as one sentence: what a step said of itself, which check stopped it, else the innermost cause, else what
    Dagster says of the run. May quote a secret where a library's error does: `without_secrets` before it goes anywhere."""
    for event in _events(instance, run, dg.DagsterEventType.STEP_FAILURE):
        failure = event.step_failure_data
        said = failure.user_failure_data
        if said is not None and said.description:
            return _short(said.description)
        if failure.error is not None:
            error = _innermost(failure.error)
            stopped = _stopped_by(instance, run) if error.cls_name == "DagsterAssetCheckFailedError" else []
            if stopped:
                return (
                    f"Did not pass, and going on would be wrong: {', '.join(stopped)}. What was counted stands in the metadata of the "
                    "check."
                )
            return _short(error.message)
    for event in _events(instance, run, dg.DagsterEventType.RUN_FAILURE):
        if event.message:
            return _short(event.message)
    return "It does not say why: its page in Dagster has its log."


def _innermost(error: SerializableErrorInfo) -> SerializableErrorInfo:
    while error.cause is not None:
        error = error.cause
    return error


def _events(instance: dg.DagsterInstance, run: dg.DagsterRun, kind: dg.DagsterEventType) -> list[dg.DagsterEvent]:
    entries = instance.all_logs(run.run_id, of_type=kind)
    return [entry.dagster_event for entry in entries if entry.dagster_event is not None]


def _stopped_by(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[str]:
    """The blocking checks that did not pass; Dagster's own sentence has them in its last words only."""
    found = [
        event.asset_check_evaluation_data
        for event in _events(instance, run, dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    ]
    return [
        f"check {each.check_name} of {each.asset_key.to_user_string()}"
        for each in found
        if each.blocking and not each.passed and each.severity == dg.AssetCheckSeverity.ERROR
    ]


def _untold(instance: dg.DagsterInstance, now: datetime) -> Iterator[dg.DagsterRun]:
    """Failed runs that stay failed and that nobody was told of, the oldest first."""
    failed = instance.get_run_records(
        dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=now - TRIED_FOR), ascending=True
    )
    for record in failed:
        run = record.dagster_run
        ended = record.end_time or record.update_timestamp.timestamp()
        age = timedelta(seconds=now.timestamp() - ended)
        waits = RETRY_WITHIN if _will_retry(run) else SETTLED_AFTER
        retried = _will_retry(run) and RETRIED_BY_TAG in run.tags
        if run.tags.get(ALERTED_TAG) != run.run_id and not retried and waits <= age <= TRIED_FOR:
            yield run


def _will_retry(run: dg.DagsterRun) -> bool:
    return run.tags.get(RETRY_TAG) == "true"


def _what(run: dg.DagsterRun, step: str | None) -> str:
    """The step that failed, and the run it is of: a run of the UI has a job without a name, and any run may be of some assets."""
    chosen = sorted(key.to_user_string() for key in run.asset_selection or ())
    chosen = chosen or sorted(key.name for key in run.asset_check_selection or ())
    job = None if run.job_name.startswith("__") else run.job_name
    of = job or (f"a run of {', '.join(chosen)}" if chosen and chosen != [step] else None)
    what = f"{step} in {of}" if step and of else step or of or "a run of assets"
    niche = run.tags.get(PARTITION_TAG)
    return f"{what}, niche {niche}" if niche else what


def _next(run: dg.DagsterRun) -> str:
    if _will_retry(run):
        return "Dagster meant to run it again and has not: see that its daemon runs, then run it again in the UI."
    tries = int(run.tags.get(NUMBER_TAG, "0")) + 1
    tried = f" It was tried {tries} times." if tries > 1 else ""
    return f"It is not tried again by itself: mend what it names, then re-execute the run.{tried}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_SENTENCE else f"{line[:LONGEST_SENTENCE]}…"
