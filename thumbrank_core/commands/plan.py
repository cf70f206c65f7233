"""`thumbrank plan`: what a target size costs, before a key is even made."""

from typing import Annotated

import typer
from rich.table import Table

from thumbrank_core.commands.common import stdout
from thumbrank_core.settings import Settings

app = typer.Typer()


@app.command("plan")
def plan_command(
    channels: Annotated[int, typer.Option(min=1, help="Channels over all niches.")] = 1500,
    per_channel: Annotated[int, typer.Option(min=1, help="Videos a channel.")] = 133,
    snapshots: Annotated[int, typer.Option(min=1, help="Snapshots of each video that are kept at a time.")] = 4,
) -> None:
    """Print the API units and days, the gigabytes per table and the encoder hours of a target size. Nothing is sent.

    Example: thumbrank plan --channels 500 --per-channel 240
    """
    from thumbrank_core.planning import Target, pairs_expected, plan
    from thumbrank_core.policy import load_policy

    policy = load_policy(profile=Settings.read().profile)
    target = Target(channels, per_channel, snapshots)
    found = plan(target, policy)
    console = stdout()
    console.print(
        f"{channels:,} channels, {target.videos:,} videos, about {pairs_expected(target, policy):,} pairs within "
        f"{policy.pairs.window_days:g} days."
    )
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
