"""Migrations against a real Postgres: in order, once each, whole or not at all."""

import threading
from pathlib import Path

import psycopg
import pytest

from thumbrank_core.paths import migrations_folder
from thumbrank_core.store.database import Database, connect
from thumbrank_core.store.errors import DatabaseUnreachable, MigrationError
from thumbrank_core.store.migrate import migrate, read_folder, status

FIRST, SECOND, THIRD = "20260101000000_first.sql", "20260102000000_second.sql", "20260103000000_third.sql"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / FIRST).write_text(
        "create table thumbrank.a (id int);\ncreate table thumbrank.a2 (id int default 5 % 3);"
    )
    (tmp_path / SECOND).write_text("insert into thumbrank.a values (1);")
    (tmp_path / "README.md").write_text("not a migration")
    return tmp_path


def names(url: str) -> list[str]:
    with connect(url) as connection:
        return [row[0] for row in connection.execute("select name from thumbrank.schema_migrations order by version")]


def test_files_are_applied_in_order_once(empty_database_url: str, folder: Path) -> None:
    assert [file.file_name for file in migrate(empty_database_url, folder)] == [FIRST, SECOND]
    assert migrate(empty_database_url, folder) == []
    (folder / THIRD).write_text("insert into thumbrank.a values (2);")
    assert [file.name for file in migrate(empty_database_url, folder)] == ["third"]
    assert names(empty_database_url) == ["first", "second", "third"]


def test_a_connection_serves_as_well_as_a_url(empty_database_url: str, folder: Path) -> None:
    with connect(empty_database_url) as connection:
        assert len(migrate(connection, folder)) == 2
        assert [line.state for line in status(connection, folder)] == ["applied", "applied"]


def test_a_connection_inside_a_transaction_is_refused(empty_database_url: str, folder: Path) -> None:
    with connect(empty_database_url) as connection:
        connection.execute("select 1")
        with pytest.raises(MigrationError, match="inside a transaction"):
            migrate(connection, folder)


def test_a_dry_run_writes_nothing(empty_database_url: str, folder: Path) -> None:
    assert len(migrate(empty_database_url, folder, dry_run=True)) == 2
    with connect(empty_database_url) as connection:
        assert connection.execute("select to_regnamespace('thumbrank')").fetchone() == (None,)


def test_status_tells_the_four_states_apart(empty_database_url: str, folder: Path) -> None:
    assert {line.state for line in status(empty_database_url, folder)} == {"pending"}
    (folder / THIRD).write_text("select 1;")
    migrate(empty_database_url, folder)
    (folder / SECOND).write_text("insert into thumbrank.a values (99);")
    (folder / THIRD).unlink()
    (folder / "20270101000000_next.sql").write_text("select 1;")
    lines = status(empty_database_url, folder)
    assert [(line.name, line.state) for line in lines] == [
        ("first", "applied"),
        ("second", "changed"),
        ("third", "unknown"),
        ("next", "pending"),
    ]
    assert lines[0].applied_at is not None and lines[3].applied_at is None


def test_a_file_that_fails_leaves_nothing_of_itself_and_keeps_those_before(
    empty_database_url: str, folder: Path
) -> None:
    (folder / THIRD).write_text("create table thumbrank.half (id int);\n\nselect nonsense;\n")
    with pytest.raises(
        MigrationError, match=rf"{THIRD}, line 3, failed \(column \"nonsense\" does not exist"
    ) as caught:
        migrate(empty_database_url, folder)
    assert len(str(caught.value).splitlines()) == 1
    assert names(empty_database_url) == ["first", "second"]
    with connect(empty_database_url) as connection:
        assert connection.execute("select to_regclass('thumbrank.half')").fetchone() == (None,)
    (folder / THIRD).write_text("create table thumbrank.half (id int);")
    assert len(migrate(empty_database_url, folder)) == 1


def test_an_applied_file_that_was_changed_is_refused_by_name(empty_database_url: str, folder: Path) -> None:
    migrate(empty_database_url, folder)
    (folder / FIRST).write_text("create table thumbrank.other (id int);")
    (folder / THIRD).write_text("create table thumbrank.c (id int);")
    with pytest.raises(MigrationError, match=f"{FIRST} was changed after it was applied"):
        migrate(empty_database_url, folder)
    assert names(empty_database_url) == ["first", "second"]


def test_line_ends_and_a_byte_order_mark_are_no_change(empty_database_url: str, folder: Path) -> None:
    migrate(empty_database_url, folder)
    text = (folder / FIRST).read_bytes()
    (folder / FIRST).write_bytes(b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"))
    assert migrate(empty_database_url, folder) == []


def test_a_database_newer_than_the_code_is_refused(empty_database_url: str, folder: Path) -> None:
    migrate(empty_database_url, folder)
    (folder / SECOND).unlink()
    with pytest.raises(MigrationError, match="20260102000000_second, which this version of thumbrank does not know"):
        migrate(empty_database_url, folder)


def test_a_file_older_than_one_applied_is_refused(empty_database_url: str, folder: Path) -> None:
    migrate(empty_database_url, folder)
    (folder / "20260101120000_late.sql").write_text("select 1;")
    with pytest.raises(MigrationError, match=r"20260101120000_late\.sql is older than 20260102000000"):
        migrate(empty_database_url, folder)


@pytest.mark.parametrize(
    "name",
    [
        "1_first.sql",
        "20261301000000_month_13.sql",
        "20260101000000.sql",
        "20260101000000_Upper.sql",
        "20260101000000-x.sql",
    ],
)
def test_a_bad_file_name_is_refused_by_name(folder: Path, name: str) -> None:
    (folder / name).write_text("select 1;")
    with pytest.raises(MigrationError, match=name):
        read_folder(folder)


def test_two_files_of_one_version_are_refused(folder: Path) -> None:
    (folder / "20260101000000_twin.sql").write_text("select 1;")
    with pytest.raises(MigrationError, match=f"{FIRST} and 20260101000000_twin.sql have the same version"):
        read_folder(folder)


def test_a_missing_or_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match="holds no migration"):
        read_folder(tmp_path)
    with pytest.raises(MigrationError, match="does not exist"):
        read_folder(tmp_path / "nowhere")


@pytest.mark.parametrize("statement", ["commit;", "BEGIN;", "start transaction;", "Rollback work ;"])
def test_a_file_with_its_own_transaction_is_refused_before_it_runs(folder: Path, statement: str) -> None:
    (folder / THIRD).write_text(f"select 1;\n{statement}\nselect 2;")
    with pytest.raises(MigrationError, match=THIRD):
        read_folder(folder)


def test_the_begin_of_a_function_is_no_transaction(empty_database_url: str, folder: Path) -> None:
    (folder / THIRD).write_text(
        "create function thumbrank.f() returns int language plpgsql as $$\nbegin\n  return 1;\nend;\n$$;\n"
    )
    assert len(migrate(empty_database_url, folder)) == 3


def test_a_hidden_commit_is_noticed(empty_database_url: str, folder: Path) -> None:
    (folder / THIRD).write_text("select 1; commit; select 2;")
    with pytest.raises(MigrationError, match="ends its own transaction"):
        migrate(empty_database_url, folder)


def test_concurrent_runs_apply_each_file_once(empty_database_url: str, folder: Path) -> None:
    (folder / THIRD).write_text("insert into thumbrank.a select 2 from pg_sleep(0.2);")
    applied: list[str] = []
    errors: list[Exception] = []
    barrier = threading.Barrier(4)

    def run() -> None:
        barrier.wait()
        try:
            applied.extend(file.name for file in migrate(empty_database_url, folder))
        except (MigrationError, psycopg.Error) as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(applied) == ["first", "second", "third"]
    with connect(empty_database_url) as connection:
        assert connection.execute("select count(*) from thumbrank.a").fetchone() == (2,)


def test_no_server_is_one_sentence_about_the_server(folder: Path) -> None:
    with pytest.raises(DatabaseUnreachable, match="refused the connection"):
        migrate("postgresql://me:secret@127.0.0.1:1/x", folder)


def test_the_projects_own_migrations_apply_and_stay_applied(empty_database_url: str) -> None:
    files = read_folder(migrations_folder())
    assert migrate(empty_database_url, migrations_folder()) == files
    assert migrate(empty_database_url, migrations_folder()) == []
    assert {line.state for line in status(empty_database_url, migrations_folder())} == {"applied"}


def test_the_fixture_database_is_migrated(db: Database) -> None:
    with db.connection() as connection:
        row = connection.execute("select count(*) from thumbrank.schema_migrations").fetchone()
    assert row == (len(read_folder(migrations_folder())),)
