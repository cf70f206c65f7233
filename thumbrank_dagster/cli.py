"""The console script: mounts the library's verbs and adds those that run the graph."""

from typing import Annotated

import typer
from rich.table import Table

from thumbrank_core.cli import app, stdout
from thumbrank_core.commands import completing
from thumbrank_core.commands.common import LEARN, OPERATE, START
from thumbrank_core.niches import require_niche
from thumbrank_core.progress import LineSink, console_sink, listen
from thumbrank_core.settings import Settings

__all__ = ["app"]


@app.command("demo", rich_help_panel=START)
def demo_command(
    seed: Annotated[int, typer.Option(help="Which simulated world.")] = 0,
    effect: Annotated[float, typer.Option(help="How much pictures and titles move views; 0: not at all.")] = 1.0,
    channels: Annotated[int, typer.Option(help="Channels per niche.", min=1)] = 80,
    videos: Annotated[int, typer.Option(help="Videos per channel.", min=1)] = 20,
) -> None:
    """Run the whole pipeline on a simulated YouTube.

    No key, no download, a few minutes. State: the folder demo below THUMBRANK_HOME; run again, it does nothing twice.

    Example: thumbrank demo

    Example: thumbrank demo --channels 16 --videos 14
    """
    from thumbrank_core.simulator.world import WorldSettings
    from thumbrank_dagster.demo import run_demo, show

    world = WorldSettings(seed=seed, effect=effect, channels_per_niche=channels, videos_per_channel=videos)
    with listen(console_sink()):
        found = run_demo(Settings.read(), world)
    show(found)


@app.command("run", rich_help_panel=LEARN)
def run_command(
    niche: Annotated[
        list[str],
        typer.Option("--niche", help="A niche; repeat it for several.", autocompletion=completing.niches),
    ],
    encoders: Annotated[
        str | None,
        typer.Option(
            help="An encoder set of config/encoders.yaml. Default: THUMBRANK_ENCODERS.",
            autocompletion=completing.encoder_sets,
        ),
    ] = None,
    recipe: Annotated[
        str, typer.Option(help="A recipe of config/recipes/.", autocompletion=completing.recipes)
    ] = "default",
) -> None:
    """Run the graph on what the database holds.

    Through Dagster: labels, pairs, embeddings, training, evaluation, deployment.

    Example: thumbrank run --niche gaming --encoders tiny
    """
    from pathlib import Path

    from thumbrank_core.features.specs import load_set
    from thumbrank_core.paths import migrations_folder
    from thumbrank_core.store.migrate import migrate
    from thumbrank_core.store.opening import running_servers
    from thumbrank_core.training.recipe import load_recipe
    from thumbrank_dagster.build import build_defs
    from thumbrank_dagster.instance import command_line_instance
    from thumbrank_dagster.running import ON_STORED_ROWS, GraphOptions, run_graph

    settings = Settings.read()
    niches = list(dict.fromkeys(require_niche(name) for name in niche))
    chosen = load_set(encoders or settings.encoders).name
    load_recipe(recipe)  # a wrong name is said before anything runs
    with (
        listen(console_sink()),
        running_servers(settings) as servers,
        command_line_instance(settings, servers) as instance,
    ):
        migrate(servers.thumbrank, migrations_folder())  # a database out of reach is said before anything runs
        metadata = run_graph(build_defs(), instance, GraphOptions(niches, chosen, recipe, ON_STORED_ROWS))
    console = stdout()
    report = metadata["evaluation_report"]
    table = Table(
        "scorer",
        "pair accuracy, 95 % interval",
        "minus model",
        title=f"{report['n_pairs']:,} pairs of {report['n_test_channels']} unseen channels; encoders {chosen}",
        title_justify="left",
    )
    for record in report["scorers"].records:
        of = record.data
        table.add_row(of["scorer"], of["pair_accuracy_micro"], of["pair_accuracy_micro_minus_model"])
    console.print(table)
    console.print(str(report["verdict_sentence"]))
    serves = metadata["deployed_model"]["champion_version"]
    none = serves == "none"
    console.print("No version serves: none has earned it yet." if none else f"Version {serves} serves now.")
    console.print(f"Report:  {Path(str(report['report']))}")
    console.print("Next:    thumbrank dev" if none else 'Next:    thumbrank score a.jpg b.jpg --title "…"')


@app.command("init", rich_help_panel=OPERATE)
def init_command(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done and change nothing.")] = False,
) -> None:
    """Prepare a server: databases, schemas, dagster.yaml.

    And the limits of Dagster's pools. Safe to repeat.

    Example: thumbrank init --dry-run
    """
    from thumbrank_dagster.setup import plan_init, run_init

    if dry_run:
        for line in plan_init(Settings.read()):
            typer.echo(line)
        return
    with listen(LineSink(typer.echo)):
        run_init(Settings.read())


@app.command("dev", rich_help_panel=START)
def dev_command(
    demo: Annotated[
        bool, typer.Option("--demo", help="On the last demo's state, its simulated YouTube included.")
    ] = False,
    port: Annotated[int, typer.Option(help="Of the Dagster UI, on 127.0.0.1.")] = 3000,
    mlflow_port: Annotated[int, typer.Option(help="Of the MLflow UI, on 127.0.0.1.")] = 5000,
) -> None:
    """Open the Dagster UI and MLflow's on this state.

    Ctrl-C stops everything. Exit status 1 where one of them ended by itself.

    Example: thumbrank dev --demo
    """
    from thumbrank_dagster.dev import Ports, run_dev, run_dev_demo

    with listen(console_sink()):
        status = (run_dev_demo if demo else run_dev)(Settings.read(), Ports(port, mlflow_port))
    raise typer.Exit(status)
