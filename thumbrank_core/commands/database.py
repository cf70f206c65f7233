"""`thumbrank db …`: the schema, and all of its rows out and in again."""

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from thumbrank_core.commands.common import JsonOption, print_json, stdout
from thumbrank_core.progress import console_sink, listen
from thumbrank_core.settings import Settings

if TYPE_CHECKING:
    from thumbrank_core.store.dump_file import DumpManifest
    from thumbrank_core.store.migrate import MigrationStatus

app = typer.Typer(
    no_args_is_help=True,
    help="The schema's migrations; dump and restore of all rows.\n\nExample: thumbrank db status",
)


@dataclass(frozen=True)
class SchemaOut:
    """What --json prints."""

    migrations: "list[MigrationStatus]"


@app.command("migrate")
def migrate_command(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be applied and change nothing.")] = False,
) -> None:
    """Apply the migrations that are not applied yet.

    Example: thumbrank db migrate --dry-run
    """
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


@app.command("status")
def status_command(as_json: JsonOption = False) -> None:
    """List the migrations and whether each is applied.

    Keys of --json: migrations (each: version, name, state: applied, pending, changed or unknown, applied_at).

    Example: thumbrank db status --json
    """
    from thumbrank_core.paths import migrations_folder
    from thumbrank_core.store.migrate import status
    from thumbrank_core.store.opening import running_servers

    with running_servers(Settings.read()) as servers:
        found = status(servers.thumbrank, migrations_folder())
    if as_json:
        print_json(SchemaOut(found))
        return
    for entry in found:
        when = f"applied {entry.applied_at:%Y-%m-%d %H:%M} UTC" if entry.applied_at else "pending"
        typer.echo(f"{entry.version}_{entry.name}: {when}")


@app.command("dump")
def dump_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write; it must not exist.")],
) -> None:
    """Write every row of the database into one file.

    As of one moment; others may go on working meanwhile. Pictures, models and consents are not in it: docs/backup.md says what
    else to keep.

    Example: thumbrank db dump nightly.dump
    """
    from thumbrank_core.paths import migrations_folder
    from thumbrank_core.store.dump import dump
    from thumbrank_core.store.opening import running_servers

    path = file.expanduser().absolute()
    with listen(console_sink()), running_servers(Settings.read()) as servers:
        done = dump(servers.thumbrank, path, migrations_folder())
    typer.echo(
        f"Dumped {_rows(done.manifest.rows)} of {len(done.manifest.tables)} tables into {path} "
        f"({path.stat().st_size / 1e6:,.1f} MB). Pictures, models and consents are not in it (docs/backup.md)."
    )
    for table in done.left_out:
        typer.echo(
            f"Left out: thumbrank.{table}, which is not thumbrank's own; pg_dump --table thumbrank.{table} keeps it."
        )


@app.command("restore")
def restore_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file of `thumbrank db dump`.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Restore over rows that are there: all of them go, whatever the dump has.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="With --replace: do it. Without: say what would go, and ask on a terminal.")
    ] = False,
) -> None:
    """Make the database what it was when it was dumped.

    And migrate it then. All of it, or nothing. What was forgotten here since the dump stays forgotten. Stop Dagster first.

    Example: thumbrank db restore nightly.dump
    """
    from thumbrank_core.paths import migrations_folder
    from thumbrank_core.policy import load_policy
    from thumbrank_core.retention.owner_files import consents
    from thumbrank_core.retention.restored import kept_removed, overdue
    from thumbrank_core.store.database import connect, redact
    from thumbrank_core.store.dump_file import DumpError, DumpFile
    from thumbrank_core.store.opening import running_servers
    from thumbrank_core.store.restore import restore, rows_in_the_way
    from thumbrank_core.youtube.reach.tokens import TokenStore

    settings = Settings.read()
    mode = load_policy(profile=settings.profile).mode
    path, folder = file.expanduser().absolute(), migrations_folder()
    with listen(console_sink()), DumpFile(path) as dumped, running_servers(settings) as servers:
        manifest, url, removed = dumped.manifest, servers.thumbrank, Counter[str]()
        there = rows_in_the_way(url, dumped, folder)
        if there and not replace:
            raise DumpError(
                f"{redact(url)} holds {_rows(sum(there.values()))}: restore into an empty database, "
                "or add --replace to see what would go."
            )
        if there and not yes and not _agreed(there, manifest, redact(url)):
            return
        done = restore(
            url,
            dumped,
            folder,
            replace=bool(there),
            around=lambda c: kept_removed(c, mode, manifest.dumped_at, removed),
        )
        with connect(url) as connection:
            late, owners = overdue(connection), consents(connection)
    typer.echo(f"Restored {_rows(manifest.rows)} of {len(manifest.tables)} tables, dumped at {_moment(manifest)}.")
    for migration in done.migrated:
        typer.echo(f"applied {migration.file_name}")
    if removed:
        typer.echo(f"Removed again, as it was forgotten or revoked here since the dump: {_rows(removed.total())}.")
    for owner_id in sorted(owners.difference(TokenStore(settings.owners).owners())):
        typer.echo(
            f"The dump has the consent of {owner_id}, whose token is not on this machine: "
            f"run `thumbrank reach logout {owner_id}` if it ended, or `thumbrank reach login` for a new one."
        )
    _say_what_is_left(manifest, late, known=bool(there))


def _agreed(there: dict[str, int], manifest: "DumpManifest", where: str) -> bool:
    dumped = {table.name: table.rows for table in manifest.tables}
    table = Table(title=f"Would be replaced: {where}, by the dump of {_moment(manifest)}", title_justify="left")
    table.add_column("table")
    table.add_column("rows now", justify="right")
    table.add_column("rows in the dump", justify="right")
    for name in sorted({*there, *(name for name, rows in dumped.items() if rows)}):
        table.add_row(name, f"{there.get(name, 0):,}", f"{dumped.get(name, 0):,}")
    stdout().print(table)
    if sys.stdin.isatty() and typer.confirm("Replace them?"):
        return True
    typer.echo("Nothing was changed: add --yes to replace them.")
    return False


def _say_what_is_left(manifest: "DumpManifest", late: int, *, known: bool) -> None:
    """What a restore cannot know, and whoever restores has to see to."""
    if not known:
        typer.echo(
            f"This database does not know what was forgotten or revoked after {_moment(manifest)}: "
            "run `thumbrank forget` and `thumbrank reach logout` again for each."
        )
    if late:
        typer.echo(f"{_rows(late)} are older than their date allows.")
    typer.echo(
        "Now run `thumbrank expire --yes`: it removes what is too old, and pictures and report entries of no row."
    )


def _moment(manifest: "DumpManifest") -> str:
    return f"{manifest.dumped_at:%Y-%m-%d %H:%M} UTC"


def _rows(count: int) -> str:
    return f"{count:,} row" if count == 1 else f"{count:,} rows"
