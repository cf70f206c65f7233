"""Write docs/data-dictionary.md: every table, view and column as the migrated database itself describes them.

Starts an embedded Postgres of its own, applies sql/migrations to it and reads its catalog, so that the page says what is
there and not what somebody remembers. A test holds the page and the catalog together.

Run: .venv/bin/python scripts/make_data_dictionary.py
"""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from thumbrank_core.paths import migrations_folder
from thumbrank_core.policy import load_policy
from thumbrank_core.retention.tables import TABLES, Addressed, Rows, Stays
from thumbrank_core.store.embedded import EmbeddedPostgres
from thumbrank_core.store.migrate import migrate

PAGE = Path(__file__).resolve().parents[1] / "docs" / "data-dictionary.md"

GROUPS: dict[str, tuple[str, tuple[str, ...]]] = {
    "Observed": (
        "What was seen, by the API or in a team's own data set, and what could not be had. Upserted or appended, never overwritten "
        "with a guess.",
        ("channels", "discoveries", "thumbnails", "view_snapshots", "picture_versions", "misses"),
    ),
    "Derived": (
        "What is computed of the observed tables. Baselines, labels and pairs are replaced for one niche in one transaction; "
        "vectors and readings are kept by the digest of what they are of.",
        (
            "channel_baselines",
            "growth_curves",
            "video_labels",
            "training_pairs",
            "pair_builds",
            "encoders",
            "embeddings",
            "measures",
            "sub_score_signals",
            "embedding_runs",
            "drift_readings",
        ),
    ),
    "Owners'": (
        "Real figures and tests, which are their owner's: never mixed with the proxies, never added up over owners.",
        ("reach_daily", "reach_owners", "reach_reports", "ab_outcomes", "ab_variants"),
    ),
    "Model": (
        "What models were measured at, and which of them served when.",
        ("model_evaluations", "promotions", "training_months"),
    ),
    "Operations": (
        "Where collections stand, what they spent, what was removed, and what the team was told.",
        (
            "collection_runs",
            "collection_progress",
            "collection_queue",
            "quota_ledger",
            "tombstones",
            "retention_audit",
            "monthly_digests",
            "schema_migrations",
        ),
    ),
}
"""Every table once; a test fails until a new one has its place."""

SHORT_TYPES = {
    "timestamp with time zone": "timestamptz",
    "double precision": "float8",
    "real": "float4",
    "bigint": "int8",
    "integer": "int4",
    "smallint": "int2",
    "thumbrank.niche": "niche",
}
COLUMNS = """
    select a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid),
           a.attidentity <> '', col_description(a.attrelid, a.attnum)
    from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attrelid = %s::regclass and a.attnum > 0 and not a.attisdropped order by a.attnum
"""
CONSTRAINTS = """
    select contype, pg_get_constraintdef(oid, true) from pg_constraint
    where conrelid = %s::regclass and contype in ('p', 'u', 'f', 'c') order by position(contype in 'pufc'), conname
"""
INDEXES = """
    select pg_get_indexdef(i.indexrelid) from pg_index i
    where i.indrelid = %s::regclass and not exists (select from pg_constraint c where c.conindid = i.indexrelid) order by 1
"""
RELATIONS = """
    select c.relname, c.relkind, obj_description(c.oid, 'pg_class') from pg_class c
    where c.relnamespace = 'thumbrank'::regnamespace and c.relkind in ('r', 'p', 'v') and not c.relispartition order by 1
"""
LEAF = "select min(relid::regclass::text) from pg_partition_tree(%s::regclass) where isleaf and level > 0"
READABLE = "select has_table_privilege('thumbrank_reader', %s::regclass, 'select')"


@dataclass(frozen=True)
class Column:
    """One column as the catalog knows it."""

    name: str
    kind: str
    required: bool
    default: str
    says: str | None


@dataclass(frozen=True)
class Relation:
    """A table or a view. `rules`: keys, references, checks and indexes, each in SQL's own words."""

    name: str
    view: bool
    says: str | None
    columns: tuple[Column, ...]
    rules: tuple[str, ...]
    readable: bool


def relations(connection: psycopg.Connection) -> dict[str, Relation]:
    """Every table and view of the schema; a partition is its parent's."""
    return {
        name: Relation(
            name,
            kind == "v",
            says,
            tuple(_column(*row) for row in connection.execute(COLUMNS, (f"thumbrank.{name}",)).fetchall()),
            () if kind == "v" else _rules(connection, f"thumbrank.{name}"),
            bool(_value(connection, READABLE, f"thumbrank.{name}")),
        )
        for name, kind, says in connection.execute(RELATIONS).fetchall()
    }


def _value(connection: psycopg.Connection, statement: Any, parameter: str) -> Any:
    row = connection.execute(statement, (parameter,)).fetchone()
    assert row is not None
    return row[0]


def _column(name: str, kind: str, required: bool, default: str | None, identity: bool, says: str | None) -> Column:
    short, _, array = kind.partition("[")
    shown = "counted" if identity else _shorter(default or "")
    return Column(name, SHORT_TYPES.get(short, short) + ("[]" if array else ""), required, shown, says)


def _rules(connection: psycopg.Connection, table: str) -> tuple[str, ...]:
    constraints = [definition for _, definition in connection.execute(CONSTRAINTS, (table,)).fetchall()]
    leaf = _value(connection, LEAF, table)
    if leaf is not None:  # the key is the partition's, and every one has the same
        constraints += [
            f"{definition} in each niche"
            for kind, definition in connection.execute(CONSTRAINTS, (leaf,)).fetchall()
            if kind == "p"
        ]
    indexes = [row[0] for row in connection.execute(INDEXES, (table,)).fetchall()]
    return tuple(_shorter(text) for text in (*constraints, *indexes))


def _shorter(text: str) -> str:
    """As it was written: without the casts and the index's name that Postgres adds."""
    for long, short in (
        ("::text[]", ""),
        ("::text", ""),
        ("::jsonb", ""),
        ("::real", ""),
        ("::double precision", ""),
        ("thumbrank.", ""),
        (" USING btree", ""),
    ):
        text = text.replace(long, short)
    return text


ITEMS = {"channels": "the channel", "thumbnails": "the video"}


def retention(table: str) -> str:
    """What a removal does to its rows, in a sentence; the conditions are thumbrank_core/retention/tables.py."""
    rule = next(rule for rule in TABLES if rule.table == table)
    if table in ITEMS:
        return f"goes when {ITEMS[table]} expires, unread for too long, or is forgotten."
    if isinstance(rule, Stays):
        return f"stays: {rule.because}."
    if isinstance(rule, Addressed):
        return "goes with the last stored picture or title of its digest."
    assert isinstance(rule, Rows)
    parts = [part for part in (_with_items(rule), _by_age(rule)) if part]
    if rule.pictures:
        parts.append("a picture's file goes with the last row that names it")
    return "; ".join(parts) + "."


def _with_items(rule: Rows) -> str:
    condition = rule.with_items
    if condition == "false":
        return ""
    if "removal_labels" in condition:
        return "goes with the labels that it is made of"
    of = [name for name in ("channel", "video") if f"removal_{name}s" in condition]
    when = "is forgotten, not when that expires" if rule.only_forgotten else "is removed"
    return f"goes when its {' or '.join(of)} {when}"


def _by_age(rule: Rows) -> str:
    condition = rule.by_age or ""
    if "collection_runs" in condition or rule.table == "collection_runs":
        return "goes with a collection that was abandoned"
    if "reach_owners" in condition or rule.table == "reach_owners":
        return "goes when Google has not confirmed the owner's consent for too long" + (
            ", where it came from the Reporting API" if "reporting_api" in condition else ""
        )
    return "of API data, goes by its own age" if condition else ""


def dictionary(connection: psycopg.Connection) -> str:
    """The page."""
    found = relations(connection)
    days = load_policy().retention.days
    lines = [
        "# Data dictionary",
        "",
        "Made by `scripts/make_data_dictionary.py` from the migrated database itself: its comments, types, keys and checks. They are "
        "mended in a migration, and the page is made again. Schema `thumbrank`; types by their short names; `niche` is text, one "
        "of six keys. Times are instants, shown in the reader's zone. Default `counted`: the next number.",
        "",
        "**Retention.** Each table says what a removal does to it. Rows of the API carry `expires_at`, and go after "
        f"{days} days without a refresh (config/policy.yaml); a team's own rows and the simulator's have no date. What is removed by name "
        "(`thumbrank forget`) goes from every table at once.",
        "",
        "**Who may read.** The role `thumbrank_reader` reads the views marked so and no table ([data-out.md](data-out.md)).",
        "",
    ]
    for group, (says, tables) in GROUPS.items():
        lines += [f"## {group}", "", says, ""]
        for table in tables:
            lines += _section(found[table], f"Retention: {retention(table)}")
    lines += [
        "## Views",
        "",
        "What is read of the tables; nothing is stored in them, so that what is removed is gone at once.",
        "",
    ]
    for relation in found.values():
        if relation.view:
            lines += _section(relation, "Read by `thumbrank_reader`." if relation.readable else "For our own queries.")
    return "\n".join(lines).rstrip() + "\n"


def _section(relation: Relation, note: str) -> list[str]:
    rows = [_row(relation, column) for column in relation.columns]
    head = ["| column | type | meaning |", "|---|---|---|"]
    if not relation.view:
        head = ["| column | type | null | default | meaning |", "|---|---|---|---|---|"]
    return [
        f"### {relation.name}",
        "",
        relation.says or "",
        "",
        note,
        "",
        *head,
        *rows,
        "",
        *(f"- `{rule}`" for rule in relation.rules),
        *([""] if relation.rules else []),
    ]


def _row(relation: Relation, column: Column) -> str:
    says = (column.says or "").replace("|", "\\|")
    if relation.view:
        return f"| {column.name} | {column.kind} | {says} |"
    default = f"`{column.default}`" if column.default else ""
    return f"| {column.name} | {column.kind} | {'' if column.required else 'null'} | {default} | {says} |"


def main() -> None:
    # Not below a private folder: as root the server runs under another account.
    home = Path(tempfile.mkdtemp(prefix="thumbrank-dictionary-"))
    home.chmod(0o711)
    try:
        with EmbeddedPostgres(home, durable=False) as server:
            url = server.create_database("dictionary")
            migrate(url, migrations_folder())
            with psycopg.connect(url) as connection:
                PAGE.write_text(dictionary(connection), encoding="utf-8")
    finally:
        shutil.rmtree(home)
    print(f"{PAGE.relative_to(PAGE.parents[1])}: written")


if __name__ == "__main__":
    main()
