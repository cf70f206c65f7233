"""The console script: mounts the library's verbs and adds those that run the graph."""

import signal
from types import FrameType
from typing import Annotated

import typer

from thumbrank_core.cli import app, stdout
from thumbrank_core.niches import require_niche
from thumbrank_core.progress import console_sink, listen
from thumbrank_core.settings import Settings

__all__ = ["app", "main"]


@app.command("demo")
def demo_command(
    seed: Annotated[int, typer.Option(help="Which simulated world.")] = 0,
    effect: Annotated[float, typer.Option(help="How much pictures and titles move views; 0: not at all.")] = 1.0,
    channels: Annotated[int, typer.Option(help="Channels per niche.", min=1)] = 80,
    videos: Annotated[int, typer.Option(help="Videos per channel.", min=1)] = 20,
) -> None:
    """Run the whole pipeline on a simulated YouTube: no key, no download, a few minutes. Example: thumbrank demo."""
    from thumbrank_core.simulator.world import WorldSettings
    from thumbrank_dagster.demo import run_demo, show

    world = WorldSettings(seed=seed, effect=effect, channels_per_niche=channels, videos_per_channel=videos)
    with listen(console_sink()):
        found = run_demo(Settings.read(), world)
    show(found)


@app.command("run")
def run_command(
    niche: Annotated[list[str], typer.Option("--niche", help="A niche; repeat it for several.")],
    encoders: Annotated[
        str | None, typer.Option(help="An encoder set of config/encoders.yaml. Default: THUMBRANK_ENCODERS.")
    ] = None,
    recipe: Annotated[str, typer.Option(help="A recipe of config/recipes/.")] = "default",
) -> None:
    """Run the graph on what the database holds, through Dagster: labels, pairs, embeddings, training, evaluation, deployment.

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
    from thumbrank_dagster.running import ON_STORED_ROWS, Choice, run_graph

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
        metadata = run_graph(build_defs(), instance, Choice(niches, chosen, recipe, {}, ON_STORED_ROWS))
    console = stdout()
    report = metadata["evaluation_report"]
    console.print(str(report["verdict_sentence"]))
    for name in ("pair_accuracy_micro", "pair_auc_pooled"):
        console.print(f"{name}: {float(report[name]):.3f}")
    console.print(
        f"n = {report['n_pairs']} pairs in {report['n_test_channels']} unseen channels; encoders: {chosen}; "
        f"champion: {metadata['deployed_model']['champion_version']}"
    )
    console.print(f"Report:  {Path(str(report['report']))}")


@app.command("dev")
def dev_command(
    demo: Annotated[
        bool, typer.Option("--demo", help="On the last demo's state, its simulated YouTube included.")
    ] = False,
    port: Annotated[int, typer.Option(help="Of the UI, on 127.0.0.1.")] = 3000,
) -> None:
    """Open the Dagster UI on this state; Ctrl-C stops everything. Example: thumbrank dev --demo."""
    from thumbrank_dagster.dev import run_dev, run_dev_demo

    with listen(console_sink()):
        status = (run_dev_demo if demo else run_dev)(Settings.read(), port)
    raise typer.Exit(status)


def main() -> None:
    """Entry point. SIGTERM ends like Ctrl-C, so that nothing that was started is left behind."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    app()
