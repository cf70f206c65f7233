"""Vectors and readings that nothing uses any more: of pictures and titles that are no longer stored, of encoders that no
set names, of measures that the code no longer has. All of them can be computed again.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import LiteralString

import psycopg
from psycopg import sql

from thumbrank_core.features.specs import PRECISIONS, Spec
from thumbrank_core.retention.cascade import orphans
from thumbrank_core.retention.tables import TABLES, Addressed
from thumbrank_core.store.database import Database

UNNAMED, NO_CODE, NOTHING_STORED = "no set names it", "no longer measured", "picture or title no longer stored"


@dataclass(frozen=True)
class Pruned:
    """Rows of one encoder (`kind` vectors) or one measure (`kind` readings) that went or would go, and why.

    `size`: bytes of the vectors alone; 0 of readings.
    """

    kind: str
    of: str
    because: str
    rows: int
    size: int


# What went of each encoder or measure: its id, rows and bytes.
_GONE: dict[str, tuple[str, LiteralString]] = {
    "embeddings": (
        "vectors",
        "with gone as (delete from thumbrank.embeddings r where {} returning r.encoder_key) "
        "select e.encoder_id, count(*), count(*) * e.dimension * 2 from gone join thumbrank.encoders e using (encoder_key) "
        "group by e.encoder_key order by 1",
    ),
    "sub_score_signals": (
        "readings",
        "with gone as (delete from thumbrank.sub_score_signals r where {} returning r.measure_key) "
        "select m.measure_id, count(*), 0 from gone join thumbrank.measures m using (measure_key) "
        "group by m.measure_key order by 1",
    ),
}
_UNNAMED: LiteralString = (
    "r.encoder_key in (select encoder_key from thumbrank.encoders where encoder_id <> all(%(known)s))"
)
_NO_CODE: LiteralString = (
    "r.measure_key in (select measure_key from thumbrank.measures where measure_id <> all(%(known)s))"
)


def prune(database: Database, specs: Iterable[Spec], measure_ids: Collection[str], *, dry_run: bool) -> list[Pruned]:
    """Remove them, or with `dry_run` count them; in one transaction either way.

    Args:
        database: where they are.
        specs: the encoders whose vectors stay.
        measure_ids: the measures whose readings stay.
        dry_run: remove nothing.
    """
    with database.connection() as connection, connection.transaction(force_rollback=dry_run):
        pruned = _remove(connection, "embeddings", UNNAMED, _UNNAMED, {"known": _encoder_ids(specs)})
        pruned += _remove(connection, "sub_score_signals", NO_CODE, _NO_CODE, {"known": list(measure_ids)})
        for rule in TABLES:
            if isinstance(rule, Addressed):
                for of_kind, digests in orphans(connection, rule, None):
                    which: LiteralString = "(" + of_kind + ") and r.sha256 = any(%(digests)s::bytea[])"
                    pruned += _remove(connection, rule.table, NOTHING_STORED, which, {"digests": sorted(digests)})
    return pruned


def _encoder_ids(specs: Iterable[Spec]) -> list[str]:
    """Every id that the encoders may write under: a precision that is left open may be any."""
    return sorted(
        {spec.id_in(precision) for spec in specs for precision in PRECISIONS if spec.precision in ("auto", precision)}
    )


def _remove(
    connection: psycopg.Connection, table: str, because: str, which: LiteralString, parameters: dict[str, object]
) -> list[Pruned]:
    kind, statement = _GONE[table]
    rows = connection.execute(sql.SQL(statement).format(sql.SQL(which)), parameters).fetchall()
    return [Pruned(kind, str(of), because, int(number), int(size)) for of, number, size in rows]
