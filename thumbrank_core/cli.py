"""`thumbrank …`: thin verbs over the library. No Dagster here; thumbrank_dagster/cli.py mounts this and adds what needs it."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from thumbrank_core.explain import explain
from thumbrank_core.imports.columns import COLUMNS, ColumnError
from thumbrank_core.niches import require_niche
from thumbrank_core.progress import console_sink, listen
from thumbrank_core.settings import Settings

EXIT_INTERRUPTED = 130


class OneSentence(TyperGroup):
    """Errors a person can mend are one sentence and exit status 1; Ctrl-C is 130; a defect keeps its traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("Interrupted: nothing is left running, and the same command continues.", err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            sentence = explain(error)
            if sentence is None:
                raise
            typer.echo(f"thumbrank: {sentence}", err=True)
            raise typer.Exit(1) from None


app = typer.Typer(
    name="thumbrank",
    cls=OneSentence,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # it shows locals, which may hold secrets, and never ends on a cycle of causes
    rich_markup_mode="rich",
    help="Rank thumbnails by what each channel's own history shows.",
)
database_app = typer.Typer(no_args_is_help=True, help="The database schema.")
app.add_typer(database_app, name="db")


def stdout() -> Console:
    """Where results go; progress and errors go to stderr."""
    return Console(file=sys.stdout, highlight=False, soft_wrap=not sys.stdout.isatty())


@contextmanager
def opened(settings: Settings) -> Generator[Any]:
    """A migrated database for one verb."""
    from thumbrank_core.store.opening import open_database, running_servers

    with listen(console_sink()), running_servers(settings) as servers, open_database(servers.thumbrank) as database:
        yield database


@database_app.command("migrate")
def migrate_command(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be applied and change nothing.")] = False,
) -> None:
    """Apply the migrations that are not applied yet. Example: thumbrank db migrate --dry-run."""
    from thumbrank_core.paths import migrations_folder
    from thumbrank_core.store.migrate import migrate
    from thumbrank_core.store.opening import running_servers

    with running_servers(Settings.read()) as servers:
        done = migrate(servers.thumbrank, migrations_folder(), dry_run=dry_run)
    word = "would apply" if dry_run else "applied"
    for migration in done:
        typer.echo(f"{word} {migration.file_name}")
    if not done:
        typer.echo("The schema is up to date.")


@database_app.command("status")
def status_command() -> None:
    """List the migrations and whether each is applied. Example: thumbrank db status."""
    from thumbrank_core.paths import migrations_folder
    from thumbrank_core.store.migrate import status
    from thumbrank_core.store.opening import running_servers

    with running_servers(Settings.read()) as servers:
        for entry in status(servers.thumbrank, migrations_folder()):
            when = f"applied {entry.applied_at:%Y-%m-%d %H:%M} UTC" if entry.applied_at else "pending"
            typer.echo(f"{entry.version}_{entry.name}: {when}")


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
    help="Bring in your own data set: CSV, Parquet or JSON lines, and a folder of pictures named <video_id>.jpg.\n\n"
    "Example: thumbrank import videos.csv --images thumbnails --niche gaming --observed-at 2026-01-31T00:00Z\n\n"
    "Columns:\n\n" + _columns_help(),
)
def import_command(
    path: Annotated[Path, typer.Argument(help="The file: .csv, .parquet or .jsonl.")],
    images: Annotated[Path, typer.Option("--images", help="The folder of pictures.")],
    niche: Annotated[str, typer.Option("--niche", help="Which niche its channels belong to.")],
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
    """Bring in a team's own data set."""
    from thumbrank_core.imports.dataset import import_dataset
    from thumbrank_core.store.images import ImageStore

    require_niche(niche)
    settings = Settings.read()
    with opened(settings) as database:
        result = import_dataset(
            database, ImageStore(settings.images), path, images, niche, observed_at, _pairs_of(mapping or [])
        )
    _print_import(result, niche)
    if result.videos == 0:
        typer.echo("thumbrank: No row could be used: mend the reasons above and import again.", err=True)
        raise typer.Exit(1)


def _pairs_of(mapping: list[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for entry in mapping:
        theirs, separator, ours = entry.rpartition("=")
        if not separator or not theirs or not ours:
            raise ColumnError(f"--map {entry}: write it as THEIRS=OURS, such as --map clicks=view_count.")
        pairs[theirs] = ours
    return pairs


def _print_import(result: Any, niche: str) -> None:
    from thumbrank_core.labels.criteria import skipped_for_imports

    table = Table(title=f"Imported into {niche}", show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    no_views = result.without_views + result.row_misses.get("no_views", 0)
    table.add_row("rows read", f"{result.rows:,}")
    table.add_row("videos stored", f"{result.videos:,}  ({result.videos_new:,} new)")
    table.add_row(
        "rows without views", f"{no_views:,}  ({result.row_misses.get('no_views', 0):,} not stored: nothing but an id)"
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
        console.print(f"Columns read: {read}.")
    console.print(
        f"Not applied to imported videos: {', '.join(skipped_for_imports())} (a data set seldom holds every upload or the "
        "subscribers)."
    )
    console.print(f"Every miss is a row in thumbrank.misses. Next: thumbrank run --niche {niche}")
