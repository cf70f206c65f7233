"""`thumbrank plan`: what a target size costs, before a key is even made."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from thumbrank_core.commands.common import COLLECT, JsonOption, print_json, stdout
from thumbrank_core.settings import Settings

if TYPE_CHECKING:
    from thumbrank_core.planning import Plan, Units

app = typer.Typer()


@dataclass(frozen=True)
class PlanOut:
    """What --json prints: `Plan` with the numbers of videos and pairs it is for."""

    channels: int
    videos: int
    pairs: int
    window_days: float
    units: "tuple[Units, ...]"
    gigabytes: dict[str, float]
    hours: dict[str, dict[str, float]]


@app.command("plan", rich_help_panel=COLLECT)
def plan_command(
    channels: Annotated[int, typer.Option(min=1, help="Channels over all niches.")] = 1500,
    per_channel: Annotated[int, typer.Option(min=1, help="Videos a channel.")] = 133,
    snapshots: Annotated[int, typer.Option(min=1, help="Snapshots of each video that are kept at a time.")] = 4,
    as_json: JsonOption = False,
) -> None:
    """Say what a target size costs: units, gigabytes, hours.

    API units and days by job, gigabytes by table, hours of encoders and training by machine. Nothing is sent.

    Keys of --json: channels, videos, pairs, window_days, units (job, bucket, units, days), gigabytes, hours.

    Example: thumbrank plan --channels 500 --per-channel 240
    """
    from thumbrank_core.planning import Target, pairs_expected, plan
    from thumbrank_core.policy import load_policy

    policy = load_policy(profile=Settings.read().profile)
    target = Target(channels, per_channel, snapshots)
    found, pairs, days = plan(target, policy), pairs_expected(target, policy), policy.pairs.window_days
    if as_json:
        print_json(PlanOut(channels, target.videos, pairs, days, found.units, found.gigabytes, found.hours))
        return
    stdout().print(f"{channels:,} channels, {target.videos:,} videos, about {pairs:,} pairs within {days:g} days.")
    _show(found)


def _show(found: "Plan") -> None:
    console = stdout()
    units = Table(title="API units", title_justify="left")
    for name in ("job", "bucket", "units", "days"):
        units.add_column(name, justify="left" if name in ("job", "bucket") else "right")
    for row in found.units:
        units.add_row(row.job, row.bucket, f"{row.units:,}", "never" if row.days is None else f"{row.days:,}")
    console.print(units)
    sizes = Table(title="Gigabytes (pictures by an estimated mean size)", title_justify="left")
    sizes.add_column("table")
    sizes.add_column("GB", justify="right")
    for table, gigabytes in found.gigabytes.items():
        sizes.add_row(table, f"{gigabytes:,.2f}" if gigabytes >= 0.01 else "< 0.01")
    sizes.add_row("all", f"{sum(found.gigabytes.values()):,.2f}")
    console.print(sizes)
    hours = Table(title="Hours (published rates and estimates, see thumbrank_core/planning.py)", title_justify="left")
    for name in ("machine", "CLIP ViT-L/14", "MiniLM", "training, 30 epochs"):
        hours.add_column(name, justify="left" if name == "machine" else "right")
    for machine, work in found.hours.items():
        hours.add_row(machine, *(f"{work[part]:,.2f}" for part in ("pictures", "titles", "training")))
    console.print(hours)
