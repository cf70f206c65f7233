"""`thumbrank db …`: the schema."""

from typing import Annotated

import typer

from thumbrank_core.settings import Settings

app = typer.Typer(no_args_is_help=True, help="The database schema.")


@app.command("migrate")
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


@app.command("status")
def status_command() -> None:
    """List the migrations and whether each is applied. Example: thumbrank db status."""
    from thumbrank_core.paths import migrations_folder
    from thumbrank_core.store.migrate import status
    from thumbrank_core.store.opening import running_servers

    with running_servers(Settings.read()) as servers:
        for entry in status(servers.thumbrank, migrations_folder()):
            when = f"applied {entry.applied_at:%Y-%m-%d %H:%M} UTC" if entry.applied_at else "pending"
            typer.echo(f"{entry.version}_{entry.name}: {when}")
