"""`thumbrank export-data`: the data of the documented views as files."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from thumbrank_core.commands import completing
from thumbrank_core.commands.common import DATA_OUT, JsonOption, opened, print_json, stdout
from thumbrank_core.niches import require_niche
from thumbrank_core.settings import Settings

if TYPE_CHECKING:
    from thumbrank_core.exporting import ExportManifest

app = typer.Typer()


class FileFormat(StrEnum):
    """What the files are."""

    PARQUET = "parquet"
    CSV = "csv"


@dataclass(frozen=True)
class ExportOut:
    """What --json prints. `niches`: the manifest of each, as it lies in its folder."""

    folder: Path
    niches: "list[ExportManifest]"


@app.command("export-data", rich_help_panel=DATA_OUT)
def export_command(
    niche: Annotated[
        list[str] | None,
        typer.Option(
            "--niche",
            help="Which niche; may be given several times. None: all with data.",
            autocompletion=completing.niches,
        ),
    ] = None,
    file_format: Annotated[
        FileFormat, typer.Option("--format", help="Parquet keeps types; CSV opens anywhere.")
    ] = FileFormat.PARQUET,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", help="Where to; unset: the folder exports below THUMBRANK_HOME."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write videos, pairs and channels as files.

    With a manifest, for other tools; docs/data-out.md has the columns. Each niche gets a folder of its own, and doing it again
    replaces it. Pictures are not exported: picture_sha256 names them.

    Keys of --json: folder, niches (each: its manifest, with delete_or_refresh_by and every file's rows and sha256).

    Example: thumbrank export-data --niche tech --niche gaming --format csv --out data
    """
    from thumbrank_core.exporting import export_niche, niches_to_export
    from thumbrank_core.policy import load_policy

    wanted = [require_niche(name) for name in niche or []]
    settings = Settings.read()
    policy = load_policy(profile=settings.profile)
    folder = (out or settings.home / "exports").expanduser()
    with opened(settings) as database:
        done = [
            export_niche(database, name, folder / name, file_format.value, policy.retention.days)
            for name in niches_to_export(database, wanted)
        ]
    if as_json:
        print_json(ExportOut(folder, done))
    else:
        _show(done, folder, policy.retention.days)


def _show(done: list["ExportManifest"], folder: Path, days: int) -> None:
    table = Table(title=f"Exported to {folder}", title_justify="left")
    table.add_column("niche")
    for name in ("videos", "pairs", "channels", "MB"):
        table.add_column(name, justify="right")
    for manifest in done:
        rows = [f"{file.rows:,}" for file in manifest.files.values()]
        table.add_row(manifest.niche, *rows, f"{sum(file.bytes for file in manifest.files.values()) / 1e6:,.1f}")
    console = stdout()
    console.print(table)
    unlabelled = [manifest.niche for manifest in done if manifest.label is None]
    if unlabelled:
        console.print(
            f"No labels or pairs yet in {', '.join(unlabelled)}: `thumbrank run --niche {unlabelled[0]}` makes them."
        )
    first = min((m.delete_or_refresh_by for m in done if m.delete_or_refresh_by is not None), default=None)
    if first is not None:
        late = " (that is past: run `thumbrank expire`, and export again)" if first <= datetime.now(UTC) else ""
        console.print(
            f"YouTube API data in these files has to be deleted, or refreshed by exporting again, within {days} days of when it "
            f"was read: the first of it by {first:%Y-%m-%d}{late}. `thumbrank expire` and `thumbrank forget` do not reach files "
            "that left the house."
        )
