"""COPY in and out, and the upsert, against a real Postgres."""

import datetime as dt
from collections.abc import Generator, Iterator

import numpy as np
import psycopg
import pytest
from psycopg import sql

from thumbrank_core.store.copy import Column, Upserted, copy_in, copy_out, upsert
from thumbrank_core.store.database import Connection, Database
from thumbrank_core.store.errors import CopyError

TYPES = {
    "i2": "int2",
    "i4": "int4",
    "i8": "int8",
    "f4": "float4",
    "f8": "float8",
    "t": "text",
    "ts": "timestamptz",
    "b": "bool",
    "raw": "bytea",
    "tags": "text[]",
    "d": "date",
    "j": "jsonb",
}
COLUMNS = [Column(name, kind) for name, kind in TYPES.items()]
UTC = dt.UTC
FULL = (
    -(2**15),
    2**31 - 1,
    -(2**63),
    0.5,
    1 / 3,
    '=HYPERLINK("x") \u65e5\u672c \U0001f600 \\N \t\n"',
    dt.datetime(2026, 2, 28, 23, 59, 59, 123456, tzinfo=UTC),
    True,
    b"\x00\xff\\x",
    ["a,b", '"q"', "", "NULL", "{x}"],
    dt.date(1970, 1, 1),
    {"k": [1, None, "=x"]},
)
EMPTY = (0, 0, 0, 0.0, -0.0, "", dt.datetime(1970, 1, 1, tzinfo=UTC), False, b"", [], dt.date(9999, 12, 31), [])
NULLS = (None,) * len(COLUMNS)


@pytest.fixture
def conn(empty_database_url: str) -> Iterator[Connection]:
    with Database(empty_database_url) as database, database.connection() as connection:
        connection.execute("create schema thumbrank")
        yield connection


@pytest.fixture
def videos(conn: Connection) -> Connection:
    conn.execute(
        "create table thumbrank.v (key integer generated always as identity, video_id text primary key, "
        "title text not null, views int8 check (views >= 0))"
    )
    return conn


VIDEO = [Column("video_id", "text"), Column("title", "text"), Column("views", "int8")]


def make_table(conn: Connection) -> None:
    body = ", ".join(f"{name} {kind}" for name, kind in TYPES.items())
    conn.execute(f"create table thumbrank.every_type ({body})".encode())


def all_rows(conn: Connection) -> list[tuple]:
    return conn.execute("select video_id, title, views from thumbrank.v order by video_id").fetchall()


def test_every_type_comes_back_as_it_went_in(conn: Connection) -> None:
    make_table(conn)
    assert copy_in(conn, "thumbrank.every_type", COLUMNS, [FULL, EMPTY, NULLS]) == 3
    assert list(copy_out(conn, "select * from thumbrank.every_type", None, list(TYPES.values()))) == [
        FULL,
        EMPTY,
        NULLS,
    ]


def test_numpy_numbers_go_in_as_their_columns_types(conn: Connection) -> None:
    conn.execute("create table thumbrank.n (a int4, b float4, c bool, d float8)")
    columns = [Column("a", "int4"), Column("b", "float4"), Column("c", "bool"), Column("d", "float8")]
    copy_in(conn, "thumbrank.n", columns, [(np.int64(3), np.float32(0.5), np.bool_(False), np.float64(0.1))])
    assert conn.execute("select * from thumbrank.n").fetchone() == (3, 0.5, False, 0.1)


def test_ten_thousand_rows_in_and_out(videos: Connection) -> None:
    rows = [(f"-{number:05d}", f"+{number}", number) for number in range(10_000)]
    assert copy_in(videos, "thumbrank.v", VIDEO, iter(rows)) == 10_000
    query = "select video_id, title, views from thumbrank.v where views >= %s order by video_id"
    assert list(copy_out(videos, query, [5_000], ["text", "text", "int8"])) == rows[5_000:]


def test_copy_out_left_half_way_costs_its_transaction_and_no_more(db: Database) -> None:
    with pytest.raises(psycopg.errors.InFailedSqlTransaction), db.connection() as connection:
        stream = copy_out(connection, "select n from generate_series(1, 1000000) n", None, ["int4"])
        assert next(stream) == (1,)
        assert isinstance(stream, Generator)
        stream.close()
        connection.execute("select 1")
    with db.connection() as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_copy_out_takes_composed_queries_and_named_values(videos: Connection) -> None:
    copy_in(videos, "thumbrank.v", VIDEO, [("a", "50%", 1)])
    query = sql.SQL("select {} from thumbrank.v where title = %(title)s and title like '%%'").format(
        sql.Identifier("video_id")
    )
    assert list(copy_out(videos, query, {"title": "50%"}, ["text"])) == [("a",)]


def test_vectors_survive_the_database(conn: Connection) -> None:
    conn.execute("create table thumbrank.e (k int4, v bytea)")
    vectors = [row.tobytes() for row in np.random.default_rng(1).normal(size=(50, 64)).astype(np.float16)]
    copy_in(conn, "thumbrank.e", [Column("k", "int4"), Column("v", "bytea")], enumerate(vectors))
    kept = [bytes(value) for (value,) in copy_out(conn, "select v from thumbrank.e order by k", None, ["bytea"])]
    assert kept == vectors


def test_upsert_counts_what_is_new_and_what_was_there(videos: Connection) -> None:
    first = upsert(videos, "thumbrank.v", VIDEO, [("a", "A", 1), ("b", "B", 2)], ["video_id"])
    assert first == Upserted(inserted=2, updated=0)
    second = upsert(videos, "thumbrank.v", VIDEO, [("b", "B2", 3), ("c", "C", None)], ["video_id"])
    assert second == Upserted(inserted=1, updated=1)
    assert all_rows(videos) == [("a", "A", 1), ("b", "B2", 3), ("c", "C", None)]


def test_upsert_of_nothing_is_nothing(videos: Connection) -> None:
    assert upsert(videos, "thumbrank.v", VIDEO, [], ["video_id"]) == Upserted(0, 0)


def test_of_one_key_twice_in_a_batch_the_last_counts(videos: Connection) -> None:
    rows = [("a", "first", 9), ("b", "B", 1), ("a", "second", 2), ("a", "last", 1)]
    assert upsert(videos, "thumbrank.v", VIDEO, rows, ["video_id"]).inserted == 2
    assert all_rows(videos) == [("a", "last", 1), ("b", "B", 1)]


def test_upsert_changes_only_the_columns_named(videos: Connection) -> None:
    upsert(videos, "thumbrank.v", VIDEO, [("a", "A", 1)], ["video_id"])
    upsert(videos, "thumbrank.v", VIDEO, [("a", "other", 5)], ["video_id"], update=["views"])
    assert all_rows(videos) == [("a", "A", 5)]


def test_upsert_with_nothing_to_change_leaves_what_is_there(videos: Connection) -> None:
    upsert(videos, "thumbrank.v", VIDEO, [("a", "A", 1)], ["video_id"])
    assert upsert(videos, "thumbrank.v", VIDEO, [("a", "x", 9), ("b", "B", 2)], ["video_id"], update=[]) == Upserted(
        1, 0
    )
    assert all_rows(videos) == [("a", "A", 1), ("b", "B", 2)]


def test_upsert_returns_generated_keys_of_new_and_old_rows(videos: Connection) -> None:
    upsert(videos, "thumbrank.v", VIDEO, [("a", "A", 1)], ["video_id"])
    done = upsert(
        videos, "thumbrank.v", VIDEO, [("b", "B", 1), ("a", "A", 1)], ["video_id"], returning=["video_id", "key"]
    )
    assert {video: key > 0 for video, key in done.rows} == {"a": True, "b": True}
    assert len({key for _, key in done.rows}) == 2


def test_titles_and_ids_that_look_like_formulas_or_options_are_text(videos: Connection) -> None:
    rows = [("-dash", "=1+1", 1), ("--", "+49", 2), ("-- x", "-1", 3), ("@", "@SUM(A1)", 4), ("\\.", "'; drop", 5)]
    upsert(videos, "thumbrank.v", VIDEO, rows, ["video_id"])
    assert sorted(all_rows(videos)) == sorted(rows)


def test_upsert_into_a_partitioned_table_with_a_domain(db: Database) -> None:
    columns = [Column("niche", "text"), Column("a_key", "int4"), Column("b_key", "int4"), Column("weight", "float4")]
    with db.connection() as connection:
        connection.execute(
            "create table thumbrank.p (niche thumbrank.niche, a_key int, b_key int, weight real, "
            "primary key (niche, a_key, b_key)) partition by list (niche)"
        )
        connection.execute("create table thumbrank.p_tech partition of thumbrank.p for values in ('tech')")
        key = ["niche", "a_key", "b_key"]
        assert upsert(connection, "thumbrank.p", columns, [("tech", 1, 2, 0.5)], key) == Upserted(1, 0)
        assert upsert(connection, "thumbrank.p", columns, [("tech", 1, 2, 1), ("tech", 2, 3, 1)], key) == Upserted(1, 1)


def test_upsert_works_in_autocommit_and_leaves_no_table(empty_database_url: str) -> None:
    from thumbrank_core.store.database import connect

    with connect(empty_database_url, autocommit=True) as connection:
        connection.execute("create table t (id text primary key)")
        upsert(connection, "t", [Column("id", "text")], [("a",)], ["id"])
        assert connection.execute("select count(*) from pg_class where relname like 'thumbrank_batch%'").fetchone() == (
            0,
        )
        assert connection.execute("select id from t").fetchone() == ("a",)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (("b", "nul\x00", 1), "column title of row 2"),
        (("b", "half \ud83d", 1), "column title of row 2"),
        (("b", "B", 2**63), "column views of row 2"),
        (("b", "B", "many"), "column views of row 2"),
        (("b", "B"), "row 2 for thumbrank.v .*2 values for 3 columns"),
        (("b", None, 1), "null value"),
        (("b", "B", -1), "check constraint"),
        (("a", "B", 1), "duplicate key"),
    ],
)
def test_a_row_that_cannot_be_stored_is_named_and_nothing_is_kept(db: Database, row: tuple, said: str) -> None:
    with db.connection() as connection:
        connection.execute(
            "create table thumbrank.v (video_id text primary key, title text not null, views int8 check (views >= 0))"
        )
    with pytest.raises(CopyError, match=said) as caught, db.connection() as connection:
        copy_in(connection, "thumbrank.v", VIDEO, [("a", "A", 1), row])
    assert len(str(caught.value).splitlines()) == 1
    with db.connection() as connection:
        assert all_rows(connection) == []


def test_an_upsert_that_breaks_a_rule_is_one_sentence(videos: Connection) -> None:
    with pytest.raises(
        CopyError, match=r"break a rule of it .* nothing was written; correct them where they come from"
    ):
        upsert(videos, "thumbrank.v", VIDEO, [("a", "A", -1)], ["video_id"])
    with pytest.raises(CopyError, match="unique"):
        upsert(videos, "thumbrank.v", VIDEO, [("a", "A", 1)], ["title"])


def test_a_type_that_is_not_one_is_refused_before_any_sql(videos: Connection) -> None:
    for wrong in ("nonsense", "int4); drop table thumbrank.v; --", ""):
        with pytest.raises(CopyError, match="not known"):
            upsert(videos, "thumbrank.v", [Column("video_id", wrong)], [("a",)], ["video_id"])


def test_column_names_are_quoted(conn: Connection) -> None:
    conn.execute('create table thumbrank."Odd ""name" ("select" int4 primary key, "a b" text)')
    columns = [Column("select", "int4"), Column("a b", "text")]
    assert upsert(conn, 'thumbrank.Odd "name', columns, [(1, "x")], ["select"]).inserted == 1
