"""The pool against a real Postgres: one block is one transaction, and every failure is one sentence without secrets."""

import os
import subprocess
import sys
import threading
import traceback
from pathlib import Path

import psycopg
import pytest

from thumbrank_core.store.database import Database
from thumbrank_core.store.embedded import EmbeddedPostgres
from thumbrank_core.store.errors import DatabaseUnreachable, StoreError


def scalar(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def test_a_block_is_one_transaction(db: Database) -> None:
    with db.connection() as connection:
        connection.execute("create table thumbrank.t (n int)")
        connection.execute("insert into thumbrank.t values (1)")
    with pytest.raises(ZeroDivisionError), db.connection() as connection:
        connection.execute("insert into thumbrank.t values (2)")
        raise ZeroDivisionError
    with db.connection() as connection:
        assert connection.execute("select n from thumbrank.t").fetchall() == [(1,)]
        assert connection.prepare_threshold is None and not connection.autocommit
        assert connection.execute("show application_name").fetchone() == ("thumbrank",)


def test_connections_lost_between_blocks_are_replaced(db: Database, postgres: EmbeddedPostgres) -> None:
    with db.connection() as connection:
        pid = connection.info.backend_pid
    assert scalar(postgres.url("postgres"), f"select pg_terminate_backend({pid}, 5000)") is True
    with db.connection() as connection:
        assert connection.info.backend_pid != pid


def test_a_connection_lost_inside_a_block_is_one_sentence(db: Database, postgres: EmbeddedPostgres) -> None:
    with pytest.raises(DatabaseUnreachable, match="in the middle of its work"), db.connection() as connection:
        scalar(postgres.url("postgres"), f"select pg_terminate_backend({connection.info.backend_pid}, 5000)")
        connection.execute("select 1")
    with db.connection() as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_a_pool_that_is_used_up_says_so(database_url: str) -> None:
    with (
        Database(database_url, max_size=1, timeout_s=1.0) as database,
        database.connection(),
        pytest.raises(
            StoreError, match=r"All 1 connections to database test_.* lower `requests` in config/policy\.yaml\."
        ),
        database.connection(),
    ):
        pass


def test_threads_share_a_pool(db: Database) -> None:
    seen: list[int] = []

    def work() -> None:
        with db.connection() as connection:
            row = connection.execute("select 1 from pg_sleep(0.05)").fetchone()
            seen.append(row[0] if row else 0)

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1] * 12


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"password": "wr0ng-s3cret"}, "refused the password of user postgres"),
        ({"dbname": "nowhere"}, "database nowhere on 127.0.0.1, port .* does not exist"),
        ({"port": "1"}, "port 1 refused the connection: start the server"),
        ({"user": "stranger"}, "user stranger"),
    ],
)
def test_each_way_not_to_connect_is_one_sentence_without_the_password(
    postgres: EmbeddedPostgres, change: dict[str, str], said: str
) -> None:
    parts = {"user": "postgres", "password": postgres._password, "host": "127.0.0.1", "dbname": "postgres"}
    parts |= {"port": str(postgres.port)} | change
    url = "postgresql://{user}:{password}@{host}:{port}/{dbname}".format(**parts)
    with Database(url) as database, pytest.raises(DatabaseUnreachable, match=said) as caught, database.connection():
        pass
    assert parts["password"] not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__cause__ is None and caught.value.__context__ is None
    assert len(str(caught.value).splitlines()) == 1


def test_a_host_without_an_address_is_one_sentence(tmp_path: Path) -> None:
    # In a child with a log of its own: looking a name up is what the watch on the network is there to catch.
    code = (
        "from thumbrank_core.store.database import connect\n"
        "try: connect('postgresql://me:s3cret@name.invalid:5432/x')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"THUMBRANK_AUDIT_LOG": str(tmp_path / "log")},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.startswith("DatabaseUnreachable The database x on name.invalid, port 5432 cannot be found")
    assert "s3cret" not in done.stdout + done.stderr
