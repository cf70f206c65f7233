"""What a niche's rows of a table look like from outside: its columns as the catalog documents them, how many rows there are
and how many of their values are missing. Aggregates only: no title, no id and no row ever leaves this module, so that what
it finds may be kept where retention does not reach.

What belongs here: the tables that steps show. What the columns mean is written in the migrations, once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, LiteralString

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

Step = Literal["videos", "pictures", "baselines", "pairs", "embeddings"]

WEEKS = 104
"""As far back as `videos_by_week` looks from the newest video."""


@dataclass(frozen=True)
class Column:
    """A column of a table. `description` is its comment, or that of the column of a documented view which shows the same."""

    name: str
    type: str
    description: str | None
    nullable: bool


@dataclass(frozen=True)
class Overview:
    """A table from one niche's side.

    `rows`: None where only the step itself can count them. `null_rates`: the share of the niche's rows without a value, by
    column that may be without one; empty without rows. `sample`: a query for a person who wants to see rows.
    """

    table: str
    columns: tuple[Column, ...]
    rows: int | None
    null_rates: Mapping[str, float]
    sample: str


@dataclass(frozen=True)
class _Table:
    """`rows`: the niche's, under the name r; None where no column may be null and the step counts the rows itself.
    `shown_as`: column -> the view's column that shows the same value and says what it is."""

    name: LiteralString
    view: LiteralString
    rows: LiteralString | None
    sample: LiteralString
    shown_as: Mapping[str, str]


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


_OF_VIDEO: LiteralString = "join thumbrank.channels c using (channel_key) where c.niche = %(niche)s"

# Samples ask the documented views (docs/data-out.md): the role thumbrank_reader may read those and nothing else.
_TABLES: dict[Step, _Table] = {
    "videos": _Table(
        "thumbrank.thumbnails",
        "thumbrank.videos",
        f"thumbrank.thumbnails r {_OF_VIDEO}",
        "select channel_title, title, published_at, kind, view_count, observed_at from thumbrank.videos "
        "where niche = 'NICHE' order by published_at desc limit 20;",
        _same(
            "video_id",
            "published_at",
            "live_broadcast",
            "category_id",
            "language",
            "made_for_kids",
            "source",
            "fetched_at",
        ),
    ),
    "pictures": _Table(
        "thumbrank.picture_versions",
        "thumbrank.videos",
        f"thumbrank.picture_versions r join thumbrank.thumbnails t using (video_key) {_OF_VIDEO}",
        "select video_id, title, picture_sha256, picture_changed_at from thumbrank.videos "
        "where niche = 'NICHE' and picture_sha256 is not null order by published_at desc limit 20;",
        {},
    ),
    "baselines": _Table(
        "thumbrank.channel_baselines",
        "thumbrank.channels_with_baselines",
        "thumbrank.channel_baselines r where r.niche = %(niche)s",
        "select channel_title, split, baseline_videos, mean_views_per_hour, growth from thumbrank.channels_with_baselines "
        "where niche = 'NICHE' and baseline_videos is not null order by baseline_videos desc limit 20;",
        _same("niche")
        | {
            "video_count": "baseline_videos",
            "median_log_vph": "median_log_views_per_hour",
            "mean_vph": "mean_views_per_hour",
            "sd_vph": "sd_views_per_hour",
        },
    ),
    "pairs": _Table(
        "thumbrank.training_pairs",
        "thumbrank.pairs",
        None,
        "select channel_id, split, a_video_id, b_video_id, outcome, margin, age_gap_hours from thumbrank.pairs "
        "where niche = 'NICHE' limit 20;",
        _same("niche"),
    ),
    "embeddings": _Table(
        "thumbrank.embeddings",
        "thumbrank.videos",
        None,
        "select video_id, title, picture_sha256, label_value from thumbrank.videos "
        "where niche = 'NICHE' and label_value is not null order by published_at desc limit 20;",
        {},
    ),
}


def overview(connection: psycopg.Connection[Any], step: Step, niche: str) -> Overview:
    """Look at the table that a step writes, from the niche's side."""
    table = _TABLES[step]
    columns = _columns(connection, table)
    rows, null_rates = None, dict[str, float]()
    if table.rows is not None:
        rows, null_rates = _nulls(connection, table.rows, niche, [each.name for each in columns if each.nullable])
    return Overview(table.name, columns, rows, null_rates, table.sample.replace("NICHE", niche))


def table_columns(connection: psycopg.Connection[Any], name: LiteralString) -> tuple[Column, ...]:
    """The columns of a table or view that no niche owns."""
    return _columns(connection, _Table(name, name, None, "", {}))


def videos_by_week(connection: psycopg.Connection[Any], niche: str) -> dict[date, int]:
    """How many of the niche's stored videos were published in each week (its Monday, UTC), of the last two years that have any."""
    found = connection.execute(
        "with weeks as (select date_trunc('week', t.published_at at time zone 'UTC')::date as week, count(*)::int as videos "
        "from thumbrank.thumbnails t join thumbrank.channels c using (channel_key) where c.niche = %(niche)s group by week) "
        "select week, videos from weeks where week > (select max(week) from weeks) - 7 * %(weeks)s order by week",
        {"niche": niche, "weeks": WEEKS},
    ).fetchall()
    return dict(found)


def _columns(connection: psycopg.Connection[Any], table: _Table) -> tuple[Column, ...]:
    found = connection.execute(
        "select a.attname, format_type(a.atttypid, a.atttypmod), "
        "coalesce(col_description(a.attrelid, a.attnum), col_description(v.attrelid, v.attnum)), not a.attnotnull "
        "from pg_attribute a left join pg_attribute v on v.attrelid = %(view)s::regclass and v.attname = %(shown_as)s::jsonb ->> a.attname "
        "where a.attrelid = %(table)s::regclass and a.attnum > 0 and not a.attisdropped order by a.attnum",
        {"table": table.name, "view": table.view, "shown_as": Jsonb(table.shown_as)},
    ).fetchall()
    return tuple(Column(*row) for row in found)


def _nulls(
    connection: psycopg.Connection[Any], rows: LiteralString, niche: str, nullable: list[str]
) -> tuple[int, dict[str, float]]:
    counts = sql.SQL(", ").join(
        [sql.SQL("count(*)"), *(sql.SQL("count({})").format(sql.Identifier("r", name)) for name in nullable)]
    )
    row = connection.execute(sql.SQL("select {} from ").format(counts) + sql.SQL(rows), {"niche": niche}).fetchone()
    assert row is not None, "an aggregate without group by returns one row"
    total, *known = map(int, row)
    return total, {name: 1 - count / total for name, count in zip(nullable, known, strict=True)} if total else {}
