"""Claim: Dagster costs at most a tenth of the work in process, and a run that is launched from the UI at most 8 s on top.

In process: the work of `thumbrank demo` on one simulated world, from an empty home to the promotion, twice in turns, A B A B:
  core     the functions that the assets call, in their order, one after the other: collection, pictures, criteria and baselines,
           pairs, embeddings, niche after niche; then training, assessment, promotion. With what an asset does beside it that a
           team wants anyway: every data version, every count, the evidence of every check. One database for all of it.
  dagster  the same through `run_graph`: that, and opening the instance (its tables are made: the home is empty), the code
           location, 7 runs with their events in Dagster's Postgres, metadata, check results, tables and the plots of the UI.
Each is a process of its own with a home of its own. Before its clock: Postgres and the simulated YouTube start. Inside: every
import (torch, MLflow and matplotlib on both sides, dagster on one). Both must end with the same bundle and the same figures.
The ratio is the median of the pairs' ratios. Seconds by asset are the recorded steps of one side and the calls of the other.

Launched: `thumbrank demo`, then on that complete home `thumbrank dev --demo`, its webserver and daemon, asked over GraphQL as
the UI asks. Launched are the job `refresh_niche` for one niche, whose data are all there, and one asset that does nearly
nothing; at moments that are spread over the daemon's interval. On top is: from the request to the run's end, minus the median of
the same run in a process that is warm. The imports of the run's fresh process are on top: in the steps that need them. Where
the time goes is told by the run's events. Last, a backfill of all niches: the daemon looks for new ones twice a minute.

In process it is the demo's own world, three pairs of runs, and a small one once: what Dagster costs hardly grows with the work.

    make bench NAME=orchestrate
    python benchmarks/bench_orchestrate.py --quick      # a small world once; the figures mean nothing
"""

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parent))
import psutil
from measure import report
from orchestrate_ui import Launched, Ui

from thumbrank_core.assessment import truth_file
from thumbrank_core.evaluation.truth import Truth
from thumbrank_core.settings import Settings
from thumbrank_core.simulator.truth import truth_of
from thumbrank_core.simulator.world import WorldSettings, build_world
from thumbrank_dagster.instance import QUIET

MOST_OVER_CORE, MOST_ON_TOP_S = 1.10, 8.0
DEQUEUE_S = 1.0
"""Seconds between two looks of Dagster's daemon at its queue (instance_file.py); launches are spread over them."""
GOLDEN = 0.618
"""Multiples of it, without their whole part, are spread over any interval however many they are."""
STOP_S = 60.0
OURS = ("THUMBRANK_", "SUPABASE_", "YOUTUBE_", "MLFLOW_", "DAGSTER_", "DATABASE_URL", "HF_")
"""Variables of whoever runs this that must reach nothing here: a team's database stays a team's."""

SAID, WORDS = "said.txt", "words.log"

Row = dict[str, Any]


PAIRS, LAUNCHES = 3, 5
"""Runs of core and dagster; launches of each kind."""


@contextmanager
def child(home: Path, *command: object) -> Generator["subprocess.Popen[bytes]"]:
    """A Python program that works below `home`, in a session of its own; what it says goes to files there. With all that it started
    it ends with the block, also at Ctrl-C."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    with (home / SAID).open("w", encoding="utf-8") as said, (home / WORDS).open("a", encoding="utf-8") as words:
        process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            cwd=home,  # nobody's .env
            env=environment | QUIET | {"THUMBRANK_HOME": str(home), "PYTHONWARNINGS": "ignore"},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=words,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _stop(process)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """SIGTERM, which all of ours take for Ctrl-C; what is left after a minute is killed. A second Ctrl-C changes nothing."""
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, signal.SIG_IGN)
    family: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=STOP_S)
    _, alive = psutil.wait_procs(family, timeout=5)
    for left in alive:
        with suppress(psutil.NoSuchProcess):
            left.kill()
    process.kill()
    process.wait()
    _hear()


def _hear() -> None:
    """Ctrl-C and SIGTERM end the benchmark in order; also where a shell started it in the background, deaf to SIGINT."""
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, _interrupt)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def fail(home: Path, sentence: str) -> NoReturn:
    raise SystemExit(f"{sentence}\n{(home / WORDS).read_text(encoding='utf-8')[-3000:]}")


def finish(home: Path, *command: object) -> str:
    """Run to the end; returns what it printed."""
    with child(home, *command) as process:
        status = process.wait()
    if status:
        fail(home, f"{' '.join(map(str, command))} ended with exit status {status}:")
    return (home / SAID).read_text(encoding="utf-8")


@contextmanager
def new_home() -> Generator[Path]:
    """An empty folder that Postgres' own user may pass through where this runs as root."""
    with tempfile.TemporaryDirectory(prefix="thumbrank-bench-orchestrate-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


def _named(world: WorldSettings) -> list[object]:
    return ["--seed", world.seed, "--channels", world.channels_per_niche, "--videos", world.videos_per_channel]


def side(name: str, world: WorldSettings, truth: Truth) -> Row:
    """One side from an empty home."""
    with new_home() as home:
        truth.save(truth_file(Settings.read().model_copy(update={"home": home})))
        found: Row = json.loads(
            finish(home, Path(__file__).with_name("orchestrate_sides.py"), name, *_named(world)).splitlines()[-1]
        )
    print(f"  {name:<8} {found['seconds']:7.1f} s", flush=True)
    return found


def in_process(world: WorldSettings, pairs: int) -> list[Row]:
    """Both sides in turns: the ratio, where Dagster's time is, and the seconds of each asset."""
    size = f"{world.channels_per_niche} x {world.videos_per_channel}"
    print(f"in process, {pairs} pairs, {size} videos a niche", flush=True)
    truth = truth_of(build_world(world))
    runs = [(side("core", world, truth), side("dagster", world, truth)) for _ in range(pairs)]
    core, dagster = [run for run, _ in runs], [run for _, run in runs]
    results = [run["found"] for run in (*core, *dagster)]
    if any(result != results[0] for result in results):
        raise SystemExit(f"The sides did not do the same work: {results}")
    whole: Row = {
        "part": "in process",
        "world": size,
        "pairs": pairs,
        "core_s": _median(core, "seconds"),
        "dagster_s": _median(dagster, "seconds"),
        "dagster_over_core": _mid([b["seconds"] / a["seconds"] for a, b in runs]),
        "dagster_over_core_each": [round(b["seconds"] / a["seconds"], 3) for a, b in runs],
        "core_s_each": [run["seconds"] for run in core],
        "dagster_s_each": [run["seconds"] for run in dagster],
        **{name: _median(dagster, name) for name in ("import_s", "open_instance_s", "between_steps_s")},
        "runs": dagster[-1]["runs"],
        "dagster_sessions": dagster[-1]["sessions"],
        "same_bundle": results[0]["bundle"][:12],
        "pair_accuracy": round(results[0]["pair_accuracy"], 4),
        "test_pairs": results[0]["n_pairs"],
    }
    assets: list[Row] = [
        {
            "part": "asset",
            "world": size,
            "asset": name,
            "core_s": _mid([run["assets"][name] for run in core]),
            "dagster_s": _mid([run["assets"][name] for run in dagster]),
        }
        for name in core[0]["assets"]
    ]
    return [whole, *assets]


def _median(runs: Sequence[Row], name: str) -> float:
    return _mid([run[name] for run in runs])


def _mid(values: Sequence[float]) -> float:
    return round(statistics.median(values), 3)


def launched(world: WorldSettings, launches: int) -> list[Row]:
    """On a complete demo: the same runs in process and from the UI."""
    with new_home() as home:
        print("launched: a demo that is complete", flush=True)
        finish(home, "-m", "thumbrank_dagster", "demo", *_named(world))
        sides = Path(__file__).with_name("orchestrate_sides.py")
        said = finish(home, sides, "again", *_named(world), "--repeats", launches)
        warm: dict[str, Row] = json.loads(said.splitlines()[-1])
        for name, runs in warm.items():
            print(f"  {name:<18} in process {_mid(runs['warm_s']):6.2f} s", flush=True)
        port, mlflow_port = _free_ports()
        with child(
            home, "-m", "thumbrank_dagster", "dev", "--demo", "--port", port, "--mlflow-port", mlflow_port
        ) as dev:
            ui = Ui(port)
            if not ui.wait(lambda: dev.poll() is None):
                fail(home, "thumbrank dev --demo did not become ready:")
            found: dict[str, list[Launched]] = {name: [] for name in warm}
            for number in range(launches):
                for name, runs in found.items():
                    time.sleep(DEQUEUE_S * ((number * GOLDEN) % 1))
                    runs.append(ui.launch(name))
                    print(
                        f"  {name:<18} launched   {runs[-1].seconds:6.2f} s, {runs[-1].queue_s:.2f} s of it queued",
                        flush=True,
                    )
            print("  a backfill of all niches", flush=True)
            backfilled = ui.backfill()
    return [*(_on_top(name, runs, warm[name]) for name, runs in found.items()), backfilled]


def _on_top(name: str, runs: Sequence[Launched], warm: Row) -> Row:
    in_process_s = _mid(warm["warm_s"])
    middle = {
        field.name: _mid([getattr(run, field.name) for run in runs])
        for field in fields(Launched)
        if field.name != "seconds"
    }
    return {
        "part": "launched",
        "what": name,
        "launches": len(runs),
        "launched_s": _mid([run.seconds for run in runs]),
        "in_process_s": in_process_s,
        "on_top_s": _mid([run.seconds - in_process_s for run in runs]),
        "on_top_s_each": [round(run.seconds - in_process_s, 2) for run in runs],
        **middle,
        "queue_s_most": round(max(run.queue_s for run in runs), 2),
        "steps_in_process_s": _mid(warm["warm_steps_s"]),
        "first_in_process_s": warm["first_s"],
    }


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        for probe in (one, other):
            probe.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small world once, and no results are written")
    given = parser.parse_args()
    small = WorldSettings(channels_per_niche=24, videos_per_channel=14)
    if given.quick:
        small = WorldSettings(channels_per_niche=8, videos_per_channel=12)
        rows, runs = in_process(small, 1), launched(small, 2)
    else:
        rows = [*in_process(WorldSettings(), PAIRS), *in_process(small, 1)]
        runs = launched(small, LAUNCHES)
    summary: Row = {name: rows[0][name] for name in ("world", "dagster_s", "core_s", "dagster_over_core")}
    on_top = {run["what"]: run["on_top_s"] for run in runs if run["part"] == "launched"}
    summary |= {
        "most_over_core": MOST_OVER_CORE,
        "launched_overhead_s": max(on_top.values()),
        "launched_overhead_s_by_what": on_top,
        "most_overhead_s": MOST_ON_TOP_S,
    }
    if given.quick:
        for row in (*rows, *runs):
            print("  " + ", ".join(f"{name}={value}" for name, value in row.items()))
        print("quick: the figures mean nothing, and no results are written")
    else:
        report("orchestrate", ("dagster", "dagster-postgres", "torch", "psycopg2-binary"), [*rows, *runs, summary])
    print(json.dumps(summary))


if __name__ == "__main__":
    _hear()
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit("Interrupted: everything that was started is stopped.") from None
