"""A real Postgres as a child of ours: made at the first start, on 127.0.0.1, gone when we are gone.

What belongs here: starting, sharing and stopping one server. How its cluster is made is embedded_cluster.py; where it
lies and as whom it runs is embedded_place.py; what is in it is database.py and migrate.py.

Two locks between processes, both let go by the system when their holder dies:
- `postgres/lock` is held while a process decides whether to start or to attach, so that two never start at once.
- `postgres/running` is inherited by Postgres itself and its children, so it is held exactly as long as one of them
  lives. Process numbers, which a crash leaves behind and a system gives out again, decide nothing.
"""

import atexit
import contextlib
import os
import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import psycopg
from psycopg import sql

from thumbrank_core.store.embedded_cluster import (
    USER,
    check_version,
    child_options,
    dying_with_parent,
    explain_failure,
    explain_os_error,
    make_cluster,
    read_password,
    remove_stale_pid_file,
    trim_log,
    version_options,
)
from thumbrank_core.store.embedded_place import Place, find_binaries, locked, settle, try_lock
from thumbrank_core.store.errors import EmbeddedPostgresError

__all__ = ["EmbeddedPostgres", "find_binaries"]

START_TIMEOUT_S = 300.0
"""A crashed cluster replays its log first; a server that fails ends at once and is not waited for."""
REFUSAL_TIMEOUT_S = 10.0
"""A server that is up and turns every connection away (a disk full to the brim) will go on doing so."""
_ON_ITS_WAY = re.compile(r"refused|starting up|not yet accepting|recovery")
STOP_TIMEOUT_S = 60.0
ATTEMPTS = 10
"""How often a start is tried again for a reason that passes: a free port just taken, children of a killed server."""
LOG_CHECK_S = 30.0

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "jit": "off",
    # One node, no replicas: the smallest set of processes, and the least to write.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "256MB",
    "min_wal_size": "32MB",
    "max_logical_replication_workers": "0",
    "max_worker_processes": "2",
    "autovacuum_max_workers": "1",
    # A parallel sum adds floats in another order each time: same seed, same result holds only without.
    "max_parallel_workers_per_gather": "0",
    "max_parallel_maintenance_workers": "0",
}
_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class EmbeddedPostgres:
    """One Postgres cluster below `home`, shared by every process that starts it there.

    The process that starts first owns the server: it ends when that process stops it, exits or dies, also by SIGKILL
    (Linux). A process that comes later attaches and leaves the server alone.

    Args:
        home: the folder of all state; the cluster is in `home/postgres`, its log in `home/postgres.log`. Where root
            keeps `home` private, `home/postgres/location.txt` names the folder that holds the data.
        durable: False gives up crash safety for speed (tests, demo); it counts for the process that starts the server.
        port: the TCP port to serve; None takes a free one. A server that runs already keeps its own.
    """

    def __init__(self, home: Path, *, durable: bool = True, port: int | None = None) -> None:
        self.home = home.expanduser().resolve()
        self.owned = False
        self._durable = durable
        self._wanted_port = port
        self._port: int | None = None
        self._pid: int | None = None
        self._server: _Server | None = None
        self._password = ""

    def start(self) -> Self:
        """Start the server, or attach to the one that runs; make the cluster first if there is none.

        Raises:
            EmbeddedPostgresError: no programs, no room, no right, a taken port, or a cluster of another version.
        """
        if self._server is not None and self._server.alive():
            return self
        folder = self.home / "postgres"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if os.geteuid() == folder.stat().st_uid:
                folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
            with locked(folder / "lock"):
                self._start_or_attach(settle(self.home), folder)
        except OSError as error:
            raise explain_os_error(error, folder) from None
        return self

    def stop(self) -> None:
        """Stop the server if this object started it, and wait for its end; otherwise do nothing."""
        server, self._server = self._server, None
        if server is not None:
            atexit.unregister(self.stop)
            server.stop()
        self._pid = self._port = None
        self.owned = False

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The process number of the server (Linux: of the postmaster), None before start and after stop."""
        return self._pid

    @property
    def port(self) -> int | None:
        """The TCP port on 127.0.0.1, None before start and after stop."""
        return self._port

    def url(self, dbname: str = "thumbrank") -> str:
        """The URL of a database on this server, with its password: a secret, do not log it.

        Raises:
            EmbeddedPostgresError: the server is not started.
        """
        if self._port is None:
            raise EmbeddedPostgresError(f"The embedded PostgreSQL of {self.home} is not started: call start() first.")
        return f"postgresql://{USER}:{self._password}@127.0.0.1:{self._port}/{quote(dbname, safe='')}"

    def create_database(self, name: str, *, template: str = "template0") -> str:
        """Make the database `name` unless it exists, also when another process makes it now; gives its URL."""
        statement = sql.SQL("create database {} template {}").format(sql.Identifier(name), sql.Identifier(template))
        with self._connect() as connection:
            if connection.execute("select from pg_database where datname = %s", (name,)).fetchone() is None:
                try:
                    connection.execute(statement)
                except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                    pass  # another process was quicker
                except psycopg.errors.DiskFull:
                    folder = self.home / "postgres"
                    raise EmbeddedPostgresError(explain_failure("No space left", folder, folder)) from None
        return self.url(name)

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(
            self.url("postgres"), autocommit=True, connect_timeout=5, sslmode="disable", application_name="thumbrank"
        )

    def _start_or_attach(self, place: Place, folder: Path) -> None:
        running = os.open(folder / "running", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            while not try_lock(running):
                if self._attach(place, folder):
                    return
            self._launch(place, folder, running)
        finally:
            os.close(running)

    def _attach(self, place: Place, folder: Path) -> bool:
        """Wait until the server that runs answers (True) or is gone (False): it may be starting or stopping.

        Also gone: an initdb whose parent was killed, which ends soon after.
        """
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, ValueError, IndexError, psycopg.Error):
                lines = (place.data / "postmaster.pid").read_text().splitlines()
                self._password = read_password(folder, place)
                self._pid, self._port = int(lines[0]), int(lines[3])
                with self._connect() as connection:
                    row = connection.execute("select current_setting('data_directory')").fetchone()
                if row is not None and Path(row[0]).samefile(place.data):
                    return True
            self._pid = self._port = None
            with contextlib.closing(_Probe(folder / "running")) as probe:
                if probe.free:
                    return False
            time.sleep(0.05)
        raise EmbeddedPostgresError(
            f"A PostgreSQL runs on {place.data} but does not answer: stop it and try again; "
            f"{self.home / 'postgres.log'} is its log."
        )

    def _launch(self, place: Place, folder: Path, running: int) -> None:
        if not place.data.exists():
            make_cluster(place, folder, running, durable=self._durable)
        self._password = read_password(folder, place)
        check_version(place)
        remove_stale_pid_file(place.data)
        failure = ""
        for _ in range(ATTEMPTS):
            self._port = self._wanted_port or _free_port()
            _check_port(self._port)
            options = _SETTINGS | ({} if self._durable else _NOT_DURABLE) | {"port": str(self._port)}
            server = _Server(place, options, self.home / "postgres.log", running)
            failure = self._wait_ready(server)
            if not failure:
                self._server, self._pid, self.owned = server, server.pid, True
                atexit.register(self.stop)
                return
            self._port = None
            if "Address already in use" in failure and self._wanted_port is None:
                continue  # somebody took the free port between our look and PostgreSQL's
            if "is still in use" in failure:
                time.sleep(0.5)  # the children of a killed server are still going
                continue
            break
        raise EmbeddedPostgresError(explain_failure(failure, place.base, self.home / "postgres.log"))

    def _wait_ready(self, server: "_Server") -> str:
        """Nothing when it answers; what it wrote to its log when it ended."""
        started = on_its_way = time.monotonic()
        try:
            while server.alive():
                try:
                    self._connect().close()
                    if server.alive():
                        return ""
                except psycopg.OperationalError as error:
                    if _ON_ITS_WAY.search(str(error)):
                        on_its_way = time.monotonic()
                if time.monotonic() - on_its_way > REFUSAL_TIMEOUT_S or on_its_way - started > START_TIMEOUT_S:
                    server.stop()
                time.sleep(0.01)
        except BaseException:  # Ctrl-C while it starts: nobody else would stop it
            server.stop()
            raise
        return server.new_log() or "FATAL:  it ended without a word"


class _Probe:
    """Whether a lock is free, looked at through a file handle of its own."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDWR)
        self.free = try_lock(self._handle)

    def close(self) -> None:
        os.close(self._handle)


class _Server:
    """The child process and the thread that keeps it.

    "Die with your parent" means the parent's *thread* to Linux, so the child is started by a thread that lives as long
    as the child does. The same thread keeps the log within its limit.
    """

    def __init__(self, place: Place, options: dict[str, str], log: Path, running: int) -> None:
        self._log = log
        self._started_by = os.getpid()
        self._ended = threading.Event()
        self._ready = threading.Event()
        self._process: subprocess.Popen[Any] | None = None
        self._error: BaseException | None = None
        trim_log(log)
        arguments = [str(place.binaries / "postgres"), "-D", str(place.data)]
        for name, value in (options | version_options(place)).items():
            arguments += ["-c", f"{name}={value}"]
        self._log_start = log.stat().st_size
        self._arguments, self._account, self._running = arguments, place.account, running
        threading.Thread(target=self._keep, name="embedded-postgres", daemon=True).start()
        self._ready.wait()
        if self._error is not None:
            raise self._error

    def _keep(self) -> None:
        try:
            with self._log.open("ab") as log:
                process = self._process = subprocess.Popen(
                    self._arguments,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    preexec_fn=dying_with_parent(signal.SIGINT),  # noqa: PLW1509 two system calls, no lock, no import
                    start_new_session=True,  # a terminal's Ctrl-C is for us; we stop the server in order
                    pass_fds=(self._running,),
                    **child_options(self._account),
                )
        except (OSError, subprocess.SubprocessError) as error:
            self._error = error
            return
        finally:
            self._ready.set()
        while process.poll() is None and not self._ended.wait(LOG_CHECK_S):
            with contextlib.suppress(FileNotFoundError):  # somebody removed the home under a running server
                trim_log(self._log)

    @property
    def pid(self) -> int:
        """The postmaster's process number."""
        assert self._process is not None
        return self._process.pid

    def alive(self) -> bool:
        """Whether the server runs and is ours (a fork of ours has the object, not the child)."""
        return self._process is not None and os.getpid() == self._started_by and self._process.poll() is None

    def new_log(self) -> str:
        """What was written to the log since this start."""
        with self._log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def stop(self) -> None:
        """Fast shutdown, then harder ones; waits for the end."""
        if self._process is None or os.getpid() != self._started_by:
            return
        for request, patience in ((signal.SIGINT, STOP_TIMEOUT_S), (signal.SIGQUIT, 10.0), (signal.SIGKILL, None)):
            if self._process.poll() is None:
                self._process.send_signal(request)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(patience)
        self._ended.set()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as PostgreSQL does
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            raise EmbeddedPostgresError(
                f"The port {port} on 127.0.0.1 cannot be used ({getattr(error, 'strerror', None) or error}): "
                "choose another one, or none for a free one."
            ) from None
