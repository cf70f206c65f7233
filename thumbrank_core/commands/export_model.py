"""`thumbrank export`: a model's files for a service, with a page that says how to load them. Data is `export-data`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from thumbrank_core.commands.common import JUDGE, stdout
from thumbrank_core.commands.models import ModelOption, choose
from thumbrank_core.settings import Settings

app = typer.Typer()


@app.command("export", rich_help_panel=JUDGE)
def export_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder, or that of an earlier export.")],
    model: ModelOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and show all of it, and write nothing.")] = False,
) -> None:
    """Write a model's files for a service, with INTEGRATION.md.

    thumbnail_ranking_model.pt, the bundle and model.onnx; INTEGRATION.md shows how a service loads them.

    Example: thumbrank export ../app/models/thumbnails
    """
    from thumbrank_core.deployable import INTEGRATION, export_bundle

    chosen = choose(Settings.read(), model)
    files = export_bundle(chosen.bundle, folder, dry_run=dry_run)
    done = "Would export" if dry_run else "Exported"
    table = Table(title=Text(f"{done} {chosen.called} to {folder}"), title_justify="left")
    table.add_column("file", overflow="fold")
    table.add_column("bytes", justify="right")
    table.add_column("sha256", overflow="fold")
    for file in files:
        table.add_row(Text(file.name), f"{file.bytes:,}", file.sha256)
    stdout().print(table)
    typer.echo(
        "Nothing was written: leave out --dry-run to write it."
        if dry_run
        else f"{folder / INTEGRATION} shows how a service loads it."
    )
