"""`thumbrank import`: a team's own data set."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from thumbrank_core.commands import completing
from thumbrank_core.commands.common import OWN_DATA, column_map, opened, stdout
from thumbrank_core.imports.columns import COLUMNS, some
from thumbrank_core.niches import require_niche
from thumbrank_core.settings import Settings

app = typer.Typer()


def _when(text: str) -> datetime:
    from thumbrank_core.youtube.records import time_of

    try:
        return time_of(text)
    except ValueError:
        raise typer.BadParameter(f"'{text}' is not an ISO 8601 time such as 2026-01-31T00:00Z") from None


def _columns_help() -> str:
    return "\n\n".join(
        f"[bold]{c.name}[/bold]{'' if c.required else ' (optional)'}: {c.says} Also read: {', '.join(c.also)}."
        for c in COLUMNS
    )


@app.command(
    "import",
    rich_help_panel=OWN_DATA,
    help="Bring in your own data set and its pictures.\n\n"
    "CSV, Parquet or JSON lines, and a folder of pictures named <video_id>.jpg. Every row that cannot be used is counted and kept "
    "in thumbrank.misses with its reason.\n\n"
    "Example: thumbrank import videos.csv --images thumbnails --niche gaming --observed-at 2026-01-31T00:00Z\n\n"
    "Columns:\n\n" + _columns_help(),
)
def import_command(
    path: Annotated[Path, typer.Argument(help="The file: .csv, .parquet or .jsonl.")],
    images: Annotated[Path, typer.Option("--images", help="The folder of pictures.")],
    niche: Annotated[
        str, typer.Option("--niche", help="Which niche its channels belong to.", autocompletion=completing.niches)
    ],
    observed_at: Annotated[
        datetime | None,
        typer.Option(
            "--observed-at", parser=_when, metavar="TIME", help="When the counts were seen, unless a column says."
        ),
    ] = None,
    mapping: Annotated[
        list[str] | None, typer.Option("--map", metavar="THEIRS=OURS", help="Which of your columns is which of ours.")
    ] = None,
) -> None:
    """Bring in your own data set and its pictures."""
    from thumbrank_core.imports.dataset import import_dataset, some_misses
    from thumbrank_core.store.images import ImageStore

    require_niche(niche)
    settings = Settings.read()
    with opened(settings) as database:
        result = import_dataset(
            database,
            ImageStore(settings.images),
            path,
            images,
            niche,
            observed_at,
            column_map(mapping or [], "clicks=view_count"),
        )
        with database.connection() as connection:
            missed = some_misses(connection, niche, path.name)
    _print_import(result, niche, missed)
    if result.videos and not result.pictures and result.picture_misses.get("no_file", 0) == result.videos:
        typer.echo(
            f"thumbrank: {images} holds no picture of any of these videos: name them <video_id>.jpg (.jpeg, .png, .webp), and import "
            "again.",
            err=True,
        )
        raise typer.Exit(1)
    if result.videos == 0:
        typer.echo("thumbrank: No row could be used: mend the reasons above and import again.", err=True)
        raise typer.Exit(1)


def _print_import(result: Any, niche: str, missed: Sequence[str]) -> None:
    from thumbrank_core.labels.criteria import skipped_for_imports

    table = Table(title=f"Imported into {niche}", show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    no_views = result.without_views + result.row_misses.get("no_views", 0)
    table.add_row("rows read", f"{result.rows:,}")
    table.add_row("videos stored", f"{result.videos:,}  ({result.videos_new:,} new, the others written again)")
    table.add_row(
        "rows without views",
        f"{no_views:,}  ({result.row_misses.get('no_views', 0):,} not stored: no title, channel or date either)",
    )
    table.add_row("pictures stored", f"{result.pictures:,}")
    for reason, count in sorted(result.row_misses.items()):
        table.add_row(f"row missed: {reason}", f"{count:,}")
    for reason, count in sorted(result.picture_misses.items()):
        table.add_row(f"picture missed: {reason}", f"{count:,}")
    for owner, count in sorted(result.elsewhere.items()):
        table.add_row(f"rows' channels that belong to {owner}", f"{count:,}")
    console = stdout()
    console.print(table)
    read = ", ".join(f"{theirs} as {ours}" for ours, theirs in result.columns.items() if ours != theirs)
    if read:
        console.print(f"Columns read under another name: {read}.")
    if result.unread:
        console.print(f"Columns not read: {some(result.unread)}. Where one is ours by another name: --map THEIRS=OURS.")
    console.print(
        f"Not applied to imported videos: {', '.join(skipped_for_imports())} (a data set seldom holds every upload or the "
        "subscribers)."
    )
    for line in missed:
        console.print(f"  {line}", markup=False, highlight=False)
    console.print(f"Every miss is a row in thumbrank.misses. Next: thumbrank run --niche {niche}")
