"""A Dagster instance on our state: its configuration file, and the environment its processes read."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from thumbrank_core.settings import Settings
from thumbrank_core.store.opening import Servers

QUIET = {
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
"""Nobody else's telemetry, and no warning about forked tokenizers. Dagster's own is off in its file."""


def environment(settings: Settings, servers: Servers) -> dict[str, str]:
    """What every process that works on this state must see. Holds secrets: for environments only, never for a log."""
    found = QUIET | {
        "THUMBRANK_HOME": str(settings.home),
        "DAGSTER_HOME": str(settings.home / "dagster"),
        "DATABASE_URL": servers.thumbrank,
    }
    if servers.dagster is not None:
        found["DAGSTER_PG_URL"] = psycopg2_url(servers.dagster)
    return found


def psycopg2_url(url: str) -> str:
    """The same database with the driver named: dagster-postgres writes its events with psycopg2 only."""
    return f"postgresql+psycopg2://{url.partition('://')[2]}"


def write_config(folder: Path, *, postgres: bool) -> Path:
    """Write dagster.yaml (for `thumbrank dev`) and command-line.yaml beside it; connection strings stay in the environment."""
    folder.mkdir(parents=True, exist_ok=True)
    shared: dict[str, Any] = {
        "telemetry": {"enabled": False},
        "nux": {"enabled": False},
        "python_logs": {"managed_python_loggers": ["thumbrank"], "python_log_level": "INFO"},
        "run_coordinator": {"module": "dagster._core.run_coordinator", "class": "QueuedRunCoordinator"},
        "concurrency": {"runs": {"max_concurrent_runs": 2}, "pools": {"default_limit": 1, "granularity": "op"}},
        "run_monitoring": {"enabled": True, "free_slots_after_run_end_seconds": 60},
    }
    if postgres:
        shared["storage"] = {"postgres": {"postgres_url": {"env": "DAGSTER_PG_URL"}}}
    # The command line shows progress itself: capturing its output would swallow it.
    quiet = {
        "compute_logs": {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
    }
    for name, content in (("dagster.yaml", shared), ("command-line.yaml", shared | quiet)):
        (folder / name).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return folder


@contextmanager
def command_line_instance(settings: Settings, servers: Servers) -> Generator[dg.DagsterInstance]:
    """The instance for runs inside this process; sets the environment that resources read."""
    folder = write_config(settings.home / "dagster", postgres=servers.dagster is not None)
    os.environ.update(environment(settings, servers))
    with dg.DagsterInstance.from_config(str(folder), "command-line.yaml") as instance:
        yield instance
