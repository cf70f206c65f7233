"""Months in seconds: Dagster's own scheduler and sensor daemons under a clock that is moved by hand.

Real: the graph's schedules and sensors, the daemons' loops with their ticks and cursors in an instance's files, Postgres with the
month's key. Played: the work of a run. `Months.finish` takes what is queued and writes the events that the run would have written,
at the time that the clock shows.

What belongs here: the machine. The stories are test_automation.py's.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import dagster as dg
from alembic.script import ScriptDirectory
from dagster._core.events import (
    DagsterEvent,
    DagsterEventType,
    EventSpecificData,
    JobFailureData,
    RunFailureReason,
    StepMaterializationData,
)
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.scheduler.instigation import TickStatus
from dagster._core.test_utils import create_test_daemon_workspace_context, freeze_time
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.sensor import execute_sensor_iteration
from dagster._scheduler.scheduler import launch_scheduled_runs

from thumbrank_core.automation.calendar import Automation
from thumbrank_core.niches import NICHES
from thumbrank_core.store.database import Database
from thumbrank_dagster.build import build_defs
from thumbrank_dagster.defs.operations.jobs import MODEL_ASSETS, NICHE_ASSETS, refresh_niche, train_and_deploy
from thumbrank_dagster.instance import write_config
from thumbrank_dagster.partitions import PARTITION_TAG
from thumbrank_dagster.resources.clock import ClockResource

_LOG = logging.getLogger("time travel")
_LOG.setLevel(logging.CRITICAL)

Outcome = bool | str | None
"""True: the run succeeds; False: it fails at once; an asset: it fails after that one; None: it goes on running."""


class Hand(ClockResource):
    """A clock that stands where it was put."""

    def now(self) -> datetime:
        return _setting["now"]


_setting: dict[str, Any] = {}


WATCHED = ("continue_collections", "train_when_refreshed", "train_on_owner_rates", "train_when_old")


def definitions() -> dg.Definitions:
    """What the daemons load: the graph as on a server, with the clock by hand, and the sensors that ask for months' runs."""
    found = build_defs({"clock": Hand()}, deployment="server", rules=_setting["rules"])
    schedules = [schedule for schedule in found.schedules or () if schedule.name == "monthly_refresh"]
    sensors = [sensor for sensor in found.sensors or () if sensor.name in WATCHED]
    jobs = [refresh_niche, train_and_deploy]
    return dg.Definitions(found.assets, schedules, sensors, jobs, found.resources, found.executor)


@dataclass
class Months:
    """A deployment in time."""

    instance: dg.DagsterInstance
    workspace: WorkspaceProcessContext
    db: Database
    now: datetime
    online: bool = True
    outcome: Callable[[str | None], Outcome] = field(default=lambda _niche: True)
    """What becomes of a run, by its niche; None: of a training."""
    trained: list[tuple[datetime, tuple[str, ...]]] = field(default_factory=list)
    refreshed: list[tuple[datetime, str]] = field(default_factory=list)

    def go(self, *moments: datetime) -> None:
        """Be there, one after the other; at each of them daemons look, if they are online, and runs end."""
        for self.now in moments:
            self.tick()

    def look(self, times: int = 4) -> None:
        """Some minutes pass: runs end, a training is asked for, it ends, its end is written down."""
        now = self.now
        self.go(*(now + timedelta(minutes=1.5 * n) for n in range(1, times + 1)))

    def tick(self) -> None:
        """What was queued before ends, and both daemons look."""
        _setting["now"] = self.now
        with freeze_time(self.now):
            self.finish()
            if self.online:
                list(launch_scheduled_runs(self.workspace, _LOG, self.now, {}))
                list(execute_sensor_iteration(self.workspace, _LOG, None, None))
                self._no_tick_failed()
            self._start()

    def refresh_by_hand(self, niche: str) -> None:
        """A person backfills one niche, and it ends at once."""
        self._by_hand("refresh_niche", {PARTITION_TAG: niche})

    def train_by_hand(self, config: dict[str, object] | None = None, outcome: bool | str = True) -> None:
        """A person trains, with every niche unless the config says otherwise."""
        self._by_hand("train_and_deploy", {}, {"ops": {"trained_model": {"config": config}}} if config else {}, outcome)

    def run_again(self, run: dg.DagsterRun) -> None:
        """A person runs a failed run again from where it failed, and it ends well."""
        with freeze_time(self.now):
            again = self.instance.create_run_for_job(
                definitions().resolve_job_def(run.job_name),
                run_config=run.run_config,
                tags={name: value for name, value in run.tags.items() if name.startswith("thumbrank/")},
                parent_run_id=run.run_id,
                root_run_id=run.root_run_id or run.run_id,
            )
            self._event(again, DagsterEventType.RUN_START)
            self._end(again, None, True, MODEL_ASSETS[1:])

    def finish(self) -> None:
        """What is running ends as `outcome` says, the oldest first."""
        for run in reversed(self.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))):
            niche = run.tags.get(PARTITION_TAG)
            outcome = self.outcome(niche)
            if outcome is not None:
                self._end(run, niche, outcome)

    def row(self, month: str) -> tuple[str, int, str] | None:
        """State, attempt and trigger of a month."""
        with self.db.connection() as connection:
            return connection.execute(
                "select state, attempt, trigger from thumbrank.training_months where month = %s", (month,)
            ).fetchone()

    def runs(self, job: str) -> list[dg.DagsterRun]:
        """All runs of a job."""
        return list(self.instance.get_runs(dg.RunsFilter(job_name=job)))

    def says(self, sensor: str) -> str | None:
        """Why its last tick asked for nothing."""
        [state] = [s for s in self.instance.all_instigator_state() if s.instigator_name == sensor]
        [tick] = self.instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
        return tick.tick_data.skip_reason

    def _no_tick_failed(self) -> None:
        for state in self.instance.all_instigator_state():
            for tick in self.instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1):
                assert tick.status != TickStatus.FAILURE, f"{state.instigator_name}: {tick.error}"

    def _by_hand(
        self, job: str, tags: dict[str, str], config: dict[str, object] | None = None, outcome: bool | str = True
    ) -> None:
        _setting["now"] = self.now
        with freeze_time(self.now):
            run = self.instance.create_run_for_job(
                definitions().resolve_job_def(job), run_config=config or {}, tags=tags
            )
            self._event(run, DagsterEventType.RUN_START)
            self._end(run, tags.get(PARTITION_TAG), outcome)

    def _start(self) -> None:
        for run in reversed(self.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]))):
            self._event(run, DagsterEventType.RUN_START)

    def _end(self, run: dg.DagsterRun, niche: str | None, outcome: bool | str, assets: list[str] | None = None) -> None:
        planned = assets or (NICHE_ASSETS if niche else MODEL_ASSETS)
        done = planned if outcome is True else planned[: planned.index(outcome) + 1] if outcome else []
        operations: Any = run.run_config.get("ops", {})
        config = operations.get("trained_model", {}).get("config", {})
        niches = tuple(config.get("niches") or NICHES)
        for name in done:
            metadata = {"niches": ", ".join(niches)} if name == "trained_model" else {}
            materialised = dg.AssetMaterialization(name, partition=niche, metadata=metadata)
            self._event(run, DagsterEventType.ASSET_MATERIALIZATION, StepMaterializationData(materialised, []))
        if NICHE_ASSETS[-1] in done:
            self.refreshed.append((self.now, str(niche)))
        if MODEL_ASSETS[0] in done:
            self.trained.append((self.now, niches))
        if outcome is True:
            self._event(run, DagsterEventType.RUN_SUCCESS)
        else:  # an asset's failure, and not its process's: that one Dagster would try again
            why = JobFailureData(error=None, failure_reason=RunFailureReason.STEP_FAILURE)
            self._event(run, DagsterEventType.RUN_FAILURE, why)

    def _event(self, run: dg.DagsterRun, kind: DagsterEventType, data: EventSpecificData | None = None) -> None:
        event = DagsterEvent(event_type_value=kind.value, job_name=run.job_name, event_specific_data=data)
        self.instance.report_dagster_event(event, run.run_id)


@contextmanager
def months(folder: Path, db: Database, rules: Automation, start: datetime) -> Iterator[Months]:
    """A server whose daemons look for the first time at `start`. No niche has a row: one that is asked for its border has none to show."""
    _setting.update(now=start, rules=rules)
    with restarted(folder, db, start) as machine:
        yield machine


@contextmanager
def restarted(folder: Path, db: Database, now: datetime) -> Iterator[Months]:
    """The same server again: other processes, the same files."""
    config = write_config(folder, postgres=False)
    origin = InProcessCodeLocationOrigin(
        LoadableTargetOrigin(executable_path=None, module_name=__name__, attribute="definitions"),
        location_name="thumbrank",
    )
    # Every tick opens the instance anew and asks which migration is the newest: a fifth of the time, for files that stay as they are.
    with (
        patch.object(ScriptDirectory, "from_config", cache(ScriptDirectory.from_config)),
        dg.DagsterInstance.from_config(str(config)) as instance,
        create_test_daemon_workspace_context(InProcessWorkspaceLoadTarget(origin), instance) as workspace,
    ):
        machine = Months(instance, workspace, db, now)
        machine.tick()
        yield machine
