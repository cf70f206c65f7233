"""The whole product on a small simulated world, as a team has it open: `thumbrank dev --demo`, its webserver and its database.

What belongs here: starting it, asking it, and reading what it stored. What has to be true is the tests'.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.graphql import ask
from tests.e2e.processes import environment, new_home
from tests.ports import free_port
from thumbrank_core.settings import Settings
from thumbrank_core.simulator.world import WorldSettings
from thumbrank_core.store.database import Connection, Database
from thumbrank_core.store.embedded import EmbeddedPostgres
from thumbrank_dagster.demo import world_home

WORLD = WorldSettings(seed=5, channels_per_niche=7, videos_per_channel=14)
READY = "Ctrl-C stops everything."

BACKFILL = """mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
PROGRESS = """query ($id: String!) { partitionBackfillOrError(backfillId: $id) { __typename
  ... on PartitionBackfill { status } } }"""
RUNS = """query ($filter: RunsFilter!) { runsOrError(filter: $filter) { ... on Runs { results {
  runId status jobName parentRunId tags { key value } assetMaterializations { assetKey { path } partition timestamp } } } } }"""


@dataclass(frozen=True)
class Run:
    """A run as the UI lists it. `made`: (asset, partition, milliseconds) in order of time."""

    run_id: str
    status: str
    job: str
    parent: str | None
    tags: dict[str, str]
    made: list[tuple[str, str | None, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Product:
    """A running one."""

    home: Path
    base: str
    mlflow: str
    process: "subprocess.Popen[bytes]"
    database: Database

    def backfill(self, assets: list[str], partitions: list[str] | None = None, patience: float = 420) -> list[Run]:
        """Launch as the backfill dialog does; None: all partitions. Returns the runs once it ended well."""
        selection = [{"path": [name]} for name in assets]
        chosen = {"allPartitions": True} if partitions is None else {"partitionNames": partitions}
        launched = ask(self.base, BACKFILL, params={"assetSelection": selection} | chosen)["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        number = launched["backfillId"]
        deadline = time.monotonic() + patience
        while (status := ask(self.base, PROGRESS, id=number)["partitionBackfillOrError"]["status"]) == "REQUESTED":
            assert time.monotonic() < deadline, f"backfill {number} is still {status}"
            time.sleep(1)
        runs = self.runs(tags=[{"key": "dagster/backfill", "value": number}])
        assert status == "COMPLETED_SUCCESS", (status, [(run.status, run.tags) for run in runs])
        return runs

    def runs(self, **chosen: object) -> list[Run]:
        """Runs by a filter, the newest first."""
        return [
            Run(
                run["runId"],
                run["status"],
                run["jobName"],
                run["parentRunId"],
                {tag["key"]: tag["value"] for tag in run["tags"]},
                sorted(
                    (
                        (made["assetKey"]["path"][-1], made["partition"], int(made["timestamp"]))
                        for made in run["assetMaterializations"]
                    ),
                    key=lambda made: made[2],
                ),
            )
            for run in ask(self.base, RUNS, filter=chosen)["runsOrError"]["results"]
        ]

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """To the product's own database."""
        with self.database.connection() as connection:
            yield connection

    def stop(self) -> None:
        """One Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(120)


@contextmanager
def product() -> Iterator[Product]:
    """Open it on a world of which nothing is collected yet, and close it."""
    with new_home() as home:
        # What the last demo leaves: which world `dev --demo` opens.
        (home / "demo").mkdir()
        world = {name: getattr(WORLD, name) for name in ("seed", "channels_per_niche", "videos_per_channel", "effect")}
        (home / "demo" / "summary.json").write_text(json.dumps({"world": world}))
        port, mlflow_port = free_port(), free_port()
        log = home / "dev.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "thumbrank_dagster",
                    "dev",
                    "--demo",
                    f"--port={port}",
                    f"--mlflow-port={mlflow_port}",
                ],
                cwd=home,
                env=environment(home),
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            deadline = time.monotonic() + 180
            while READY not in (said := log.read_text(errors="replace")):
                assert process.poll() is None and time.monotonic() < deadline, said[-3000:]
                time.sleep(0.3)
            place = world_home(Settings.model_construct(home=home), WORLD)
            with EmbeddedPostgres(place) as server, Database(server.url()) as database:
                assert not server.owned, "it is dev's"
                yield Product(home, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{mlflow_port}", process, database)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(120)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    raise
