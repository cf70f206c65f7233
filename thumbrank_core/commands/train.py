"""`thumbrank train`: one model over the named niches, by a recipe whose every field can be changed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from rich.table import Table

from thumbrank_core.commands import completing
from thumbrank_core.commands.common import LEARN, opened, stdout
from thumbrank_core.errors import ThumbrankError
from thumbrank_core.settings import Settings

if TYPE_CHECKING:
    from thumbrank_core.model.bundle import BundleCard
    from thumbrank_core.retraining import Registered, Request
    from thumbrank_core.store.database import Database

app = typer.Typer()


class OverrideError(ThumbrankError):
    """A --set that is not written FIELD=VALUE."""


@app.command("train", rich_help_panel=LEARN)
def train_command(
    recipe: Annotated[
        str,
        typer.Option(
            help="A recipe of config/recipes/: default, guide, phase2, phase3.", autocompletion=completing.recipes
        ),
    ] = "default",
    niche: Annotated[
        list[str] | None,
        typer.Option(
            "--niche", help="A niche; repeat it. Default: every enabled one.", autocompletion=completing.niches
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="The recipe's epochs.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Pairs or channels a step, as the recipe's batch_by.")] = None,
    lr: Annotated[float | None, typer.Option(help="The recipe's learning_rate.")] = None,
    seed: Annotated[int | None, typer.Option(help="The recipe's seed.")] = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Any other field of the recipe; repeat it."),
    ] = None,
    encoders: Annotated[
        str | None,
        typer.Option(
            help="An encoder set of config/encoders.yaml. Default: THUMBRANK_ENCODERS.",
            autocompletion=completing.encoder_sets,
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="Continue from this checkpoint. Default: from an interrupted run of the same training."),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes on each machine: torchrun on CPUs, accelerate launch on GPUs.")
    ] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Machines; each runs this command with its own --node-rank.")] = 1,
    node_rank: Annotated[int, typer.Option(min=0, help="Which of them this is; node 0 registers the model.")] = 0,
    rendezvous: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Where node 0 listens, as every node reaches it.")
    ] = None,
    wandb: Annotated[
        bool, typer.Option("--wandb", help="Tell Weights & Biases too; to disk where there is no account.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the recipe and the data, and train nothing.")
    ] = False,
) -> None:
    """Train one model, and make it the challenger.

    On what the database holds. Ctrl-C saves; the same command continues.

    Example: thumbrank train --recipe guide --epochs 200 --batch-size 16 --lr 2e-5
    """
    from thumbrank_core.launch import Nodes
    from thumbrank_core.retraining import Request, retrain
    from thumbrank_core.training_worker import Start, in_processes

    given = {"epochs": epochs, "batch_size": batch_size, "learning_rate": lr, "seed": seed}
    overrides = {name: value for name, value in given.items() if value is not None} | overrides_of(change or [])
    request = Request(
        niches=tuple(niche or ()),
        recipe=recipe,
        overrides=overrides,
        encoders=encoders,
        resume=str(resume.resolve()) if resume is not None else None,
        wandb=wandb,
    )
    settings = Settings.read()
    start = Start(workers, Nodes(nodes, node_rank, rendezvous))
    start.check(settings)
    with opened(settings) as database:
        if dry_run:
            _show_plan(request, database, settings)
            return
        if start.world_size > 1:
            in_processes(request, start, database, settings)
        if node_rank > 0:
            typer.echo(f"Node {node_rank} of {nodes} is done; node 0 registers the model.")
            return
        # Several processes have trained it by now, and this finds what they registered.
        done = retrain(request, database, settings)
    assert done is not None, "a process of its own registers"
    _show(done)


def overrides_of(entries: list[str]) -> dict[str, Any]:
    """What `--set FIELD=VALUE` says, the values as YAML reads them.

    Raises:
        OverrideError: an entry is not written so.
    """
    found: dict[str, Any] = {}
    for entry in entries:
        name, separator, value = entry.partition("=")
        if not separator or not name:
            raise OverrideError(f"--set {entry}: write it as FIELD=VALUE, such as --set dropout=0.3.")
        found[name] = _value(value)
    return found


def _value(text: str) -> Any:
    try:
        return float(text) if "e" in text.lower() else yaml.safe_load(text)  # YAML reads 1e-3 as text
    except (ValueError, yaml.YAMLError):
        return yaml.safe_load(text)


def _show_plan(request: "Request", database: "Database", settings: Settings) -> None:
    from thumbrank_core.training.checks import check_dataset
    from thumbrank_core.training.dataset import SPLITS
    from thumbrank_core.training.recipe import load_recipe
    from thumbrank_core.training.stored import read_stored

    recipe = load_recipe(request.recipe, request.overrides)
    dataset, encoders = read_stored(database, settings, request.niches, request.encoders)
    check_dataset(dataset)
    table = Table(title=f"Would train: recipe {recipe.name} ({recipe.sha256[:12]})", title_justify="left")
    table.add_column("field")
    table.add_column("value")
    for name, value in recipe.model_dump().items():
        changed = name in request.overrides
        late = name == "swa_start" and recipe.averaging == "swa" and recipe.averages_from != value
        note = f"; {recipe.averages_from} of {recipe.epochs} epochs" if late else ""
        table.add_row(name, str(value) + (" (changed)" if changed else "") + note, style="bold" if changed else "")
    stdout().print(table)
    for split in SPLITS:
        pairs, channels = dataset.counts(split)
        typer.echo(f"{split}: {pairs:,} pairs in {channels:,} channels")
    typer.echo(f"{len(dataset.items):,} videos, {encoders.name} encoders, niches {', '.join(dataset.niches)}.")
    if dataset.left_out:
        typer.echo("Pairs left out: " + ", ".join(f"{reason} {count:,}" for reason, count in dataset.left_out.items()))
    typer.echo("Nothing was trained: leave out --dry-run to train it.")


def _show(done: "Registered") -> None:
    card = done.run.card
    state = "trained" if done.run.trained else "there already: nothing it depends on changed"
    table = Table(title=f"Version {done.version.number}, {state}", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in _rows(card):
        table.add_row(name, value)
    table.add_row("bundle", str(done.run.folder))
    if done.page is not None:
        table.add_row("MLflow", done.page)
    stdout().print(table)
    for sentence in card.findings.values():
        typer.echo(sentence)


def _rows(card: "BundleCard") -> list[tuple[str, str]]:
    best = next((record for record in card.history if record.epoch == card.best_epoch), card.history[-1])
    pairs, channels = card.n_pairs["validation"], card.n_channels["validation"]
    correlation = "none" if best.validation_correlation is None else f"{best.validation_correlation:.4f}"
    return [
        ("recipe", str(card.recipe["name"])),
        ("shipped", card.shipped),
        (
            "validation",
            f"pair accuracy {best.validation_accuracy:.4f}, AUC {best.validation_auc:.4f}, correlation {correlation} on {pairs:,} pairs "
            f"of {channels} channels that it was selected on; `thumbrank evaluate` measures unseen ones",
        ),
        ("epochs", f"{len(card.history)} in {card.seconds:.1f} s; epoch {card.best_epoch} ships, the first is 0"),
    ]
