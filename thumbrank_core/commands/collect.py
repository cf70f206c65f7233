"""`thumbrank collect`: what a collection will spend, and doing it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer
from rich.table import Table

from thumbrank_core.commands import completing
from thumbrank_core.commands.common import COLLECT, JsonOption, opened, print_json, stdout
from thumbrank_core.errors import ThumbrankError
from thumbrank_core.niches import load_niches, require_niche
from thumbrank_core.settings import Settings

if TYPE_CHECKING:
    from thumbrank_core.youtube.collect import Collected
    from thumbrank_core.youtube.forecast import Forecast
    from thumbrank_core.youtube.pictures import Fetched

app = typer.Typer()


@dataclass(frozen=True)
class CollectOut:
    """What --json prints. `collected`: null of a dry run; `pictures`: null also where only some stages were asked for."""

    forecast: "Forecast"
    collected: "Collected | None"
    pictures: "Fetched | None"


@app.command("collect", rich_help_panel=COLLECT)
def collect_command(
    niche: Annotated[str, typer.Option("--niche", help="Which niche to collect.", autocompletion=completing.niches)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Forecast the units and days; send nothing.")] = False,
    budget: Annotated[
        int | None,
        typer.Option(min=0, help="Units of the default bucket to spend at most. Default: the forecast's upper."),
    ] = None,
    stage: Annotated[
        list[str] | None,
        typer.Option(
            "--stage",
            help="Only this stage, such as snapshot or refresh; repeat it for several.",
            autocompletion=completing.stages,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Collect a niche's channels, videos, counts and pictures.

    Goes on where the last run of the niche stopped. What it will spend is said before anything is sent.

    Keys of --json: forecast (niche, stages, buckets, resumes, resets_at), collected and pictures (null of a dry run).

    Example: thumbrank collect --niche tech --dry-run --json

    Example: thumbrank collect --niche tech --stage snapshot
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
    # A dry run sends nothing: YouTube's days are told by our clock. A simulated YouTube has a clock of its own.
    now = datetime.now(UTC) if dry_run and settings.youtube_api_endpoint is None else None
    with opened(settings) as database:
        planned, found, fetched = (
            forecast_niche(database, api, *arguments, only=only, budget=budget, now=now),
            None,
            None,
        )
        if not as_json:
            _print_forecast(planned)
        if not dry_run:
            found = collect_niche(database, api, *arguments, only=only, budget=budget)
            if not as_json:
                _print_collected(found, niche)
            if not only:
                fetched = fetch_pictures(database, ImageStore(settings.images), niche, policy, load_exclusions())
                if not as_json:
                    _print_pictures(fetched, niche)
    if as_json:
        print_json(CollectOut(planned, found, fetched))
    elif dry_run:
        typer.echo("Nothing was spent. Without --dry-run the collection stops at the upper figure at the latest.")


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
