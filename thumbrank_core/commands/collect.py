"""`thumbrank collect` and `thumbrank quota`: what a collection will spend, doing it, and what was spent."""

from typing import Annotated, Any, cast, get_args

import typer
from rich.table import Table

from thumbrank_core.commands.common import opened, stdout
from thumbrank_core.errors import ThumbrankError
from thumbrank_core.niches import load_niches, require_niche
from thumbrank_core.settings import Settings

app = typer.Typer()


@app.command("collect")
def collect_command(
    niche: Annotated[str, typer.Option("--niche", help="Which niche to collect.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Forecast the units and days; send nothing.")] = False,
    budget: Annotated[
        int | None,
        typer.Option(min=0, help="Units of the default bucket to spend at most. Default: the forecast's upper."),
    ] = None,
    stage: Annotated[
        list[str] | None,
        typer.Option("--stage", help="Only this stage, such as snapshot or refresh; repeat it for several."),
    ] = None,
) -> None:
    """Collect a niche's channels, videos and counts, or go on where the last run stopped; then fetch its pictures.

    Examples: thumbrank collect --niche tech --dry-run, thumbrank collect --niche tech --stage snapshot
    """
    from thumbrank_core.exclusions import load_exclusions
    from thumbrank_core.policy import load_policy
    from thumbrank_core.store.images import ImageStore
    from thumbrank_core.youtube.collect import collect_niche, forecast_niche
    from thumbrank_core.youtube.connect import client_of, source_of
    from thumbrank_core.youtube.pictures import fetch_pictures

    require_niche(niche)
    settings = Settings.read()
    only = _stages(stage or [])
    policy = load_policy(profile=settings.profile)
    arguments = (niche, load_niches()[niche], policy, source_of(settings), load_exclusions())
    api = client_of(settings)
    with opened(settings) as database:
        _print_forecast(forecast_niche(database, api, *arguments, only=only, budget=budget))
        if dry_run:
            typer.echo("Nothing was spent. Without --dry-run the collection stops at the upper figure at the latest.")
            return
        found = collect_niche(database, api, *arguments, only=only, budget=budget)
        _print_collected(found, niche)
        if not only:
            fetched = fetch_pictures(database, ImageStore(settings.images), niche, policy, load_exclusions())
            _print_pictures(fetched, niche)


@app.command("quota")
def quota_command() -> None:
    """Show what was spent of today's three buckets, by niche. Example: thumbrank quota."""
    from datetime import UTC, datetime

    from thumbrank_core.policy import load_policy
    from thumbrank_core.youtube.quota import BUCKETS, next_reset, pacific_date

    settings = Settings.read()
    limits = load_policy(profile=settings.profile).quota
    now = datetime.now(UTC)
    with opened(settings) as database, database.connection() as connection:
        day = pacific_date(now)
        if (
            settings.youtube_api_endpoint is not None
        ):  # a simulator's days are its own: the newest in the ledger is meant
            row = connection.execute("select max(pacific_date) from thumbrank.quota_ledger").fetchone()
            day = row[0] if row and row[0] else day
        rows = connection.execute(
            "select bucket, niche::text, spent, reserved, exhausted_at from thumbrank.quota_ledger "
            "where pacific_date = %s order by bucket, niche",
            (day,),
        ).fetchall()
    table = Table(title=f"Quota on {day} (Pacific)", title_justify="left")
    for name in ("bucket", "niche", "spent", "of", "kept", "YouTube says"):
        table.add_column(name, justify="left" if name in ("bucket", "niche", "YouTube says") else "right")
    for bucket in BUCKETS:
        of = f"{getattr(limits, bucket):,}"
        mine = [entry for entry in rows if entry[0] == bucket]
        for _, niche, spent, reserved, exhausted in mine:
            table.add_row(
                bucket, niche, f"{spent:,}", of, f"{reserved:,}" if reserved else "", "spent" if exhausted else ""
            )
        table.add_row(bucket, "all", f"{sum(entry[2] for entry in mine):,}", of, "", "", end_section=True)
    console = stdout()
    console.print(table)
    console.print(f"The next reset: {next_reset(now):%Y-%m-%d %H:%M} UTC (midnight, Pacific time).")


def _stages(names: list[str]) -> Any:
    from thumbrank_core.youtube.collect import StageName

    known = get_args(StageName)
    for name in names:
        if name not in known:
            raise ThumbrankError(f"'{name}' is not a stage of a collection: use one of {', '.join(known)}.")
    return cast(Any, names)


def _print_forecast(plan: Any) -> None:
    stages = Table(
        title=f"{plan.niche}: {'what is left of an unfinished collection' if plan.resumes else 'a new collection'}",
        title_justify="left",
    )
    for name in ("stage", "bucket", "units expected", "at most"):
        stages.add_column(name, justify="left" if name in ("stage", "bucket") else "right")
    for row in plan.stages:
        stages.add_row(row.stage, row.bucket, f"{row.expected:,}{' exactly' if row.exact else ''}", f"{row.at_most:,}")
    buckets = Table(title="Per bucket, retries included", title_justify="left")
    for name in ("bucket", "expected", "upper", "left today", "a day", "days"):
        buckets.add_column(name, justify="left" if name == "bucket" else "right")
    for row in plan.buckets:
        found = row.standing
        days = "never" if row.upper and not found.limit else f"{row.days}"
        buckets.add_row(row.bucket, f"{row.expected:,}", f"{row.upper:,}", f"{found.left:,}", f"{found.limit:,}", days)
    console = stdout()
    console.print(stages)
    console.print(buckets)
    console.print(f"The day's units come back at {plan.resets_at:%Y-%m-%d %H:%M} UTC (midnight, Pacific time).")


def _print_collected(found: Any, niche: str) -> None:
    table = Table(title=f"{niche}: {found.headline}", show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    for name, value in (
        ("channels listed", found.channels),
        ("videos read", found.videos),
        ("videos new", found.videos_new),
        ("snapshots added to stored videos", found.snapshots),
        ("channels that belong to another niche", found.elsewhere),
    ):
        table.add_row(name, f"{value:,}")
    for reason, count in sorted(found.misses.items()):
        table.add_row(f"missed: {reason}", f"{count:,}")
    for bucket, units in found.units.items():
        table.add_row(f"units of the {bucket} bucket", f"{units:,}")
    console = stdout()
    console.print(table)
    if found.state == "partial":
        console.print(f"The same command goes on: thumbrank collect --niche {niche}")


def _print_pictures(fetched: Any, niche: str) -> None:
    table = Table(title=f"{niche}: pictures", show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    table.add_row("wanted", f"{fetched.wanted:,}")
    table.add_row("stored", f"{fetched.stored:,}")
    for reason, count in sorted(fetched.misses.items()):
        table.add_row(f"missed: {reason}", f"{count:,}")
    stdout().print(table)
