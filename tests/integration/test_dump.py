"""A dump and the way back, on a real Postgres: every row, one moment, all or nothing, and nothing that was forgotten."""

import errno
import itertools
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from typer.testing import CliRunner

from tests.integration.data_out import fill
from thumbrank_core.cli import app
from thumbrank_core.labels.pairs import replace_pairs
from thumbrank_core.paths import migrations_folder, project_root
from thumbrank_core.policy import load_policy
from thumbrank_core.retention.removal import FileStores, forget
from thumbrank_core.retention.restored import kept_removed
from thumbrank_core.store import dump as dumping
from thumbrank_core.store import restore as restoring
from thumbrank_core.store.database import Database
from thumbrank_core.store.dump import dump
from thumbrank_core.store.dump_file import DumpError, DumpFile, new_dump
from thumbrank_core.store.embedded import EmbeddedPostgres
from thumbrank_core.store.errors import MigrationError
from thumbrank_core.store.images import ImageStore
from thumbrank_core.store.migrate import migrate, read_folder, status
from thumbrank_core.store.restore import restore, rows_in_the_way
from thumbrank_core.youtube.reach.rows import purge

OWNER = "UCother-----------------"
OLDER_POSTGRES = Path("/usr/lib/postgresql/15/bin")
T = datetime(2026, 8, 1, 12, tzinfo=UTC)
_NUMBERS = itertools.count()
MORE = (
    "insert into thumbrank.discoveries select channel_id, niche, 'q', 1, %(t)s, null from thumbrank.channels",
    "insert into thumbrank.misses values ('video', 'gone', 'tech', 'not_found', E'a\\tb\\n', %(t)s, 'infinity')",
    "insert into thumbrank.quota_ledger (pacific_date, bucket, niche, spent) values ('2026-08-01', 'search', 'tech', 5)",
    "insert into thumbrank.collection_runs (niche, crawl_id, started_at, last_run_at, state, planned) "
    "values ('tech', gen_random_uuid(), %(t)s, %(t)s, 'partial', '{\"vet\": \"2026-08-01\"}')",
    "insert into thumbrank.collection_queue (niche, stage, video_id) select 'tech', 'hydrate', video_id from thumbrank.thumbnails",
    "insert into thumbrank.collection_progress (niche, stage, item) values ('tech', 'vet', 'UCx')",
    "insert into thumbrank.tombstones values ('video', 'expired----', 'expired', %(t)s)",
    "insert into thumbrank.retention_audit (done_at, action, policy_mode, subject, counts) "
    "values (%(t)s, 'expire', 'unaudited', 'all niches', '{\"thumbnails\": 3}')",
    "insert into thumbrank.encoders (encoder_id, modality, dimension) values ('clip', 'image', 4)",
    "insert into thumbrank.embeddings select 1, sha256, decode('00ff0a5c0d00c07f', 'hex') from thumbrank.picture_versions",
    "insert into thumbrank.measures (measure_id, signal) values ('sharp', 'clarity')",
    "insert into thumbrank.sub_score_signals select 1, sha256, 0.1, null from thumbrank.picture_versions",
    "insert into thumbrank.embedding_runs values ('tech', 1, %(t)s, 50, '\\x00', '\\x')",
    "insert into thumbrank.drift_readings values ('tech', 1, %(t)s, 50, 51, 0.25, 0.1, 1e-30, false)",
    "insert into thumbrank.model_evaluations (model_sha256, evaluated_at, scorer, is_reference, niche, split, label, metric, "
    "value, n_pairs, n_channels) values ('ab', %(t)s, 'model', false, 'tech', 'test', 'age_adjusted', 'm', 'NaN', 3, 2)",
    "insert into thumbrank.promotions (kind, version, fingerprint, verdict, why, who) values ('forced', 1, 'f', '{}', 'w', 'me')",
    "insert into thumbrank.training_months values ('2026-08', 1, 'monthly', 'r', '{tech,news}', %(t)s, 'trained', %(t)s)",
    "insert into thumbrank.monthly_digests values ('2026-08', %(t)s, '# text')",
    "insert into thumbrank.growth_curves values ('tech', '{0.1,2}', '{0,1e300}', 0.1, 4, 3, 2, %(t)s)",
    "insert into thumbrank.ab_outcomes values ('o', 't', 'v', 'ctr', 'winner', '2026-07-01', '2026-07-09', 'import', %(t)s)",
    "insert into thumbrank.ab_variants values ('o', 't', 'A', sha256('a'), null, 0.5, true)",
    "insert into thumbrank.reach_owners (owner_id, checked_at) values ('UCother-----------------', %(t)s)",
    "insert into thumbrank.reach_reports select owner_id, %(t)s, %(t)s + interval '1 day', 'r', %(t)s, 1, 0 "
    "from thumbrank.reach_owners",
    "update thumbrank.thumbnails set tags = array['ü', '', 'a,b', null, E'\\\\N'] where video_id = 'own-03'",
    # Numbers that were given and taken back: a restore goes on after them, and not after the highest row.
    "select nextval(pg_get_serial_sequence('thumbrank.thumbnails', 'video_key')) from generate_series(1, 100)",
)
"""Something in every table that data_out leaves empty, with what a careless stream would change."""


@pytest.fixture(scope="module")
def made(postgres, migrated_template, tmp_path_factory):
    """A database with rows in every table, to be copied from, and its dump."""
    url = postgres.create_database("dump_source", template=migrated_template)
    with psycopg.connect(url) as connection:
        fill(connection)
        for statement in MORE:
            connection.execute(statement, {"t": T} if "%(t)s" in statement else None)
    place = tmp_path_factory.mktemp("made") / "made.dump"
    dump(url, place, migrations_folder())
    return place


@pytest.fixture
def source(made, postgres):
    """The URL of a database with rows in every table, for one test."""
    name = f"dump_{next(_NUMBERS)}"
    yield postgres.create_database(name, template="dump_source")
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
def file(made, tmp_path):
    """The dump of `source`, in a folder of its own."""
    return shutil.copy(made, tmp_path / "made.dump")


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    monkeypatch.setattr(restoring, "LEAVING_S", 1.0)
    monkeypatch.setattr(restoring, "LOCK_TIMEOUT_S", 1)
    monkeypatch.setattr(dumping, "LOCK_TIMEOUT_S", 1)


def content(url):
    """Rows and an order-free hash of every table, and where each sequence stands."""
    with psycopg.connect(url) as connection:
        shapes = dumping.read_shapes(connection)
        statement = sql.SQL("select count(*), sum(('x' || left(md5(({})::text), 15))::bit(60)::int8) from thumbrank.{}")
        found: dict[str, Any] = {
            table: connection.execute(statement.format(names, sql.Identifier(table))).fetchone()
            for table, shape in shapes.items()
            for names in [sql.SQL(", ").join(map(sql.Identifier, sorted(column.name for column in shape.columns)))]
        }
        found["sequences"] = connection.execute(
            "select sequencename, last_value from pg_sequences where schemaname = 'thumbrank' order by 1"
        ).fetchall()
    return found


def schema(url):
    """Columns, constraints, indexes, views, comments and rights, as the catalogue tells them."""
    with psycopg.connect(url) as connection:
        return [
            sorted(connection.execute(statement).fetchall(), key=str)
            for statement in (
                "select table_name, column_name, data_type, domain_name, is_nullable, column_default, is_identity "
                "from information_schema.columns where table_schema = 'thumbrank'",
                "select conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint "
                "where connamespace = 'thumbrank'::regnamespace",
                "select tablename, indexname, indexdef from pg_indexes where schemaname = 'thumbrank'",
                "select viewname, definition from pg_views where schemaname = 'thumbrank'",
                "select objoid::regclass::text, objsubid, description from pg_description d join pg_class c on c.oid = objoid "
                "where classoid = 'pg_class'::regclass and c.relnamespace = 'thumbrank'::regnamespace",
                "select relname, relkind, relispartition, pg_get_expr(relpartbound, oid), relacl::text from pg_class "
                "where relnamespace = 'thumbrank'::regnamespace",
                "select tgrelid::regclass::text, tgname, tgenabled from pg_trigger where not tgisinternal",
                "select nspacl::text from pg_namespace where nspname = 'thumbrank'",
            )
        ]


def keeping(connection):
    return kept_removed(connection, "unaudited", T, Counter())


def put_back(url, path, *, replace=False, around=keeping, folder=None):
    with DumpFile(path) as opened:
        return restore(url, opened, folder or migrations_folder(), replace=replace, around=around)


def rows(url, statement, *parameters) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        result = connection.execute(statement, parameters or None)
        return result.fetchall() if result.description else []


def rewritten(path, place, change):
    """A copy of a dump whose members `change(name, data)` has had in its hands."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(place, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return place


def with_manifest(path, place, change):
    def edit(name, data):
        if name != "manifest.json":
            return data
        manifest = json.loads(data)
        change(manifest)
        return json.dumps(manifest).encode()

    return rewritten(path, place, edit)


# Round trips


def test_every_table_comes_back_as_it_was(source, file, empty_database_url):
    before = content(source)
    tables = before.keys() - {"sequences"}
    assert not [table for table in tables if before[table][0] == 0], "a table without rows shows nothing"
    done = put_back(empty_database_url, file)
    assert content(empty_database_url) == before
    assert schema(empty_database_url) == schema(source)
    assert done.migrated == () and {table.name for table in done.manifest.tables} == tables
    assert done.manifest.rows == sum(before[table][0] for table in tables)
    assert {line.state for line in status(empty_database_url, migrations_folder())} == {"applied"}
    [(statistics,)] = rows(
        empty_database_url, "select reltuples from pg_class where oid = 'thumbrank.thumbnails'::regclass"
    )
    assert statistics > 0, "the planner knows the rows"


def test_a_trigger_changes_no_row_on_its_way_in(file, empty_database_url, tmp_path):
    folder = newer_folder(tmp_path / "newer")
    (folder / "20991231000000_next.sql").write_text(
        "create function thumbrank.stamp() returns trigger language plpgsql as "
        "$$begin new.detail := 'stamped'; return new; end$$;"
        "create trigger stamp before insert on thumbrank.misses for each row execute function thumbrank.stamp();"
    )
    put_back(empty_database_url, file, folder=folder)
    dump(empty_database_url, tmp_path / "second.dump", folder)
    put_back(empty_database_url, tmp_path / "second.dump", folder=folder, replace=True)
    insert = "insert into thumbrank.misses values ('video', 'x', 'tech', 'r', 'mine', now()) returning detail"
    assert rows(empty_database_url, insert) == [("stamped",)]
    assert rows(empty_database_url, "select detail from thumbrank.misses where item_id = 'gone'") == [("a\tb\n",)]


def test_numbers_go_on_and_references_hold_after_a_restore(source, file, empty_database_url):
    put_back(empty_database_url, file)
    insert = (
        "insert into thumbrank.thumbnails (video_id, channel_key, title, published_at, source, fetched_at) "
        "select 'new', min(channel_key), 't', now(), 'import', now() from thumbrank.channels returning video_key"
    )
    [(key,)], [(expected,)] = rows(empty_database_url, insert), rows(source, insert)
    assert key == expected > 100
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        rows(empty_database_url, "insert into thumbrank.view_snapshots values (-1, now(), 1)")
    rows(empty_database_url, "delete from thumbrank.channels where channel_id = %s", "UCown-------------------")
    assert rows(empty_database_url, "select count(*) from thumbrank.thumbnails where video_id like 'own%'") == [(0,)]


def test_the_read_only_role_reads_the_views_and_nothing_else(file, empty_database_url):
    put_back(empty_database_url, file)
    [found] = rows(
        empty_database_url,
        "select has_table_privilege('thumbrank_reader', 'thumbrank.videos', 'select'), "
        "has_table_privilege('thumbrank_reader', 'thumbrank.thumbnails', 'select')",
    )
    assert found == (True, False)


def test_the_file_is_private_whole_and_alone(source, tmp_path):
    file = tmp_path / "made.dump"
    dump(source, file, migrations_folder())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        kinds = {entry.filename: entry.compress_type for entry in archive.infolist()}
    assert kinds["tables/embeddings.copy"] == zipfile.ZIP_STORED, "as its migration says, float16 does not compress"
    assert kinds["tables/thumbnails.copy"] == zipfile.ZIP_DEFLATED


def test_a_restore_into_a_migrated_and_empty_database_needs_no_word(source, file, empty_database_url):
    migrate(empty_database_url, migrations_folder())
    put_back(empty_database_url, file)
    assert content(empty_database_url) == content(source)


def test_no_superuser_is_needed_and_the_owner_is_who_restores(file, made, postgres, tmp_path):
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("create role dump_plain login password 'plain'")
        connection.execute("create database dump_plain owner dump_plain")
    parts = conninfo_to_dict(postgres.url("dump_plain"))
    url = f"postgresql://dump_plain:plain@{parts['host']}:{parts['port']}/dump_plain"
    try:
        put_back(url, file)
        dump(url, tmp_path / "second.dump", migrations_folder())
        put_back(url, tmp_path / "second.dump", replace=True)
        assert content(url) == content(postgres.url("dump_source"))
        owners = "select distinct relowner::regrole::text from pg_class where relnamespace = 'thumbrank'::regnamespace"
        assert rows(url, owners) == [("dump_plain",)]
    finally:
        with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
            connection.execute("drop database dump_plain with (force)")
            connection.execute("drop role dump_plain")


def test_a_user_who_may_not_make_the_schema_is_told(file, empty_database_url, postgres):
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("create role dump_guest login password 'plain'")
    parts = conninfo_to_dict(empty_database_url)
    url = f"postgresql://dump_guest:plain@{parts['host']}:{parts['port']}/{parts['dbname']}"
    try:
        with pytest.raises(DumpError, match=r"does not let this user make the schema anew .* nothing was changed"):
            put_back(url, file)
    finally:
        with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
            connection.execute("drop role dump_guest")


# Schemas of other ages


def older_folder(place, number):
    place.mkdir()
    for migration in read_folder(migrations_folder())[:number]:
        shutil.copy(migrations_folder() / migration.file_name, place)
    return place


@pytest.mark.parametrize("number", [2, 6])
def test_a_dump_of_an_older_schema_is_restored_and_then_migrated(postgres, empty_database_url, tmp_path, number):
    name = f"older_{number}"
    url = postgres.create_database(name)
    migrate(url, older_folder(tmp_path / "older", number))
    with psycopg.connect(url) as connection:
        connection.execute(
            "insert into thumbrank.channels (channel_id, niche, source, fetched_at) values ('UCx', 'tech', 'import', now())"
        )
        connection.execute(
            "insert into thumbrank.thumbnails (video_id, channel_key, title, published_at, source, fetched_at) "
            "select 'v', channel_key, 't', now(), 'import', now() from thumbrank.channels"
        )
    dump(url, tmp_path / "older.dump", migrations_folder())
    done = put_back(empty_database_url, tmp_path / "older.dump")
    files = read_folder(migrations_folder())
    assert [migration.version for migration in done.migrated] == [migration.version for migration in files[number:]]
    assert {line.state for line in status(empty_database_url, migrations_folder())} == {"applied"}
    assert rows(empty_database_url, "select video_id, channel_id from thumbrank.videos") == [("v", "UCx")]
    migrate(url, migrations_folder())
    assert schema(empty_database_url) == schema(url)
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def newer_folder(place):
    shutil.copytree(migrations_folder(), place)
    (place / "20991231000000_next.sql").write_text("create table thumbrank.next (n int);")
    return place


def test_a_dump_of_a_newer_schema_is_refused(source, empty_database_url, tmp_path):
    folder = newer_folder(tmp_path / "newer")
    migrate(source, folder)
    dump(source, tmp_path / "newer.dump", folder)
    with pytest.raises(DumpError, match="migration 20991231000000_next, which this version of thumbrank does not know"):
        put_back(empty_database_url, tmp_path / "newer.dump")
    with pytest.raises(MigrationError, match="20991231000000_next"):
        dump(source, tmp_path / "again.dump", migrations_folder())
    assert rows(empty_database_url, "select to_regnamespace('thumbrank')") == [(None,)]
    assert not (tmp_path / "again.dump").exists()


def test_a_database_newer_than_the_code_is_not_replaced(file, source, tmp_path):
    migrate(source, newer_folder(tmp_path / "newer"))
    before = content(source)
    with pytest.raises(MigrationError, match="20991231000000_next"):
        put_back(source, file, replace=True)
    assert content(source) == before


def test_a_migration_whose_text_changed_since_is_refused(file, empty_database_url, tmp_path):
    folder = newer_folder(tmp_path / "other")
    first = min(folder.iterdir())
    first.write_text(first.read_text() + "\n-- more")
    with pytest.raises(DumpError, match=f"{first.name} had another text"):
        put_back(empty_database_url, file, folder=folder)


@pytest.mark.skipif(not OLDER_POSTGRES.is_dir(), reason="no PostgreSQL 15 here")
def test_a_dump_goes_into_another_major_and_back(made, empty_database_url, tmp_path, monkeypatch):
    monkeypatch.setenv("PG_BIN", str(OLDER_POSTGRES))
    home = Path(tempfile.mkdtemp(prefix="thumbrank-tests-"))
    home.chmod(0o711)
    try:
        with EmbeddedPostgres(home, durable=False) as server:
            older = server.create_database("older")
            assert rows(older, "select current_setting('server_version_num')::int / 10000") == [(15,)]
            put_back(older, made)
            dump(older, tmp_path / "older.dump", migrations_folder())
            put_back(empty_database_url, tmp_path / "older.dump")
            assert content(empty_database_url) == content(older)
    finally:
        shutil.rmtree(home)


# The wrong place


def test_rows_are_never_restored_over_without_being_told_to(source, file):
    before = content(source)
    with pytest.raises(
        DumpError, match=r"has rows in thumbrank\.\w+: restore into an empty database, or add --replace"
    ):
        put_back(source, file)
    assert content(source) == before
    with DumpFile(file) as opened:
        assert rows_in_the_way(source, opened, migrations_folder())["training_pairs"] == 4


def test_replacing_takes_away_what_the_dump_does_not_have(source, file):
    before = content(source)
    rows(source, "insert into thumbrank.misses values ('video', 'later', 'tech', 'not_found', '', now())")
    rows(source, "update thumbrank.thumbnails set title = 'changed'")
    put_back(source, file, replace=True)
    assert content(source) == before


def test_what_a_team_made_of_our_tables_is_named_and_not_dropped(source, file):
    rows(source, "create view public.mine as select video_id from thumbrank.thumbnails")
    rows(source, "create table public.beside (niche thumbrank.niche)")
    before = content(source)
    with pytest.raises(DumpError, match=r"^public\.mine in the database .* would go with them"):
        put_back(source, file, replace=True)
    rows(source, "drop view public.mine")
    with pytest.raises(DumpError, match=r"^niche of public\.beside in the database"):
        put_back(source, file, replace=True)
    assert content(source) == before
    rows(source, "drop table public.beside")
    put_back(source, file, replace=True)


def test_a_table_of_somebody_else_in_our_schema_is_left_out_and_named(source, tmp_path, empty_database_url):
    rows(source, "create table thumbrank.mine (id int generated always as identity, what money)")
    done = dump(source, tmp_path / "made.dump", migrations_folder())
    assert done.left_out == ("mine",)
    put_back(empty_database_url, tmp_path / "made.dump")


def test_a_table_altered_by_hand_is_named_and_nothing_is_written(source, tmp_path, empty_database_url):
    rows(source, "alter table thumbrank.misses add column mine int")
    dump(source, tmp_path / "made.dump", migrations_folder())
    with pytest.raises(DumpError, match=r"other columns in thumbrank\.misses than its migrations make"):
        put_back(empty_database_url, tmp_path / "made.dump")
    assert rows(empty_database_url, "select to_regnamespace('thumbrank')") == [(None,)]


def test_a_type_that_another_postgres_may_read_differently_is_refused(source, tmp_path):
    rows(source, "alter table thumbrank.misses add column price money")
    with pytest.raises(DumpError, match=r"Column price of thumbrank\.misses has the type money"):
        dump(source, tmp_path / "made.dump", migrations_folder())
    assert not list(tmp_path.iterdir())


def test_a_database_with_nothing_of_ours_is_no_source(empty_database_url, tmp_path):
    with pytest.raises(DumpError, match="holds nothing of thumbrank"):
        dump(empty_database_url, tmp_path / "made.dump", migrations_folder())
    assert not list(tmp_path.iterdir())


# Others at work


def test_nothing_is_restored_while_thumbrank_is_connected(source, file):
    before = content(source)
    with Database(source) as database:
        with database.connection() as connection:
            connection.execute("select 1")
        with pytest.raises(DumpError, match=r"connected to the database .* 1 more time: stop Dagster"):
            put_back(source, file, replace=True)
        assert content(source) == before
    put_back(source, file, replace=True)


def test_nothing_is_restored_while_somebody_works_with_the_tables(source, file):
    before = content(source)
    with psycopg.connect(source) as other:
        other.execute("insert into thumbrank.tombstones values ('video', 'x', 'expired', now())")
        with pytest.raises(DumpError, match=r"Somebody works with the tables .* nothing was changed"):
            put_back(source, file, replace=True)
        other.rollback()
    assert content(source) == before


def test_a_command_that_starts_during_a_restore_waits_for_its_end(source, file):
    order = []
    thread = threading.Thread(target=lambda: (migrate(source, migrations_folder()), order.append("migrated")))

    def around(connection):
        thread.start()
        time.sleep(0.5)
        order.append("restoring")
        return keeping(connection)

    put_back(source, file, replace=True, around=around)
    thread.join(30)
    assert order == ["restoring", "migrated"]


def test_a_dump_is_of_one_moment_whoever_writes(database_url, empty_database_url, tmp_path):
    stop = threading.Event()

    def write():
        with psycopg.connect(database_url) as connection:
            while not stop.is_set():
                with connection.transaction():
                    connection.execute(
                        "with c as (insert into thumbrank.channels (channel_id, niche, source, fetched_at) "
                        "values (gen_random_uuid(), 'tech', 'import', now()) returning channel_key) "
                        "insert into thumbrank.misses select 'channel', channel_key, 'tech', 'r', '', now() from c"
                    )
                    connection.execute(
                        "insert into thumbrank.thumbnails (video_id, channel_key, title, published_at, source, fetched_at) "
                        "select gen_random_uuid(), max(channel_key), 't', now(), 'import', now() from thumbrank.channels"
                    )

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.5)
        for number in range(3):
            done = dump(database_url, tmp_path / f"{number}.dump", migrations_folder())
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    counts = {table.name: table.rows for table in done.manifest.tables}
    assert counts["channels"] == counts["misses"] > 5
    put_back(empty_database_url, tmp_path / "2.dump")
    assert rows(
        empty_database_url,
        "select (select count(*) from thumbrank.channels), (select count(*) from thumbrank.misses), "
        "(select count(*) from thumbrank.thumbnails)",
    ) == [(counts["channels"],) * 3]
    rows(
        empty_database_url,
        "insert into thumbrank.channels (channel_id, niche, source, fetched_at) values ('n', 'tech', 'import', now())",
    )


def test_pairs_that_are_rebuilt_as_a_dump_begins_are_in_it(source, tmp_path, monkeypatch):
    monkeypatch.setattr(dumping, "LOCK_TIMEOUT_S", 30)
    made = []
    with psycopg.connect(source) as rebuild:
        pairs = replace_pairs(rebuild, "tech", load_policy().pairs).pairs
        thread = threading.Thread(target=lambda: made.append(dump(source, tmp_path / "made.dump", migrations_folder())))
        thread.start()
        waiting = "select count(*) from pg_locks where not granted"
        deadline = time.monotonic() + 20
        while rows(source, waiting) == [(0,)] and time.monotonic() < deadline:
            time.sleep(0.02)
        rebuild.commit()
    thread.join(30)
    assert pairs > 4
    assert {table.name: table.rows for table in made[0].manifest.tables}["training_pairs"] == pairs


def test_a_dump_says_when_tables_are_altered_for_too_long(source, tmp_path):
    with psycopg.connect(source) as other:
        other.execute("lock table thumbrank.misses")
        with pytest.raises(DumpError, match="Somebody alters the tables"):
            dump(source, tmp_path / "made.dump", migrations_folder())
        other.rollback()
    assert not list(tmp_path.iterdir())


# Damage


def damaged(file, kind, place):
    data = bytearray(file.read_bytes())
    if kind == "cut off":
        place.write_bytes(data[: len(data) * 2 // 3])
    elif kind == "a byte of a packed table":
        at = data.index(b"tables/thumbnails.copy") + 200
        data[at] ^= 0xFF
        place.write_bytes(data)
    elif kind == "a byte of a stored table":
        at = data.index(b"tables/embeddings.copy") + 200
        data[at] ^= 0x01
        place.write_bytes(data)
    elif kind == "nothing in it":
        place.write_bytes(b"")
    elif kind == "text":
        place.write_text("select 1;\n" * 1000)
    elif kind == "another zip":
        rewritten(file, place, lambda _name, data: data)
        with zipfile.ZipFile(place, "w") as archive:
            archive.writestr("readme.txt", "x")
    elif kind == "another table's rows":
        with zipfile.ZipFile(file) as archive:
            other = archive.read("tables/channels.copy")
        rewritten(file, place, lambda name, data: other if name == "tables/thumbnails.copy" else data)
    elif kind == "longer rows":
        rewritten(file, place, lambda name, data: data * 2 if name == "tables/misses.copy" else data)
    elif kind == "no rows of a table":
        with zipfile.ZipFile(file) as old, zipfile.ZipFile(place, "w") as new:
            for name in old.namelist():
                if name != "tables/misses.copy":
                    new.writestr(name, old.read(name))
    elif kind == "no manifest to read":
        rewritten(file, place, lambda name, data: b"{" if name == "manifest.json" else data)
    elif kind == "a manifest of another kind":
        rewritten(file, place, lambda name, data: b"[1]" if name == "manifest.json" else data)
    elif kind == "a table twice":
        with_manifest(file, place, lambda manifest: manifest["tables"].append(manifest["tables"][0]))
    elif kind == "a wrong figure":
        with_manifest(file, place, lambda manifest: manifest["tables"][0].update(sha256="0" * 64))
    elif kind == "a field that is not one":
        with_manifest(file, place, lambda manifest: manifest.update(run="drop table x"))
    return place


@pytest.mark.parametrize(
    "kind",
    [
        "cut off",
        "a byte of a packed table",
        "a byte of a stored table",
        "nothing in it",
        "text",
        "another zip",
        "another table's rows",
        "longer rows",
        "no rows of a table",
        "no manifest to read",
        "a manifest of another kind",
        "a table twice",
        "a wrong figure",
        "a field that is not one",
    ],
)
def test_a_damaged_file_is_refused_before_anything_is_written(file, postgres, tmp_path, kind):
    place = damaged(file, kind, tmp_path / "bad.dump")
    url = postgres.url("dump_source")
    with pytest.raises(DumpError, match=r"bad\.dump is (damaged \(|no dump of thumbrank)") as caught:
        put_back(url, place, replace=True, around=lambda _connection: pytest.fail("something was begun"))
    assert len(str(caught.value).splitlines()) == 1
    assert rows(url, "select count(*) from thumbrank.training_pairs") == [(4,)]


def test_a_manifest_that_promises_other_counts_changes_nothing(source, file, tmp_path):
    before = content(source)
    place = with_manifest(file, tmp_path / "bad.dump", lambda manifest: manifest["tables"][0].update(rows=10_000))
    with pytest.raises(DumpError, match="should have 10000"):
        put_back(source, place, replace=True)
    assert content(source) == before


def test_a_file_of_a_newer_format_asks_for_an_update(file, tmp_path):
    place = with_manifest(file, tmp_path / "new.dump", lambda manifest: manifest.update(format_version=2, more=1))
    with pytest.raises(DumpError, match="was written by a newer thumbrank: update"):
        DumpFile(place)


def test_names_from_a_file_are_never_statements(source, file, tmp_path):
    name = 'x"; drop schema thumbrank cascade; --'
    place = with_manifest(file, tmp_path / "bad.dump", lambda manifest: manifest["sequences"][0].update(column=name))
    before = content(source)
    with pytest.raises(DumpError, match=r"other columns in thumbrank\.\w+ than"):
        put_back(source, place, replace=True)
    assert content(source) == before


# Killed in the middle


def test_a_restore_that_is_interrupted_leaves_the_database_as_it_was(source, file, monkeypatch):
    rows(source, "insert into thumbrank.misses values ('video', 'later', 'tech', 'not_found', '', now())")
    before, columns = content(source), schema(source)
    real, read = DumpFile.chunks, []

    def chunks(self, table):
        read.append(table.name)
        if read.count("thumbnails") == 2:
            yield next(iter(real(self, table)))[:100]
            raise KeyboardInterrupt
        yield from real(self, table)

    monkeypatch.setattr(DumpFile, "chunks", chunks)
    with pytest.raises(KeyboardInterrupt):
        put_back(source, file, replace=True)
    assert read.count("channels") == 2, "it was in the middle"
    assert content(source) == before and schema(source) == columns


def test_a_restore_into_nothing_that_fails_leaves_nothing(file, empty_database_url):
    class Stop(Exception):
        pass

    def around(_connection):
        raise Stop

    with pytest.raises(Stop):
        put_back(empty_database_url, file, around=around)
    assert rows(empty_database_url, "select to_regnamespace('thumbrank')") == [(None,)]


def test_a_server_that_goes_away_is_one_sentence(source, file, postgres):
    before = content(source)

    def around(connection):
        rows(postgres.url("postgres"), f"select pg_terminate_backend({connection.info.backend_pid}, 5000)")
        return keeping(connection)

    with pytest.raises(DumpError, match=r"ended the restore .* nothing was changed"):
        put_back(source, file, replace=True, around=around)
    assert content(source) == before


def test_an_interrupted_dump_leaves_no_file(source, tmp_path, monkeypatch):
    def interrupt(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(dumping, "read_sequences", interrupt)
    with pytest.raises(KeyboardInterrupt):
        dump(source, tmp_path / "made.dump", migrations_folder())
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_there_is_kept_and_what_a_killed_dump_left_is_not(source, tmp_path):
    path = tmp_path / "made.dump"
    path.write_text("mine")
    with pytest.raises(DumpError, match=r"made\.dump is there already"):
        dump(source, path, migrations_folder())
    assert path.read_text() == "mine"
    path.unlink()
    (tmp_path / "made.dump.part").write_bytes(b"x" * 1_000_000)
    dump(source, path, migrations_folder())
    with DumpFile(path) as opened:
        opened.check()
    assert [entry.name for entry in tmp_path.iterdir()] == ["made.dump"]


def test_two_dumps_into_one_file_do_not_mix(tmp_path):
    path = tmp_path / "made.dump"
    with (
        pytest.raises(DumpError, match="Interrupted the first"),
        new_dump(path),
    ):
        with pytest.raises(DumpError, match="Another dump writes"), new_dump(path):
            pass
        raise DumpError("Interrupted the first")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["nowhere/made.dump", "file/made.dump"])
def test_a_place_that_cannot_be_written_is_one_sentence(source, tmp_path, place):
    (tmp_path / "file").touch()
    with pytest.raises(DumpError, match=r"made\.dump cannot be written"):
        dump(source, tmp_path / place, migrations_folder())


def test_a_full_disk_is_one_sentence_and_leaves_no_file(tmp_path):
    with pytest.raises(DumpError, match=f"The disk that holds {tmp_path} is full"), new_dump(tmp_path / "made.dump"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert not list(tmp_path.iterdir())


# What was forgotten since


def test_what_was_forgotten_here_since_the_dump_stays_forgotten(source, file, tmp_path):
    stores = FileStores(ImageStore(tmp_path / "images"), ())
    with Database(source) as database:
        forget(database, stores, "unaudited", "video", "own-01")
        forget(database, stores, "unaudited", "channel", "UCapi-------------------")
        assert purge(database, OWNER, "revoked", "unaudited", datetime.now(UTC)).counts["reach_daily"] == 1
    evidence = rows(source, "select done_at, action, subject from thumbrank.retention_audit order by audit_id")
    removed = Counter()
    put_back(source, file, replace=True, around=lambda c: kept_removed(c, "unaudited", T, removed))
    assert removed["thumbnails"] == 3 and removed["channels"] == 1 and removed["training_pairs"] == 2
    assert [removed[f"reach_{name}"] for name in ("daily", "reports", "owners")] == [2, 1, 1]
    gone = "own-01", "api-00", "api-01"
    assert rows(source, "select 1 from thumbrank.thumbnails where video_id = any(%s)", list(gone)) == []
    assert rows(source, "select 1 from thumbrank.reach_owners") == []
    assert rows(source, "select owner_id from thumbrank.reach_daily where source = 'studio'") == []
    kept = rows(source, "select kind, item_id from thumbrank.tombstones where reason = 'forgotten'")
    assert {("channel", "UCapi-------------------"), ("video", "own-01")} <= set(kept)
    audit = rows(source, "select done_at, action, subject from thumbrank.retention_audit order by audit_id")
    assert audit[: len(evidence)] == evidence
    assert [row[1:] for row in audit[len(evidence) :]] == [
        ("forget", "what a dump of 2026-08-01 12:00 UTC brought back")
    ]


def test_an_owner_who_consented_again_keeps_the_figures(source, file):
    with Database(source) as database:
        purge(database, OWNER, "logout", "unaudited", datetime.now(UTC))
    rows(source, "insert into thumbrank.reach_owners (owner_id, checked_at) values (%s, now())", OWNER)
    put_back(source, file, replace=True)
    assert rows(source, "select source from thumbrank.reach_daily where owner_id = %s", OWNER) == [("reporting_api",)]


# As a person types it


@pytest.fixture
def thumbrank(monkeypatch, tmp_path, postgres):
    password = str(conninfo_to_dict(postgres.url())["password"])
    monkeypatch.setenv("THUMBRANK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")

    def run(url, *words):
        monkeypatch.setenv("DATABASE_URL", url)
        done = CliRunner().invoke(app, ["db", *map(str, words)])
        assert password not in done.output
        assert password.encode() not in b"".join(path.read_bytes() for path in tmp_path.glob("*.dump"))
        return done

    return run


def test_dump_and_restore_say_what_they_did_and_what_is_left(thumbrank, source, empty_database_url, tmp_path):
    path = tmp_path / "nightly.dump"
    done = thumbrank(source, "dump", path)
    assert done.exit_code == 0, done.output
    total = sum(count for count, _ in (value for key, value in content(source).items() if key != "sequences"))
    assert f"Dumped {total} rows of " in done.stdout and f"into {path} (" in done.stdout
    assert "Pictures, models and consents are not in it" in done.stdout
    done = thumbrank(empty_database_url, "restore", path)
    assert done.exit_code == 0, done.output
    assert f"Restored {total} rows of " in done.stdout
    assert "does not know what was forgotten or revoked after" in done.stdout
    assert "thumbrank expire --yes" in done.stdout
    assert f"run `thumbrank reach logout {OWNER}` if it ended" in done.stdout
    assert content(empty_database_url) == content(source)


def test_rows_past_their_date_are_counted_after_a_restore(thumbrank, source, empty_database_url, tmp_path):
    thumbrank(source, "dump", tmp_path / "a.dump")
    late = datetime.now(UTC) - timedelta(days=1)
    rows(source, "update thumbrank.discoveries set expires_at = %s", late)
    thumbrank(source, "dump", tmp_path / "b.dump")
    first, second = (
        int(next(line for line in out.splitlines() if "older than their date" in line).split()[0])
        if "older than their date" in (out := thumbrank(empty_database_url, "restore", path, *more).stdout)
        else 0
        for path, more in ((tmp_path / "a.dump", []), (tmp_path / "b.dump", ["--replace", "--yes"]))
    )
    assert second - first == 4


def test_replacing_asks_first(thumbrank, source, tmp_path):
    path = tmp_path / "nightly.dump"
    thumbrank(source, "dump", path)
    rows(source, "insert into thumbrank.misses values ('video', 'later', 'tech', 'not_found', '', now())")
    before = content(source)
    done = thumbrank(source, "restore", path)
    assert (
        done.exit_code == 1
        and "add --replace to see what would go" in done.stderr
        and len(done.stderr.splitlines()) == 1
    )
    done = thumbrank(source, "restore", path, "--replace")
    assert done.exit_code == 0 and "Nothing was changed: add --yes" in done.stdout
    [line] = [line for line in done.stdout.splitlines() if line.split("│")[1:2] and "misses" in line]
    assert [cell.strip() for cell in line.split("│")[1:4]] == ["misses", "2", "1"]
    assert content(source) == before
    done = thumbrank(source, "restore", path, "--replace", "--yes")
    assert done.exit_code == 0 and "Restored" in done.stdout, done.output
    assert content(source) != before


@pytest.mark.parametrize("words", [("dump", "nowhere/x.dump"), ("restore", "nowhere.dump"), ("restore", "text.dump")])
def test_errors_are_one_sentence(thumbrank, source, tmp_path, words, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("text.dump").write_text("x")
    done = thumbrank(source, *words)
    assert done.exit_code == 1 and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("thumbrank: ")


def test_a_wrong_password_is_not_repeated(thumbrank, source, tmp_path):
    wrong = source.replace(conninfo_to_dict(source)["password"], "correct-horse-battery")
    done = thumbrank(wrong, "dump", tmp_path / "made.dump")
    assert done.exit_code == 1 and "refused the password" in done.stderr
    assert "correct-horse-battery" not in done.output
    assert not list(tmp_path.glob("made*"))


PAGE = (project_root() / "docs" / "backup.md").read_text(encoding="utf-8")


def test_the_pages_commands_run_as_written(source, empty_database_url, tmp_path):
    """In a shell, in the order of the page; those of docker compose apart."""
    (tmp_path / ".thumbrank" / "models").mkdir(parents=True)
    blocks = dict(re.findall(r"^```sh ([\w-]+)\n(.*?)^```$", PAGE, re.M | re.S))
    assert blocks.keys() == {"dump", "files", "compose", "restore", "replace", "compose-restore", "still"}
    before = content(source)
    for name, url in (
        ("dump", source),
        ("files", source),
        ("restore", empty_database_url),
        ("replace", empty_database_url),
        ("still", source),
    ):
        done = subprocess.run(
            ["bash", "-euc", blocks[name]],
            cwd=tmp_path,
            env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "DATABASE_URL": url},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (name, done.stdout, done.stderr)
    assert content(empty_database_url)["thumbnails"] == before["thumbnails"]
    made = sorted((tmp_path / "backups").iterdir())
    assert [path.name.partition("-")[0] for path in made] == ["everything.tar.gz", "home", "thumbrank"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o600}
