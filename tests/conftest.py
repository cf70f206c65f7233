"""What every test has: an environment without the developer's secrets, a watch on the network, and a real Postgres.

What belongs here: fixtures that more than one folder uses.
"""

import importlib.util
import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from thumbrank_core.paths import migrations_folder
from thumbrank_core.store.database import Database
from thumbrank_core.store.embedded import EmbeddedPostgres
from thumbrank_core.store.migrate import migrate

AUDIT_FOLDER = Path(__file__).parent / "audit"
TEMPLATE = "thumbrank_template"
_LEAKING = ("SUPABASE_", "THUMBRANK_", "YOUTUBE_", "DAGSTER_", "MLFLOW_", "WANDB_")
_LEAKING_NAMES = {"DATABASE_URL", "PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE", "PGSERVICE", "PGPASSFILE"}
_LEAKING_NAMES |= {"PGOPTIONS", "PGSSLMODE", "PGSSLROOTCERT", "PGTZ", "PGCLIENTENCODING", "PGAPPNAME"}
_QUIET = {
    "DAGSTER_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}

_LOG_VARIABLE = "THUMBRANK_AUDIT_LOG"
_IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ
_database_numbers = itertools.count(1)


def _clean_environment() -> None:
    for name in list(os.environ):
        if name != _LOG_VARIABLE and (name in _LEAKING_NAMES or name.startswith(_LEAKING)):
            del os.environ[name]
    os.environ.update(_QUIET)


def _watch_network() -> Path:
    """This process and every Python child, the test workers among them, write what they try to reach outside into one file."""
    if _IS_WORKER:
        log = Path(os.environ[_LOG_VARIABLE])
    else:
        log = Path(tempfile.mkdtemp(prefix="thumbrank-audit-")) / "network.log"
        log.parent.chmod(0o777)  # children under another account write there too
        os.environ[_LOG_VARIABLE] = str(log)
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(AUDIT_FOLDER), *(part for part in [os.environ.get("PYTHONPATH")] if part)]
    )
    spec = importlib.util.spec_from_file_location("network_audit", AUDIT_FOLDER / "sitecustomize.py")
    assert spec is not None and spec.loader is not None
    audit = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(audit)
    audit.install(str(log))
    return log


def _hear_ctrl_c() -> None:
    """A background shell hands down an ignored SIGINT, and every child would ignore the Ctrl-C that tests send it."""
    for sign in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(sign) == signal.SIG_IGN:
            signal.signal(sign, signal.default_int_handler)


# At import, before any test module or library reads the environment.
_clean_environment()
_hear_ctrl_c()
_NETWORK_LOG = _watch_network()


def _network_attempts() -> list[str]:
    return _NETWORK_LOG.read_text(encoding="utf-8").splitlines() if _NETWORK_LOG.exists() else []


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Nothing in the tests may reach for another machine."""
    if _network_attempts():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    attempts = _network_attempts()
    if attempts:
        terminalreporter.section("Attempts to reach another machine (the session fails)", red=True)
        for line in attempts:
            terminalreporter.line(line)


def pytest_unconfigure() -> None:
    if not _IS_WORKER:
        shutil.rmtree(_NETWORK_LOG.parent, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """One server for the whole session; without crash safety, as its data ends with it."""
    # Not below pytest's own folder: that is private (0700), and as root the server runs under another account.
    home = Path(tempfile.mkdtemp(prefix="thumbrank-tests-"))
    home.chmod(0o711)
    try:
        with EmbeddedPostgres(home, durable=False) as server:
            yield server
    finally:
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def migrated_template(postgres: EmbeddedPostgres) -> str:
    """The name of a database with every migration in it, for others to be copied from."""
    migrate(postgres.create_database(TEMPLATE), migrations_folder())
    return TEMPLATE


@pytest.fixture
def database_url(postgres: EmbeddedPostgres, migrated_template: str) -> Iterator[str]:
    """A fresh database with every migration applied."""
    name = f"test_{next(_database_numbers)}"
    # Copied as files: half the time of the usual way, which writes every page to the log.
    copy = sql.SQL("create database {} template {} strategy file_copy")
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(copy.format(sql.Identifier(name), sql.Identifier(migrated_template)))
    yield postgres.url(name)
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
def empty_database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A database with nothing in it; emptied afterwards, which is many times faster than a new one."""
    url = postgres.create_database("test_empty")
    yield url
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )
        connection.execute("drop schema if exists thumbrank cascade; drop schema public cascade; create schema public")


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    """A pool on a fresh, migrated database."""
    with Database(database_url) as database:
        yield database
