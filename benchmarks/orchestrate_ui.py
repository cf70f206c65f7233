"""Launching from the UI: `thumbrank dev --demo`'s webserver asked over GraphQL as its page asks, and what the runs' events say.

What belongs here: the queries and the reading of events. Which runs, and what they are held against, is bench_orchestrate.py.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx
from orchestrate_sides import LAUNCHED_NICHE, ONE_ASSET, WHOLE_NICHE

from thumbrank_core.niches import NICHES

READY_S, RUN_S = 180.0, 300.0
LOOK_S = 0.25

Row = dict[str, Any]

LAUNCH = """mutation ($params: ExecutionParams!) { launchPipelineExecution(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
BACKFILL = """mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
BACKFILL_RUNS = """query ($id: String!) { partitionBackfillOrError(backfillId: $id) {
  ... on PartitionBackfill { status runs { status creationTime endTime } } } }"""
STATUS = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
EVENTS = """query ($id: ID!) { logsForRun(runId: $id) { ... on EventConnection {
  events { ... on MessageEvent { eventType stepKey timestamp } } } } }"""
READY = """{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } }
  instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"""


@dataclass(frozen=True)
class Launched:
    """Seconds of one launched run by its events. `seconds`: from the request to the run's end, all the others together.

    `request_s`: until the run is in the queue; `queue_s`: until the daemon takes it out; `process_s`: until its process has started
    and imported Dagster and the code location; `open_s`: until the first step begins, the instance and resources opened;
    `steps_s`: in steps, the lazy imports of a fresh process included; `rest_s`: between and after steps.
    """

    seconds: float
    request_s: float
    queue_s: float
    process_s: float
    open_s: float
    steps_s: float
    rest_s: float


class Ui:
    """The webserver of `thumbrank dev --demo`, asked as its page asks."""

    def __init__(self, port: int) -> None:
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False)
        self._selector: dict[str, str] = {}

    def ask(self, query: str, **variables: object) -> Row:
        """The one thing that the query asks for."""
        answer = self._client.post("/graphql", json={"query": query, "variables": variables}).raise_for_status().json()
        if answer.get("errors"):
            raise SystemExit(f"The webserver refused: {answer['errors']}")
        return dict(next(iter(answer["data"].values()))) if len(answer["data"]) == 1 else dict(answer["data"])

    def wait(self, alive: Callable[[], bool]) -> bool:
        """Until the code location is loaded and every daemon that is required is healthy; False where that does not happen."""
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline and alive():
            with suppress(httpx.HTTPError):
                answer = self.ask(READY)
                nodes = answer["repositoriesOrError"].get("nodes", [])
                daemons = answer["instance"]["daemonHealth"]["allDaemonStatuses"]
                if nodes and all(daemon["healthy"] for daemon in daemons if daemon["required"]):
                    where = nodes[0]
                    self._selector = {
                        "repositoryName": where["name"],
                        "repositoryLocationName": where["location"]["name"],
                    }
                    return True
            time.sleep(LOOK_S)
        return False

    def launch(self, name: str) -> Launched:
        """The job for one niche, or the one asset for one niche; until its end."""
        job = (
            {"jobName": name}
            if name == WHOLE_NICHE
            else {"jobName": "__ASSET_JOB", "assetSelection": [{"path": [name]}]}
        )
        params = {
            "selector": self._selector | job,
            "mode": "default",
            "runConfigData": {},
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": LAUNCHED_NICHE}]},
        }
        sent = time.time()
        answer = self.ask(LAUNCH, params=params)
        if answer["__typename"] != "LaunchRunSuccess":
            raise SystemExit(f"{name} was not launched: {answer}")
        run_id = answer["run"]["runId"]
        deadline = time.monotonic() + RUN_S
        while (status := self.ask(STATUS, id=run_id)["status"]) not in ("SUCCESS", "FAILURE", "CANCELED"):
            if time.monotonic() > deadline:
                break
            time.sleep(LOOK_S)
        if status != "SUCCESS":
            raise SystemExit(f"The launched run of {name} ended as {status}.")
        return _by_events(sent, self.ask(EVENTS, id=run_id)["events"])

    def backfill(self) -> Row:
        """The one asset for every niche, as one backfill; the daemon makes the runs."""
        sent = time.time()
        params = {"assetSelection": [{"path": [ONE_ASSET]}], "partitionNames": list(NICHES)}
        answer = self.ask(BACKFILL, params=params)
        if answer["__typename"] != "LaunchBackfillSuccess":
            raise SystemExit(f"The backfill was not launched: {answer}")
        deadline = time.monotonic() + RUN_S
        while True:
            runs = self.ask(BACKFILL_RUNS, id=answer["backfillId"])["runs"]
            if len(runs) == len(NICHES) and all(run["status"] == "SUCCESS" for run in runs):
                break
            if time.monotonic() > deadline or any(run["status"] in ("FAILURE", "CANCELED") for run in runs):
                raise SystemExit(f"The backfill did not succeed: {runs}")
            time.sleep(LOOK_S)
        return {
            "part": "backfill",
            "asset": ONE_ASSET,
            "runs": len(runs),
            "first_run_in_queue_s": round(min(run["creationTime"] for run in runs) - sent, 1),
            "seconds": round(max(run["endTime"] for run in runs) - sent, 1),
        }


def _by_events(sent: float, events: Sequence[Row]) -> Launched:
    first: dict[str, float] = {}
    steps: dict[str, dict[str, float]] = {}
    for event in events:
        kind, at = event.get("eventType"), float(event.get("timestamp") or 0) / 1000
        if kind in ("STEP_START", "STEP_SUCCESS"):
            steps.setdefault(event["stepKey"], {})[kind] = at
        if kind:
            first.setdefault(kind.removeprefix("PIPELINE_").removeprefix("RUN_"), at)
    in_steps = sum(step["STEP_SUCCESS"] - step["STEP_START"] for step in steps.values())
    return Launched(
        seconds=first["SUCCESS"] - sent,
        request_s=first["ENQUEUED"] - sent,
        queue_s=first["STARTING"] - first["ENQUEUED"],
        process_s=first["START"] - first["STARTING"],
        open_s=first["STEP_START"] - first["START"],
        steps_s=in_steps,
        rest_s=first["SUCCESS"] - first["STEP_START"] - in_steps,
    )
