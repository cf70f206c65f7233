"""`thumbrank import-ab`: how a team's own A/B tests of thumbnails and titles ended."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from thumbrank_core.commands.common import OWN_DATA, opened, stdout
from thumbrank_core.settings import Settings

if TYPE_CHECKING:
    from thumbrank_core.imports.ab import AbFile
    from thumbrank_core.imports.ab_store import StoredTests

app = typer.Typer()


@app.command(
    "import-ab",
    rich_help_panel=OWN_DATA,
    help="Bring in how your A/B tests ended, for evaluation only.\n\n"
    'Such as Studio\'s "Test & compare"; training never reads them. '
    "One row a variant, .csv, .jsonl or .parquet, with the columns test_id, video_id, variant, picture (the name of its file) "
    "or title, share (of the watch time; or ctr), outcome (winner, performed_same, inconclusive), winner (yes or no), "
    "first_day, last_day; optional: metric (watch_time_share or ctr), channel_id.\n\n"
    "Example: thumbrank import-ab tests.csv --images variants",
)
def import_ab_command(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The file of tests.")],
    images: Annotated[Path | None, typer.Option("--images", help="The folder of the pictures that it names.")] = None,
    owner: Annotated[
        str | None,
        typer.Option(
            "--owner", metavar="UC…", help="Whose tests they are; else the column channel_id or the stored video tells."
        ),
    ] = None,
) -> None:
    """Bring in outcomes of A/B tests, in one transaction."""
    from thumbrank_core.imports.ab import read_tests
    from thumbrank_core.imports.ab_store import store_tests
    from thumbrank_core.store.images import ImageStore

    settings = Settings.read()
    file = read_tests(path)
    with opened(settings) as database, database.connection() as connection:
        stored = store_tests(connection, ImageStore(settings.images), file, images, owner, datetime.now(UTC))
    _print(file, stored)
    if stored.used == 0:
        typer.echo(
            f"thumbrank: {file.name}: no test could be used; mend the reasons above and import it again.", err=True
        )
        raise typer.Exit(1)


def _print(file: "AbFile", stored: "StoredTests") -> None:
    rejected = [*file.rejected, *stored.rejected]
    table = Table(title=escape(f"{file.name}: A/B tests"), show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    table.add_row("rows read", f"{file.rows_read:,}")
    table.add_row("tests", f"{len(file.tests) + len(file.rejected):,}")
    table.add_row(
        "stored", f"{stored.used:,}  ({stored.new:,} new, {stored.updated:,} updated, {stored.unchanged:,} unchanged)"
    )
    table.add_row("pictures stored", f"{stored.pictures:,}")
    if stored.forgotten:
        table.add_row("forgotten, not stored", f"{stored.forgotten:,}")
    for reason in sorted({entry.reason for entry in rejected}):
        table.add_row(f"rejected: {reason}", f"{sum(entry.reason == reason for entry in rejected):,}")
    console = stdout()
    console.print(table)
    for entry in rejected:
        console.print(escape(entry.sentence))
