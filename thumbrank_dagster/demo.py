"""`thumbrank demo`: the whole pipeline on real components and a simulated YouTube, from an empty folder to a verdict.

What belongs here: setting the stage and telling what came out. Every step in between is the product itself.
"""

import json
import os
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from rich.table import Table

from thumbrank_core.assessment import truth_file
from thumbrank_core.cli import stdout
from thumbrank_core.niches import NICHES
from thumbrank_core.ports import is_free
from thumbrank_core.progress import say
from thumbrank_core.settings import Settings
from thumbrank_core.simulator.server import SimulatorServer
from thumbrank_core.simulator.truth import truth_of
from thumbrank_core.simulator.world import WorldSettings, build_world
from thumbrank_core.store.files import write_text
from thumbrank_core.store.opening import Servers, running_servers
from thumbrank_dagster.build import build_defs
from thumbrank_dagster.defs.operations.jobs import NICHE_ASSETS
from thumbrank_dagster.instance import command_line_instance, environment
from thumbrank_dagster.memory import PeakMemory
from thumbrank_dagster.running import GraphOptions, run_graph

ENCODERS = "tiny"
RECIPE = "default"
_PORT = "simulator.port"


@dataclass(frozen=True)
class DemoWorld:
    """A running simulated world with its state: what `demo` works on and `dev --demo` opens again."""

    settings: Settings
    servers: Servers
    endpoint: str


def demo_folder(settings: Settings) -> Path:
    """Where demos live: apart from a team's own state, so that simulated rows never meet real ones."""
    return settings.home / "demo"


def world_home(settings: Settings, world: WorldSettings) -> Path:
    """The state of one world. Each world has its own, so that none is ever mixed with another."""
    name = f"seed{world.seed}-effect{world.effect:g}-{world.channels_per_niche}x{world.videos_per_channel}"
    return demo_folder(settings) / "worlds" / name


@contextmanager
def stage(settings: Settings, world: WorldSettings) -> Generator[DemoWorld]:
    """Start the simulator and the world's Postgres, and point this process at them; all of it ends with the block."""
    home = world_home(settings, world)
    inside = settings.model_copy(
        update={"home": home, "database_url": None, "supabase_url": None, "supabase_key": None, "dagster_pg_url": None}
    )
    home.mkdir(parents=True, exist_ok=True)
    (home / "world.json").write_text(json.dumps(_world_json(world), indent=2) + "\n", encoding="utf-8")
    with ExitStack() as stack:
        servers = stack.enter_context(running_servers(inside, durable=False))
        simulator = stack.enter_context(SimulatorServer(world, port=_same_port(home)))
        (home / _PORT).write_text(simulator.endpoint.rsplit(":", 1)[1], encoding="utf-8")
        os.environ.update(
            environment(inside, servers)
            | {
                "YOUTUBE_API_KEY": "simulator",
                "YOUTUBE_API_ENDPOINT": simulator.endpoint,
                "THUMBRANK_ENCODERS": ENCODERS,
                "HF_HUB_OFFLINE": "1",
                "MLFLOW_TRACKING_URI": f"sqlite:///{home / 'mlflow' / 'mlflow.db'}",  # never a team's own server
            }
        )
        inside = inside.model_copy(
            update={
                "database_url": SecretStr(servers.thumbrank),
                "youtube_api_endpoint": simulator.endpoint,
                "mlflow_tracking_uri": None,
                "encoders": ENCODERS,
                "offline": True,
            }
        )
        yield DemoWorld(inside, servers, simulator.endpoint)


def _same_port(home: Path) -> int:
    """The port of the world's YouTube at the last run, or 0 for any: what a run that was ended has listed names its pictures by
    that port, and the next run downloads them."""
    try:
        port = int((home / _PORT).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return 0
    return port if is_free(port) else 0


def last_world(settings: Settings) -> WorldSettings:
    """The world of the last demo, or the default one."""
    path = demo_folder(settings) / "summary.json"
    if not path.is_file():
        return WorldSettings()
    return WorldSettings(**json.loads(path.read_text(encoding="utf-8"))["world"])


def run_demo(settings: Settings, world: WorldSettings) -> dict[str, Any]:
    """Run everything and write summary.json; returns what it holds.

    Raises:
        GraphError: a step stopped.
        KeyboardInterrupt: Ctrl-C; the next run continues from what is stored.
    """
    started = time.monotonic()
    with PeakMemory() as memory:
        say(f"A simulated YouTube (seed {world.seed}) and a real Postgres on 127.0.0.1; nothing leaves this machine.")
        with stage(settings, world) as ready:
            # The only thing that passes from the world to the product other than over HTTP.
            truth_of(build_world(world)).save(truth_file(ready.settings))
            with command_line_instance(ready.settings, ready.servers) as instance:
                options = GraphOptions(NICHES, ENCODERS, RECIPE, NICHE_ASSETS)
                metadata = run_graph(build_defs(), instance, options)
    report = Path(str(metadata["evaluation_report"]["report"]))
    figures = json.loads((report.parent / "evaluation.json").read_text(encoding="utf-8"))
    found = figures | {
        "seconds": round(time.monotonic() - started, 1),
        "peak_pss_mb": round(memory.megabytes, 1),
        "encoders": ENCODERS,
        "recipe": RECIPE,
        "trained": bool(metadata["trained_model"]["trained"]),
        "champion_version": metadata["deployed_model"]["champion_version"],
        "report": str(report),
        "home": str(ready.settings.home),
        "world": _world_json(world),
        "simulated": True,
    }
    folder = demo_folder(settings)
    write_text(folder / "summary.json", json.dumps(found, indent=2) + "\n")
    return found


def _world_json(world: WorldSettings) -> dict[str, Any]:
    return {
        "seed": world.seed,
        "channels_per_niche": world.channels_per_niche,
        "videos_per_channel": world.videos_per_channel,
        "effect": world.effect,
    }


def show(found: Mapping[str, Any]) -> None:
    """The table at the end: the model, the reference models and the ceiling, each with its interval, and what to do next."""
    console = stdout()
    table = Table(
        title=f"Pair accuracy on {found['n_pairs']:,} pairs of {found['n_test_channels']} unseen channels (simulated, not YouTube)",
        title_justify="left",
    )
    table.add_column("scorer")
    for name in ("pair accuracy", "95 % interval", "minus model"):
        table.add_column(name, justify="right")
    intervals = found["reference_intervals"] | {"model": (found["ci_low"], found["ci_high"])}
    accuracies = found["references"] | {"model": found["pair_accuracy"]}
    for name in sorted(accuracies, key=lambda name: (name != "model", -accuracies[name])):
        gap = "" if name == "model" else f"{found['minus_model'][name]['value']:+.3f}"
        style = "bold" if name == "model" else ""
        table.add_row(name, f"{accuracies[name]:.3f}", _between(*intervals[name]), gap, style=style)
    table.add_section()
    table.add_row(
        "ceiling (this world's truth)",
        f"{found['ceiling']:.3f}",
        "",
        f"{found['ceiling'] - found['pair_accuracy']:+.3f}",
    )
    console.print(table)
    console.print(
        f"Pair AUC {found['pair_auc']:.3f} (95 % interval {_between(found['pair_auc_ci_low'], found['pair_auc_ci_high'])}). "
        f"Encoders: {found['encoders']}. Label: {found['label']}."
    )
    ece = found["calibration"]["ece"]
    console.print(
        f"Calibration error (ECE) {ece['value']:.3f} (95 % interval {_between(ece['ci_low'], ece['ci_high'])})."
    )
    later = found["sets"]["unseen_later"]
    if later is not None:
        accuracy = later["scorers"]["model"]["pair_accuracy_micro"]
        console.print(
            f"Later in time than its training: {accuracy['value']:.3f} ({_between(accuracy['ci_low'], accuracy['ci_high'])}) on "
            f"{later['n_pairs']:,} pairs of {later['n_channels']} unseen channels."
        )
    console.print(found["verdict_sentence"])
    console.print(f"{found['seconds']:.0f} s, peak {found['peak_pss_mb']:,.0f} MB (PSS, all processes).")
    console.print(f"Report:  {found['report']}")
    console.print("Next:    make dev   (the Dagster UI on this same state)")


def _between(low: float | None, high: float | None) -> str:
    """The bounds of an interval; one channel has none."""
    return "none of one channel" if low is None or high is None else f"{low:.3f} to {high:.3f}"
