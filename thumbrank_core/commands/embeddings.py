"""`thumbrank embeddings …`: what is stored of vectors and signals, and taking out what nothing uses any more."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text  # an id is no markup: ":package:" would become a picture of a parcel

from thumbrank_core.commands import completing
from thumbrank_core.commands.common import JsonOption, opened, print_json, stdout
from thumbrank_core.commands.retention import Yes
from thumbrank_core.settings import Settings

if TYPE_CHECKING:
    from thumbrank_core.features.inventory import Coverage, StoredEncoder, StoredMeasure
    from thumbrank_core.retention.prune import Pruned

app = typer.Typer(
    no_args_is_help=True,
    help="Vectors and readings of pictures and titles.\n\nExample: thumbrank embeddings status",
)


@dataclass(frozen=True)
class EmbeddingsOut:
    """What --json prints. `encoders`: the set that `coverage` is about."""

    encoders: str
    vectors: "list[StoredEncoder]"
    coverage: "list[Coverage]"
    readings: "list[StoredMeasure]"


@app.command("status")
def status_command(
    encoders: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A set of config/encoders.yaml. Without: the one of THUMBRANK_ENCODERS.",
            autocompletion=completing.encoder_sets,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show which vectors and readings are stored, and wanted.

    The vectors of each encoder, what each niche wants and has, and the readings of each measure.

    Keys of --json: encoders, vectors, coverage (by niche: pictures and titles, wanted and there), readings.

    Example: thumbrank embeddings status --encoders tiny
    """
    from thumbrank_core.features.inventory import coverage, stored_encoders, stored_measures
    from thumbrank_core.features.precision import settle
    from thumbrank_core.features.specs import load_set
    from thumbrank_core.niches import load_niches

    settings = Settings.read()
    chosen = load_set(encoders or settings.encoders)
    with opened(settings) as database, database.connection() as connection:
        niches = list(load_niches())
        vectors, readings = stored_encoders(connection), stored_measures(connection, niches)
        settled = settle(connection, chosen)
        covered = [coverage(connection, niche, settled) for niche in niches]
    if as_json:
        print_json(EmbeddingsOut(chosen.name, vectors, covered, readings))
        return
    if not vectors:
        typer.echo("Nothing embedded yet.")
    else:
        _show_vectors(vectors)
    if any(niche.pictures_wanted for niche in covered):
        _show_coverage(chosen.name, covered)
    if readings:
        _show_readings(readings)


@app.command("prune")
def prune_command(yes: Yes = False) -> None:
    """Remove vectors and readings that nothing uses.

    Of pictures and titles that are no longer stored, of encoders that no set of config/encoders.yaml names, and of measures
    that this version no longer has. What is wanted again is computed again.

    Example: thumbrank embeddings prune --yes
    """
    from thumbrank_core.features.signals.definitions import MEASURES
    from thumbrank_core.features.specs import load_sets
    from thumbrank_core.features.tuned import tuned_towers
    from thumbrank_core.retention.prune import prune

    settings = Settings.read()
    # A tuned tower is named by the folder beside its bundle, not by config/encoders.yaml.
    specs = [*(spec for one in load_sets().values() for spec in one.specs), *tuned_towers(settings.models)]
    with opened(settings) as database:
        found = prune(database, specs, MEASURES, dry_run=not yes)
        if not found:
            typer.echo("Every vector and reading is of something stored, and of an encoder or measure in use.")
            return
        _show_pruned("Removed" if yes else "Would be removed", found)
        if not yes:
            if sys.stdin.isatty() and typer.confirm("Remove it?"):
                _show_pruned("Removed", prune(database, specs, MEASURES, dry_run=False))
            else:
                typer.echo("Nothing was removed: add --yes to remove it.")


def _show_vectors(vectors: "list[StoredEncoder]") -> None:
    table = _table("Vectors", ("encoder", "modality"), ("vectors", "MB"))
    for row in vectors:
        table.add_row(Text(row.encoder_id), row.modality, f"{row.vectors:,}", _megabytes(row.size))
    stdout().print(table)


def _show_coverage(name: str, niches: "list[Coverage]") -> None:
    table = _table(f"Wanted by pairs, and there ({name})", ("niche",), ("pictures", "titles", "titles by CLIP"))
    for row in niches:
        table.add_row(
            row.niche,
            f"{row.pictures:,} of {row.pictures_wanted:,}",
            f"{row.titles:,} of {row.titles_wanted:,}",
            f"{row.captions:,} of {row.titles_wanted:,}",
        )
    stdout().print(table)


def _show_readings(measures: "list[StoredMeasure]") -> None:
    table = _table("Readings of pictures", ("measure", "signal"), ("values", "no value", "wanted, not read"))
    for row in measures:
        table.add_row(row.measure_id, row.signal, f"{row.values:,}", f"{row.without_value:,}", f"{row.lacking:,}")
    stdout().print(table)


def _show_pruned(word: str, pruned: "list[Pruned]") -> None:
    table = _table(f"{word}: vectors and readings", ("of", "because"), ("vectors", "readings", "MB"))
    for row in pruned:
        rows = f"{row.rows:,}"
        figures = (rows, "", _megabytes(row.size)) if row.kind == "vectors" else ("", rows, "")
        table.add_row(Text(row.of), row.because, *figures)
    stdout().print(table)


def _table(title: str, words: tuple[str, ...], figures: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left")
    for name in words:
        table.add_column(name, overflow="fold")
    for name in figures:
        table.add_column(name, justify="right")
    return table


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f}" if size >= 1e5 else "< 0.1"
