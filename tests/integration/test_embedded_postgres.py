"""The embedded Postgres: it keeps data, is shared, dies with its parent, and says in one sentence what is wrong."""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from tests.ports import free_port
from thumbrank_core.store import embedded_place
from thumbrank_core.store.database import Database, connect
from thumbrank_core.store.embedded import EmbeddedPostgres
from thumbrank_core.store.errors import DatabaseUnreachable, EmbeddedPostgresError, StoreError

ROOT = os.geteuid() == 0
PROJECT = Path(__file__).parents[2]

# Everything the child needs is imported before it may give up root: the interpreter itself can lie below /root.
CHILD = """
import encodings.ascii, encodings.idna, encodings.latin_1, json, os, signal, sys, time
from pathlib import Path
import psycopg, psycopg_pool
from thumbrank_core.store import embedded_place
from thumbrank_core.store.embedded import EmbeddedPostgres
home, mode, uid, gid, outside = sys.argv[1:]
if uid != "0" and os.geteuid() == 0:
    os.setgroups([]); os.setgid(int(gid)); os.setuid(int(uid))
embedded_place.OUTSIDE = Path(outside)
try:
    server = EmbeddedPostgres(Path(home), durable=False).start()
except Exception as error:
    print(json.dumps({"error": str(error), "type": type(error).__name__}), flush=True)
    sys.exit(1)
server.create_database("thumbrank")
print(json.dumps({"pid": server.pid, "owned": server.owned, "url": server.url(), "euid": os.geteuid()}), flush=True)
if mode == "exit": sys.exit(0)
if mode == "stop": server.stop()
while mode == "wait": time.sleep(0.05)
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """A home that every account can pass through (pytest's own folders are private)."""
    folder = Path(tempfile.mkdtemp(prefix="thumbrank-home-"))
    folder.chmod(0o711)
    yield folder / ".thumbrank"
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def used_home() -> Iterator[Path]:
    """A home with a cluster in it, for tests that start and stop; making one takes most of a second."""
    folder = Path(tempfile.mkdtemp(prefix="thumbrank-home-"))
    folder.chmod(0o711)
    with EmbeddedPostgres(folder / ".thumbrank", durable=False):
        pass
    yield folder / ".thumbrank"
    shutil.rmtree(folder)


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Stands for /var/lib/thumbrank."""
    folder = Path(tempfile.mkdtemp(prefix="thumbrank-outside-"))
    folder.chmod(0o755)
    monkeypatch.setattr(embedded_place, "OUTSIDE", folder)
    yield folder
    shutil.rmtree(folder)


class Child:
    """A process of its own that starts the server of a home."""

    def __init__(self, home: Path, outside: Path, mode: str = "wait", uid: int = 0, gid: int = 0) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(home), mode, str(uid), str(gid), str(outside)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=PROJECT,
        )

    def report(self) -> dict[str, object]:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def end(self, sign: signal.Signals = signal.SIGKILL) -> None:
        self.process.send_signal(sign)
        self.process.communicate(timeout=20)


def runs(pid: object) -> bool:
    assert isinstance(pid, int)
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until_gone(pid: object) -> None:
    deadline = time.monotonic() + 10
    while runs(pid):
        assert time.monotonic() < deadline, f"postgres {pid} still runs"
        time.sleep(0.02)


def scalar(url: str, query: str) -> Any:
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def test_data_survives_stop_and_start(home: Path) -> None:
    server = EmbeddedPostgres(home)
    with server:
        first = server.pid
        assert server.owned
        url = server.create_database("thumbrank")
        with connect(url) as connection:
            connection.execute("create table t as select 42 as n")
    assert server.pid is None and not server.owned
    wait_until_gone(first)
    with server:
        assert scalar(server.url(), "select n from t") == 42
        assert server.create_database("thumbrank") == server.url()
        assert scalar(server.url(), "show fsync") == "on"


def test_it_is_private_small_and_the_same_everywhere(postgres: EmbeddedPostgres) -> None:
    url = postgres.url("postgres")
    settings = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "TimeZone": "UTC",
        "server_encoding": "UTF8",
        "max_connections": "200",
        "shared_buffers": "64MB",
        "jit": "off",
        "data_checksums": "on",
        "fsync": "off",
        "password_encryption": "scram-sha-256",
    }
    assert {name: scalar(url, f"show {name}") for name in settings} == settings
    assert scalar(url, "select datcollate from pg_database where datname = 'postgres'") == "C.UTF-8"
    assert scalar(url, "select pg_postmaster_start_time() > now() - interval '1 hour'") is True
    password = postgres.home / "postgres" / "password"
    assert password.stat().st_mode & 0o777 == 0o600
    assert password.stat().st_uid == os.geteuid()
    if postgres.pid is not None:
        process = psutil.Process(postgres.pid)
        assert password.read_text() not in " ".join(process.cmdline())
        assert process.uids().real != 0
        assert scalar(url, "select count(*) from pg_stat_activity where backend_type <> 'client backend'") <= 6


def test_another_process_attaches_and_leaves_the_server_alone(used_home: Path, outside: Path) -> None:
    with EmbeddedPostgres(used_home, durable=False) as server:
        for mode in ("stop", "exit"):
            report = Child(used_home, outside, mode).report()
            assert (report["pid"], report["owned"]) == (server.pid, False)
        assert scalar(server.url(), "select 1") == 1


def test_a_second_object_attaches_and_a_second_start_is_the_same(used_home: Path) -> None:
    with EmbeddedPostgres(used_home, durable=False) as server:
        other = EmbeddedPostgres(used_home, port=1).start()
        assert (other.pid, other.owned, other.url()) == (server.pid, False, server.url())
        other.stop()
        assert server.start().pid == server.pid
        assert scalar(server.url("postgres"), "select 1") == 1


def test_processes_that_start_at_once_end_with_one_server(home: Path, outside: Path) -> None:
    children = [Child(home, outside) for _ in range(3)]
    reports = [child.report() for child in children]
    assert len({report["pid"] for report in reports}) == 1
    assert [report["owned"] for report in reports].count(True) == 1
    for child in children:
        child.end()
    wait_until_gone(reports[0]["pid"])


def test_threads_that_start_at_once_end_with_one_server(used_home: Path) -> None:
    servers = [EmbeddedPostgres(used_home, durable=False) for _ in range(3)]
    threads = [threading.Thread(target=server.start) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # The threads that started it are gone; the server is not.
    assert len({server.pid for server in servers}) == 1
    assert scalar(servers[0].url("postgres"), "select 1") == 1
    for server in servers:
        server.stop()


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_postgres_outlives_its_parent(used_home: Path, outside: Path, sign: signal.Signals) -> None:
    child = Child(used_home, outside)
    pid = child.report()["pid"]
    family = psutil.Process(pid).children()  # type: ignore[arg-type]
    assert runs(pid)
    child.end(sign)
    wait_until_gone(pid)
    for process in family:
        wait_until_gone(process.pid)
    # The crash left nothing that hurts; the data is there.
    with EmbeddedPostgres(used_home, durable=False) as server:
        assert scalar(server.url(), "select 1") == 1


def test_no_postgres_outlives_a_normal_exit(used_home: Path, outside: Path) -> None:
    child = Child(used_home, outside, "exit")
    pid = child.report()["pid"]
    child.process.communicate(timeout=20)
    assert child.process.returncode == 0
    assert not runs(pid)


@pytest.mark.slow
def test_a_parent_killed_while_it_makes_the_cluster_leaves_nothing_half_done(home: Path, outside: Path) -> None:
    for delay in (0.4, 0.7):
        child = Child(home, outside)
        time.sleep(delay)
        child.end()
    with EmbeddedPostgres(home, durable=False) as server:
        assert scalar(server.url("postgres"), "select 1") == 1
        assert not list((home / "postgres").glob("making-*"))


def test_a_cluster_half_made_is_made_again(home: Path) -> None:
    halfway = home / "postgres" / "making-x1" / "data"
    halfway.mkdir(parents=True)
    (halfway / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(home, durable=False) as server:
        assert scalar(server.url("postgres"), "select 1") == 1
    assert not halfway.exists()


def test_a_stale_pid_file_with_a_number_in_use_does_not_hurt(used_home: Path) -> None:
    with EmbeddedPostgres(used_home, durable=False) as server:
        pass
    data = used_home / "postgres" / "data"
    owner = data.stat()
    # A live process of the same account: PostgreSQL alone would take it for its own server and refuse to start.
    other = subprocess.Popen(["sleep", "60"], cwd="/", user=owner.st_uid if ROOT else None)
    try:
        (data / "postmaster.pid").write_text(f"{other.pid}\n{data}\n1700000000\n5432\n\n127.0.0.1\n  1 2\nready   \n")
        os.chown(data / "postmaster.pid", owner.st_uid, owner.st_gid)
        with server:
            assert scalar(server.url("postgres"), "select 1") == 1
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_server_killed_hard_starts_again(used_home: Path) -> None:
    server = EmbeddedPostgres(used_home, durable=True).start()
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    wait_until_gone(server.pid)
    with server:
        assert scalar(server.url("postgres"), "select 1") == 1


def test_a_server_that_is_stopping_is_waited_for(used_home: Path) -> None:
    first = EmbeddedPostgres(used_home, durable=False).start()
    stopping = threading.Thread(target=first.stop)
    stopping.start()
    with EmbeddedPostgres(used_home, durable=False) as second:
        stopping.join()
        deadline = time.monotonic() + 5
        while True:  # it attached just before the end, or started its own just after: both are right
            try:
                assert scalar(second.url("postgres"), "select 1") == 1
                break
            except psycopg.OperationalError:
                assert not second.owned and time.monotonic() < deadline
                second.start()


def test_a_pool_tells_that_its_server_went_away_and_goes_on_when_it_is_back(used_home: Path) -> None:
    port = free_port()
    with EmbeddedPostgres(used_home, durable=False, port=port) as server:
        database = Database(server.create_database("thumbrank"), timeout_s=3.0)
        with database.connection() as connection:
            connection.execute("select 1")
    for _ in range(
        2
    ):  # the pool has tried for its 3 s and waits longer and longer by itself; the second is told at once
        with pytest.raises(DatabaseUnreachable, match="refused the connection"), database.connection():
            pass
    with EmbeddedPostgres(used_home, durable=False, port=port), database.connection() as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    database.close()


def test_a_connection_is_had_where_the_server_comes_back_while_it_is_waited_for(used_home: Path) -> None:
    port = free_port()
    with EmbeddedPostgres(used_home, durable=False, port=port) as server:
        database = Database(server.create_database("thumbrank"), timeout_s=10.0)
        with database.connection() as connection:
            connection.execute("select 1")

    def ask() -> Any:
        with database.connection() as connection:
            return connection.execute("select 1").fetchone()

    with ThreadPoolExecutor(6) as threads:  # more than the pool has connections
        asked = [threads.submit(ask) for _ in range(6)]
        time.sleep(1.5)  # the pool's next tries are 1 s and 3 s after the first: this is between them
        with EmbeddedPostgres(used_home, durable=False, port=port):
            assert [answer.result() for answer in asked] == [(1,)] * 6
    database.close()


def test_a_pool_in_use_says_so(used_home: Path) -> None:
    with EmbeddedPostgres(used_home, durable=False) as server:
        database = Database(server.create_database("thumbrank"), max_size=1, timeout_s=1.0)
        said = r"All 1 connections .* in use for 1 s: .*`requests`"
        with database.connection(), pytest.raises(StoreError, match=said), database.connection():
            pass
        with database.connection() as connection:
            assert connection.execute("select 1").fetchone() == (1,)
        database.close()
        with pytest.raises(StoreError, match="closed by this program"), database.connection():
            pass


def test_a_taken_port_is_one_sentence_and_a_free_one_is_used(used_home: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(EmbeddedPostgresError, match=f"port {port} on 127.0.0.1 cannot be used .*choose another"):
            EmbeddedPostgres(used_home, durable=False, port=port).start()
    with EmbeddedPostgres(used_home, durable=False, port=port) as server:
        assert server.port == port


def test_a_lost_password_and_another_version_are_one_sentence(used_home: Path) -> None:
    with EmbeddedPostgres(used_home, durable=False):
        pass
    folder = used_home / "postgres"
    password, version = folder / "password", folder / "data" / "PG_VERSION"
    kept, made_by = password.read_text(), version.read_text()
    password.unlink()
    with pytest.raises(EmbeddedPostgresError, match="password is missing"):
        EmbeddedPostgres(used_home).start()
    password.write_text(kept)
    version.write_text("12\n")
    with pytest.raises(EmbeddedPostgresError, match=r"made by PostgreSQL 12.*set PG_BIN"):
        EmbeddedPostgres(used_home).start()
    version.write_text(made_by)
    configuration = folder / "data" / "postgresql.conf"
    kept = configuration.read_text()
    configuration.write_text("nonsense = 1\n")
    with pytest.raises(EmbeddedPostgresError, match=r"did not start .*postgres\.log") as caught:
        EmbeddedPostgres(used_home).start()
    configuration.write_text(kept)
    assert len(str(caught.value).splitlines()) == 1


def test_url_before_start_is_a_clear_error(home: Path) -> None:
    with pytest.raises(StoreError, match="not started"):
        EmbeddedPostgres(home).url()


def test_database_names_are_quoted_and_made_once_by_many(postgres: EmbeddedPostgres) -> None:
    name = 'odd "name" %'
    threads = [threading.Thread(target=postgres.create_database, args=(name,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert scalar(postgres.url(name), "select current_database()") == name


# --- accounts and private folders ------------------------------------------------------------------------------------


def ordinary_account() -> tuple[int, int]:
    if not ROOT:
        return os.geteuid(), os.getegid()
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def test_an_ordinary_user_runs_it_as_itself(
    home: Path, outside: Path, postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    uid, gid = ordinary_account()
    # Where the project lies below /root no ordinary user reaches its wheel; the session's server has reachable programs.
    monkeypatch.setenv("PG_BIN", str(Path(psutil.Process(postgres.pid).exe()).parent))
    home.mkdir()
    if ROOT:
        os.chown(home, uid, gid)
    child = Child(home, outside, "wait", uid, gid)
    report = child.report()
    assert "error" not in report, report
    assert report["euid"] == uid
    assert psutil.Process(report["pid"]).uids().real == uid  # type: ignore[arg-type]
    assert (home / "postgres" / "data").stat().st_uid == uid
    assert list(outside.iterdir()) == []
    child.end()
    wait_until_gone(report["pid"])
    # Root may use a user's home, and leaves it usable by that user.
    with EmbeddedPostgres(home, durable=False) as server:
        assert scalar(server.url(), "select 1") == 1
        assert psutil.Process(server.pid).uids().real == uid
    assert {path.stat().st_uid for path in (home / "postgres").rglob("*")} == {uid}
    again = Child(home, outside, "wait", uid, gid)
    report = again.report()
    assert "error" not in report, report
    again.end()
    wait_until_gone(report["pid"])


def test_a_home_of_another_user_is_one_sentence(home: Path, outside: Path) -> None:
    uid, gid = ordinary_account()
    if ROOT:
        home.mkdir(mode=0o700)
        report = Child(home, outside, "exit", uid, gid).report()
        assert report["type"] == "EmbeddedPostgresError" and str(home) in str(report["error"])
    else:
        with pytest.raises(EmbeddedPostgresError, match="/proc"):
            EmbeddedPostgres(Path("/proc/thumbrank")).start()


def modes(folder: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_mode, path.stat().st_uid) for path in (folder, *folder.parents)}


def test_a_home_below_a_private_folder_works_and_nothing_above_it_changes(home: Path, outside: Path) -> None:
    private = home.parent / "private"
    private.mkdir(mode=0o700)
    inner = private / "project" / ".thumbrank"
    inner.mkdir(parents=True)
    before = modes(inner)
    with EmbeddedPostgres(inner, durable=False) as server:
        server.create_database("thumbrank")
        assert Child(inner, outside, "exit").report()["pid"] == server.pid
    assert modes(inner) == before
    if ROOT:
        base = Path((inner / "postgres" / "location.txt").read_text().strip())
        assert base.parent == outside and (base / "data" / "PG_VERSION").exists()
        assert (base / "data").stat().st_mode & 0o077 == 0
    else:
        assert (inner / "postgres" / "data").exists() and list(outside.iterdir()) == []
    with EmbeddedPostgres(inner, durable=False) as server:
        assert scalar(server.url(), "select 1") == 1


@pytest.mark.slow
def test_programs_below_a_private_folder_are_copied_once(
    home: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PG_BIN", raising=False)
    found = embedded_place.find_binaries()  # the wheel's: all its parts lie below one folder
    package = found.parents[1]
    private = home.parent / "private"
    private.mkdir(mode=0o700)
    shutil.copytree(found.parent, private / package.name / found.parent.name, symlinks=True)
    libraries = package.parent / f"{package.name}.libs"
    if libraries.exists():
        shutil.copytree(libraries, private / libraries.name)
    monkeypatch.setenv("PG_BIN", str(private / package.name / found.parent.name / "bin"))
    (outside / "copying-halfway").mkdir()
    for _ in range(2):
        with EmbeddedPostgres(home, durable=False) as server:
            assert scalar(server.url("postgres"), "select 1") == 1
            program = Path(psutil.Process(server.pid).exe())
    if not ROOT:
        assert private in program.parents and list(outside.iterdir()) == [outside / "copying-halfway"]
        return
    assert [path.name[:4] for path in sorted(outside.iterdir())] == ["bin-", "lock"]
    assert outside in program.parents
    for path in (outside, *outside.rglob("*")):
        assert path.stat().st_uid == 0 and not path.stat().st_mode & 0o022, path


def test_a_home_made_again_begins_anew_and_keeps_the_old_data_apart(home: Path, outside: Path) -> None:
    private = home.parent / "private"
    private.mkdir(mode=0o700)
    folder = private / "postgres"
    folder.mkdir()
    place = embedded_place.settle(private)
    assert place.base == (folder if not ROOT else Path((folder / "location.txt").read_text().strip()))
    (place.data / "old").mkdir(parents=True)
    assert embedded_place.settle(private).base == place.base
    shutil.rmtree(folder)
    folder.mkdir()
    assert embedded_place.settle(private).base == place.base
    assert not place.data.exists()
    assert len(list(outside.glob("*.set-aside-*/data/old"))) == (1 if ROOT else 0)


def test_an_outside_folder_that_others_can_change_is_refused(outside: Path) -> None:
    assert embedded_place.outside() == outside
    outside.chmod(0o777)
    with pytest.raises(EmbeddedPostgresError, match="can be changed by others"):
        embedded_place.outside()


def test_a_lock_held_for_too_long_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_place, "LOCK_TIMEOUT_S", 0.1)
    with (
        embedded_place.locked(tmp_path / "lock"),
        pytest.raises(EmbeddedPostgresError, match="end it and try again"),
        embedded_place.locked(tmp_path / "lock"),
    ):
        pass


def test_a_full_disk_is_one_sentence_that_names_the_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # initdb runs for real; what it says is what it says on a full disk.
    fake = home.parent / "bin"
    fake.mkdir(mode=0o755)
    for program in ("initdb", "postgres"):
        (fake / program).write_text(
            '#!/bin/sh\n[ "$1" = --version ] && echo "x 18.4" && exit 0\n'
            'echo "initdb: error: could not write file: No space left on device" >&2\nexit 1\n'
        )
        (fake / program).chmod(0o755)
    monkeypatch.setenv("PG_BIN", str(fake))
    with pytest.raises(EmbeddedPostgresError, match=r"The disk of .*/postgres is full: free space") as caught:
        EmbeddedPostgres(home).start()
    assert str(home / "postgres") in str(caught.value)
    assert not (home / "postgres" / "data").exists() and not list((home / "postgres").glob("making-*"))
