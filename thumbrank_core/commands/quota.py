"""`thumbrank quota`: what was spent of today's units, by bucket and niche."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import typer
from rich.table import Table

from thumbrank_core.commands.common import COLLECT, JsonOption, opened, print_json, stdout
from thumbrank_core.settings import Settings

if TYPE_CHECKING:
    from thumbrank_core.policy import QuotaPolicy

app = typer.Typer()


@dataclass(frozen=True)
class NicheSpent:
    """Units of one niche; `reserved`: kept by its running collection; `exhausted_at`: when YouTube said that nothing is left."""

    niche: str
    spent: int
    reserved: int
    exhausted_at: datetime | None


@dataclass(frozen=True)
class BucketSpent:
    """One bucket: units a day, and spent of them in all."""

    bucket: str
    limit: int
    spent: int
    niches: tuple[NicheSpent, ...]


@dataclass(frozen=True)
class QuotaOut:
    """What --json prints. `day` is a Pacific one."""

    day: date
    resets_at: datetime
    buckets: tuple[BucketSpent, ...]


@app.command("quota", rich_help_panel=COLLECT)
def quota_command(as_json: JsonOption = False) -> None:
    """Show what was spent of today's three buckets, by niche.

    Keys of --json: day, resets_at, buckets (each: bucket, limit, spent, niches with spent, reserved, exhausted_at).

    Example: thumbrank quota --json
    """
    from thumbrank_core.policy import load_policy
    from thumbrank_core.youtube.quota import next_reset, pacific_date

    settings = Settings.read()
    limits = load_policy(profile=settings.profile).quota
    now = datetime.now(UTC)
    with opened(settings) as database, database.connection() as connection:
        day = pacific_date(now)
        if settings.youtube_api_endpoint is not None:
            # A simulator's days are its own: the newest in the ledger is meant.
            row = connection.execute("select max(pacific_date) from thumbrank.quota_ledger").fetchone()
            day = row[0] if row and row[0] else day
        rows = connection.execute(
            "select bucket, niche::text, spent, reserved, exhausted_at from thumbrank.quota_ledger "
            "where pacific_date = %s order by bucket, niche",
            (day,),
        ).fetchall()
    found = QuotaOut(day, next_reset(now), _buckets(limits, rows))
    if as_json:
        print_json(found)
    else:
        _show(found)


def _buckets(
    limits: "QuotaPolicy", rows: Sequence[tuple[str, str, int, int, datetime | None]]
) -> tuple[BucketSpent, ...]:
    from thumbrank_core.youtube.quota import BUCKETS

    found: list[BucketSpent] = []
    for bucket in BUCKETS:
        niches = tuple(NicheSpent(*row[1:]) for row in rows if row[0] == bucket)
        found.append(BucketSpent(bucket, getattr(limits, bucket), sum(niche.spent for niche in niches), niches))
    return tuple(found)


def _show(found: QuotaOut) -> None:
    table = Table(title=f"Quota on {found.day} (Pacific)", title_justify="left")
    for name in ("bucket", "niche", "spent", "of", "kept", "YouTube says"):
        table.add_column(name, justify="left" if name in ("bucket", "niche", "YouTube says") else "right")
    for bucket in found.buckets:
        of = f"{bucket.limit:,}"
        for row in bucket.niches:
            kept = f"{row.reserved:,}" if row.reserved else ""
            table.add_row(bucket.bucket, row.niche, f"{row.spent:,}", of, kept, "spent" if row.exhausted_at else "")
        table.add_row(bucket.bucket, "all", f"{bucket.spent:,}", of, "", "", end_section=True)
    console = stdout()
    console.print(table)
    console.print(f"The next reset: {found.resets_at:%Y-%m-%d %H:%M} UTC (midnight, Pacific time).")
