"""`thumbrank import-studio`: real impressions and click-through rate from YouTube Studio's exports."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from thumbrank_core.commands.common import OWN_DATA, column_map, opened, stdout
from thumbrank_core.errors import ThumbrankError
from thumbrank_core.imports.studio import Export, Rejected, StudioError, parse_period, read_export
from thumbrank_core.settings import Settings

if TYPE_CHECKING:
    from thumbrank_core.imports.studio_store import Stored
    from thumbrank_core.store.database import Database

app = typer.Typer()

SHOWN = 50
"""Rejected rows that are named one by one; of the rest their number is said."""
EXAMPLES = 5


def _when(text: str) -> datetime:
    from thumbrank_core.youtube.records import time_of

    try:
        return time_of(text)
    except ValueError:
        raise typer.BadParameter(f"'{text}' is not an ISO 8601 time such as 2026-04-03T12:00Z") from None


@app.command(
    "import-studio",
    rich_help_panel=OWN_DATA,
    help="Bring in YouTube Studio's impressions and click rates.\n\n"
    "In Studio: Analytics, Advanced mode, tab Content, columns Impressions and click-through rate, Export, .csv. Headers in "
    "English, German, Portuguese, Japanese, Spanish, French and Korean are understood.\n\n"
    'Example: thumbrank import-studio "Content 2026-01-01_2026-04-01 My channel.zip"\n\n'
    'Example: thumbrank import-studio "Table data.csv" --period 2026-01-01..2026-03-31 --owner UCxxxxxxxxxxxxxxxxxxxxxx --dry-run',
)
def import_studio_command(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="The export: .zip as Studio gives it, or .csv.")
    ],
    owner: Annotated[
        str | None,
        typer.Option("--owner", metavar="UC…", help="Whose export it is; else the channel of its stored videos."),
    ] = None,
    period: Annotated[
        str | None,
        typer.Option(
            "--period",
            metavar="FIRST..LAST",
            help="The days it is about, both included, such as 2026-01-01..2026-03-31; else its name or its dates tell.",
        ),
    ] = None,
    exported_at: Annotated[
        datetime | None,
        typer.Option(
            "--exported-at", parser=_when, metavar="TIME", help="When it was exported; else when the file was changed."
        ),
    ] = None,
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="THEIRS=OURS", help="Which column is video_id, impressions, click_rate or date."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be stored, and store nothing.")] = False,
) -> None:
    """Bring in exports of YouTube Studio, each file in a transaction of its own."""
    columns, days = column_map(mapping or [], "CTR=click_rate"), None if period is None else parse_period(period)
    exports: list[tuple[Path, Export]] = []
    failed = 0
    for path in files:
        try:
            exports.append((path, read_export(path, columns, days)))
        except ThumbrankError as error:
            failed += _say(error)
    if exports:
        with opened(Settings.read()) as database:
            for path, export in exports:
                issued_at = exported_at or datetime.fromtimestamp(path.stat().st_mtime, UTC)
                try:
                    _store(database, export, owner, issued_at, dry_run)
                except StudioError as error:
                    failed += _say(error)
    if failed:
        raise typer.Exit(1)


def _say(error: ThumbrankError) -> int:
    """One sentence for one file, as the other files may be whole; the exit status tells of it."""
    typer.echo(f"thumbrank: {error}", err=True)
    return 1


def _store(database: "Database", export: Export, owner: str | None, issued_at: datetime, dry_run: bool) -> None:
    from thumbrank_core.imports.studio_store import store_export

    with database.connection() as connection:
        stored = store_export(connection, export, owner, issued_at, dry_run=dry_run)
    _print(export, stored, dry_run)
    if stored.used == 0:
        raise StudioError(f"{export.name}: no row could be used; mend the reasons above and import it again.")


def _print(export: Export, stored: "Stored", dry_run: bool) -> None:
    rejected = sorted([*export.rejected, *stored.rejected], key=lambda entry: entry.number)
    word = "would be stored" if dry_run else "stored"
    table = Table(title=escape(f"{export.name}: owner {stored.owner_id}"), show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    table.add_row("rows read", f"{export.rows_read:,}")
    table.add_row(
        word, f"{stored.used:,}  ({stored.new:,} new, {stored.updated:,} updated, {stored.unchanged:,} unchanged)"
    )
    table.add_row("total rows skipped", f"{export.totals:,}")
    table.add_row("remarks skipped", f"{export.footers:,}")
    if stored.forgotten:
        table.add_row("forgotten, not stored", f"{stored.forgotten:,}")
    for reason in sorted({entry.reason for entry in rejected}):
        table.add_row(f"rejected: {reason}", f"{sum(entry.reason == reason for entry in rejected):,}")
    console = stdout()
    console.print(table)
    periods = sorted({(row.period.first_day, row.period.last_day) for row in export.rows})
    if periods:
        console.print(f"Days: {periods[0][0]}..{max(last for _, last in periods)} (Pacific), both included.")
    console.print(
        escape("Columns read: " + ", ".join(f"'{theirs}' as {ours}" for ours, theirs in export.columns.items()) + ".")
    )
    if dry_run:
        for row in export.rows[:EXAMPLES]:
            rate = "no click rate" if row.click_rate is None else f"click rate {row.click_rate:.4f}"
            console.print(f"{row.video_id}  {row.period}  {row.impressions:,} impressions  {rate}")
        console.print("Nothing was stored: leave out --dry-run to store it.")
    _print_rejected(rejected)


def _print_rejected(rejected: list[Rejected]) -> None:
    console = stdout()
    for entry in rejected[:SHOWN]:
        console.print(escape(entry.sentence))
    if len(rejected) > SHOWN:
        console.print(f"And {len(rejected) - SHOWN:,} more rejected rows.")
