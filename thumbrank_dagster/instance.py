"""A Dagster instance on our state: its configuration file, and the environment its processes read."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from thumbrank_core import NO_TELEMETRY
from thumbrank_core.settings import Settings
from thumbrank_core.store.files import write_text
from thumbrank_core.store.opening import Servers
from thumbrank_dagster import instance_file
from thumbrank_dagster.instance_file import Launcher

QUIET = NO_TELEMETRY | {
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


def write_config(folder: Path, *, postgres: bool, launcher: Launcher = "process") -> Path:
    """Write dagster.yaml (for the services) and command-line.yaml beside it; connection strings stay in the environment."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in config_texts(postgres=postgres, launcher=launcher).items():
        path = folder / name
        if (
            not path.is_file() or path.read_text(encoding="utf-8") != content
        ):  # or two that start at once meet for nothing
            write_text(path, content)  # at once: a process that starts meanwhile reads the old file or the new one
    return folder


def config_texts(*, postgres: bool, launcher: Launcher) -> dict[str, str]:
    """The files of DAGSTER_HOME by name."""
    return {
        "dagster.yaml": instance_file.text(postgres=postgres, launcher=launcher),
        "command-line.yaml": instance_file.command_line_text(postgres=postgres),
    }


@contextmanager
def command_line_instance(settings: Settings, servers: Servers) -> Generator[dg.DagsterInstance]:
    """The instance for runs inside this process; sets the environment that resources read."""
    folder = write_config(settings.home / "dagster", postgres=servers.dagster is not None)
    os.environ.update(environment(settings, servers))
    with dg.DagsterInstance.from_config(str(folder), "command-line.yaml") as instance:
        # Or Dagster connects anew for nearly every event: 1,700 times in a graph of seven runs, half of its time. A minute,
        # so that no connection is kept that a pooler in between has closed meanwhile.
        instance.optimize_for_webserver(statement_timeout=0, pool_recycle=60, max_overflow=20)
        yield instance
