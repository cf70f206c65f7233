"""Whole columns by binary COPY against what ordinary SQL reads and writes."""

from datetime import UTC, datetime

import numpy as np
import pytest

from thumbrank_core.store import arrays
from thumbrank_core.store.arrays import moment, moments, read_all, read_rows, write_rows
from thumbrank_core.store.errors import CopyError

KIND = np.dtype([("a", "i4"), ("b", "f8"), ("c", "i2"), ("d", "f4"), ("e", "i8")])
QUERY = (
    "select n::int4, n / 3.0::float8, (n %% 7)::int2, (n / 2.0)::float4, n::int8 * 10000000000 "
    "from generate_series(1, %(rows)s) n order by n"
)


@pytest.mark.parametrize("rows", [0, 1, 999])
def test_columns_come_as_sql_has_them(db, rows):
    with db.connection() as connection:
        found = read_all(connection, QUERY, {"rows": rows}, KIND)
        assert found.dtype == KIND
        assert found.tolist() == connection.execute(QUERY, {"rows": rows}).fetchall()


def test_chunks_are_bounded_and_lose_nothing_at_their_borders(db, monkeypatch):
    monkeypatch.setattr(arrays, "CHUNK_ROWS", 100)
    with db.connection() as connection:
        chunks = list(read_rows(connection, QUERY, {"rows": 50_000}, KIND))
    assert len(chunks) > 10
    assert np.concatenate(chunks)["a"].tolist() == list(range(1, 50_001))


def test_chunks_of_wide_rows_are_bounded_in_bytes_and_keep_zeros_at_the_end(db, monkeypatch):
    monkeypatch.setattr(arrays, "CHUNK_BYTES", 100_000)
    query = "select n::int4, int4send(n) || decode(repeat('00', 996), 'hex') from generate_series(1, 3000) n order by n"
    with db.connection() as connection:
        chunks = list(read_rows(connection, query, None, [("n", "i4"), ("bytes", "S1000")]))
    assert max(chunk.nbytes for chunk in chunks) < 300_000
    rows = np.concatenate(chunks)
    numbers = np.ascontiguousarray(rows["bytes"]).view(">i4").reshape(-1, 250)
    assert rows["n"].tolist() == numbers[:, 0].tolist() == list(range(1, 3001))
    assert not numbers[:, 1:].any()


@pytest.mark.parametrize(
    "query",
    [
        "select 1::int4, 2::int4 from generate_series(1, 3)",
        "select null::int4 from generate_series(1, 3)",
        "select case when n = 2 then null else n end::int4 from generate_series(1, 3) n",
        "select 1::int8",
        "select 'some text'",
    ],
)
def test_a_null_or_another_width_is_an_error_and_never_a_wrong_number(db, query):
    with pytest.raises(CopyError, match="null or of another type"), db.connection() as connection:
        read_all(connection, query, None, [("a", "i4")])


def test_what_is_written_is_what_sql_reads(db):
    rows = np.zeros(3, dtype=[("key", "i4"), ("niche", "S4"), ("value", "f8"), ("seen", "i8")])
    rows["key"], rows["niche"], rows["value"] = [1, 2, 3], b"tech", [0.5, np.inf, -1e300]
    when = datetime(2026, 8, 1, 12, 30, 15, 123456, tzinfo=UTC)
    rows["seen"] = (when - arrays.EPOCH).total_seconds() * 1e6
    with db.connection() as connection:
        connection.execute("create temporary table t (key int4, niche text, value float8, seen timestamptz)")
        assert write_rows(connection, "t", iter([rows[:2], rows[2:]])) == 3
        found = connection.execute("select key, niche, value, seen from t order by key").fetchall()
    assert found == [(1, "tech", 0.5, when), (2, "tech", np.inf, when), (3, "tech", -1e300, when)]
    assert moment(int(rows["seen"][0])) == when
    assert moments(rows["seen"])[0] == pytest.approx(when.timestamp(), abs=1e-5)


def test_nothing_to_write_writes_nothing(db):
    with db.connection() as connection:
        assert write_rows(connection, "thumbrank.video_labels", []) == 0


def test_a_row_that_breaks_a_rule_is_one_sentence(db):
    row = np.zeros(1, dtype=[("key", "i4")])
    with (
        pytest.raises(CopyError, match="nothing was written; correct them where they come from"),
        db.connection() as connection,
    ):
        connection.execute("create temporary table t (key int4 check (key > 0))")
        write_rows(connection, "t", [row])
