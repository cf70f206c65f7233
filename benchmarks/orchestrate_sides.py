"""The sides of bench_orchestrate.py, each in a process of its own: `core`, `dagster` and `again`. The last line is JSON.

What belongs here: the work that is timed, and its clocks. Starting, comparing and writing down is bench_orchestrate.py.
Every import that a side needs beyond settings, Postgres and the simulator happens inside its clock, as late as the product
imports it. `dagster` is never imported by the side `core`.
"""

import argparse
import json
import os
import signal
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

from thumbrank_core.niches import NICHES
from thumbrank_core.progress import console_sink, listen, say
from thumbrank_core.settings import Settings
from thumbrank_core.simulator.server import SimulatorServer
from thumbrank_core.simulator.world import WorldSettings
from thumbrank_core.store.opening import Servers, open_database, running_servers

if TYPE_CHECKING:
    import dagster as dg
    import psycopg

    from thumbrank_core.labels.build import Built
    from thumbrank_core.policy import Policy
    from thumbrank_core.store.database import Database
    from thumbrank_core.store.images import ImageStore

ENCODERS, RECIPE = "tiny", "default"
WHOLE_NICHE, ONE_ASSET = "refresh_niche", "channel_baselines"
"""What is launched from the UI: a job of five assets, and one asset that reads and writes a few rows."""
LAUNCHED_NICHE = NICHES[0]

Row = dict[str, Any]


@dataclass
class Clock:
    """Seconds by the name of an asset; where a name comes again they are added."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Generator[None]:
        """Time the block."""
        started = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

    def rounded(self) -> dict[str, float]:
        """For the results."""
        return {name: round(seconds, 3) for name, seconds in self.seconds.items()}


@contextmanager
def world_running(world: WorldSettings) -> Generator[tuple[Settings, Servers]]:
    """An empty Postgres and a simulated YouTube, and the settings of both in this process's environment: before any clock."""
    with running_servers(Settings.read(), durable=False) as servers, SimulatorServer(world) as simulator:
        os.environ.update(
            {
                "DATABASE_URL": servers.thumbrank,
                "YOUTUBE_API_KEY": "simulator",
                "YOUTUBE_API_ENDPOINT": simulator.endpoint,
                "THUMBRANK_ENCODERS": ENCODERS,
                "HF_HUB_OFFLINE": "1",
            }
        )
        yield Settings.read(), servers


@dataclass(frozen=True)
class State:
    """What the core functions work on."""

    settings: Settings
    database: "Database"
    images: "ImageStore"


def core(world: WorldSettings) -> Row:
    """The product's work without an orchestrator: the functions that the assets call, niche after niche, then the model's."""
    clock = Clock()
    with world_running(world) as (settings, servers):
        started = time.perf_counter()
        with open_database(servers.thumbrank) as database:
            from thumbrank_core.store.images import ImageStore

            state = State(settings, database, ImageStore(settings.images))
            for number, niche in enumerate(NICHES, start=1):
                say(f"[{number}/{len(NICHES)}] {niche}")
                with clock.part("raw_videos"):
                    _raw_videos(state, niche)
                with clock.part("thumbnail_images"):
                    _thumbnail_images(state, niche)
                with clock.part("channel_baselines"):
                    _channel_baselines(state, niche)
                with clock.part("training_pairs"):
                    _training_pairs(state, niche)
                with clock.part("embeddings"):
                    _embeddings(state, niche)
            _model(state, clock)
        seconds = time.perf_counter() - started
        return {"seconds": round(seconds, 3), "assets": clock.rounded(), "found": outcome(settings)}


def _raw_videos(state: State, niche: str) -> None:
    from thumbrank_core.exclusions import load_exclusions
    from thumbrank_core.niches import load_niches
    from thumbrank_core.policy import load_policy
    from thumbrank_core.store.versions import data_version, stored_videos
    from thumbrank_core.youtube.collect import collect_niche
    from thumbrank_core.youtube.connect import client_of, source_of

    policy, asked = load_policy(profile=state.settings.profile), load_niches()[niche]
    api, source = client_of(state.settings), source_of(state.settings)
    collect_niche(state.database, api, niche, asked, policy, source, load_exclusions())
    with state.database.connection() as connection:
        data_version(connection, "videos", niche)
        stored_videos(connection, niche)


def _thumbnail_images(state: State, niche: str) -> None:
    from thumbrank_core.exclusions import load_exclusions
    from thumbrank_core.policy import load_policy
    from thumbrank_core.store.versions import data_version, stored_pictures
    from thumbrank_core.youtube.pictures import fetch_pictures

    policy = load_policy(profile=state.settings.profile)
    fetch_pictures(state.database, state.images, niche, policy, load_exclusions())
    with state.database.connection() as connection:
        data_version(connection, "pictures", niche)
        stored_pictures(connection, niche)


def _channel_baselines(state: State, niche: str) -> None:
    from thumbrank_core.labels.baselines import replace_baselines
    from thumbrank_core.labels.build import judge, load_rules
    from thumbrank_core.labels.criteria import outlier_effect
    from thumbrank_core.store.versions import data_version

    with state.database.connection() as connection:
        judge(connection, niche, load_rules(niche, state.settings.profile))
        outlier_effect(connection, niche)
        replace_baselines(connection, niche)
        data_version(connection, "baselines", niche)


def _training_pairs(state: State, niche: str) -> None:
    from thumbrank_core.labels.build import build_pairs, load_rules
    from thumbrank_core.store.versions import data_version

    rules = load_rules(niche, state.settings.profile)
    with state.database.connection() as connection:
        built = build_pairs(connection, niche, rules)
        data_version(connection, "pairs", niche)
    with state.database.connection() as connection:
        _pair_evidence(connection, niche, rules.policy, built)


def _pair_evidence(connection: "psycopg.Connection", niche: str, policy: "Policy", built: "Built") -> None:
    """What the checks of `training_pairs` look at."""
    from datetime import UTC, datetime

    from thumbrank_core.labels.evidence import clock, leaks, reliability, staleness
    from thumbrank_core.labels.sizes import sizes

    leaks(connection, niche)
    clock(connection, niche)
    sizes(connection)
    reliability(connection, niche, policy.labels.label, built.labels.curve)
    staleness(connection, niche, datetime.now(UTC))


def _embeddings(state: State, niche: str) -> None:
    from thumbrank_core.features.drift import last_sketch, save_sketch, sketch
    from thumbrank_core.features.embed import Embedding, embed_niche
    from thumbrank_core.features.precision import settle
    from thumbrank_core.features.quality import duplicates, norms
    from thumbrank_core.features.specs import load_set
    from thumbrank_core.features.stored import read_niche

    with state.database.connection() as connection:
        encoders = settle(connection, load_set(ENCODERS))
    embed_niche(state.database, state.images, niche, Embedding(encoders, offline=state.settings.offline))
    with state.database.connection() as connection:
        stored = read_niche(connection, niche, encoders)
        for vectors in (stored.image, stored.title, stored.caption):
            norms(vectors)
        duplicates(stored.image)
        last_sketch(connection, niche, stored.image_key)  # of an empty home there is none to compare with
        save_sketch(connection, niche, stored.image_key, sketch(stored.image))


def _model(state: State, clock: Clock) -> None:
    say("training, evaluating, deploying")
    with clock.part("trained_model"):
        from thumbrank_core.retraining import Request, retrain

        retrain(Request(NICHES, RECIPE, encoders=ENCODERS), state.database, state.settings)
    with clock.part("evaluation_report"):
        from thumbrank_core.assessment import assess
        from thumbrank_core.registry import Registry

        assess(state.database, state.settings, Registry(state.settings.tracking_uri))
    with clock.part("deployed_model"):
        from thumbrank_core.promotion import promote, proposed

        registry = Registry(state.settings.tracking_uri)
        proposal = proposed(registry)
        number, against = proposal.version.number, proposal.verdict.against
        promote(state.database, registry, version=number, expected=against, who="benchmark")


def outcome(settings: Settings) -> Row:
    """What came out, after the clock: both sides must have made the same model and measured the same."""
    from thumbrank_core.registry import Registry

    version = Registry(settings.tracking_uri).challenger()
    report = settings.reports / version.fingerprint[:12] / "evaluation.json"
    figures = json.loads(report.read_text(encoding="utf-8"))
    names = ("n_pairs", "n_test_channels", "pair_accuracy", "pair_auc", "verdict")
    return {"bundle": version.fingerprint} | {name: figures[name] for name in names}


def dagster(world: WorldSettings) -> Row:
    """The same through Dagster in this process, as `thumbrank demo` runs it; then, after the clock, where the time went."""
    with world_running(world) as (settings, servers):
        started = time.perf_counter()
        from thumbrank_dagster.build import build_defs
        from thumbrank_dagster.defs.operations.jobs import NICHE_ASSETS
        from thumbrank_dagster.instance import command_line_instance
        from thumbrank_dagster.running import GraphOptions, run_graph

        definitions = build_defs()
        imported = time.perf_counter()
        with command_line_instance(settings, servers) as instance:
            opened = time.perf_counter()
            run_graph(definitions, instance, GraphOptions(NICHES, ENCODERS, RECIPE, NICHE_ASSETS))
            seconds = time.perf_counter() - started
            assets, runs = _recorded(instance)
        return {
            "seconds": round(seconds, 3),
            "import_s": round(imported - started, 3),
            "open_instance_s": round(opened - imported, 3),
            "between_steps_s": round(seconds - (opened - started) - sum(assets.values()), 3),
            "runs": runs,
            "sessions": _sessions(servers),
            "assets": {name: round(spent, 3) for name, spent in assets.items()},
            "found": outcome(settings),
        }


def _recorded(instance: "dg.DagsterInstance") -> tuple[dict[str, float], int]:
    """Seconds in steps by asset, and the number of runs."""
    found: dict[str, float] = {}
    runs = instance.get_runs()
    for run in reversed(runs):
        for name, seconds in _in_steps(instance, run.run_id).items():
            found[name] = found.get(name, 0.0) + seconds
    return found, len(runs)


def _in_steps(instance: "dg.DagsterInstance", run_id: str) -> dict[str, float]:
    """Seconds of a run's steps as the instance recorded them, its own writing inside a step included."""
    stats = instance.get_run_step_stats(run_id)
    return {
        step.step_key: step.end_time - step.start_time
        for step in stats
        if step.start_time is not None and step.end_time is not None
    }


def _sessions(servers: Servers) -> int:
    """How often somebody connected to Dagster's database, the making of its tables included."""
    import psycopg

    assert servers.dagster is not None, "the embedded server has one"
    with psycopg.connect(servers.dagster) as connection:
        row = connection.execute("select sessions from pg_stat_database where datname = current_database()").fetchone()
    return int(row[0]) if row else 0


def again(world: WorldSettings, repeats: int) -> Row:
    """On a demo that is complete: what is launched from the UI, in this process instead. A first run of each warms up."""
    from dagster import AssetKey

    from thumbrank_dagster.build import build_defs
    from thumbrank_dagster.demo import stage
    from thumbrank_dagster.instance import command_line_instance
    from thumbrank_dagster.running import QUIET_LOGS

    with stage(Settings.read(), world) as ready, command_line_instance(ready.settings, ready.servers) as instance:
        definitions = build_defs()
        jobs = {
            WHOLE_NICHE: (definitions.resolve_job_def(WHOLE_NICHE), None),
            ONE_ASSET: (definitions.resolve_implicit_global_asset_job_def(), [AssetKey(ONE_ASSET)]),
        }
        seconds: dict[str, list[float]] = {name: [] for name in jobs}
        steps: dict[str, list[float]] = {name: [] for name in jobs}
        for _ in range(1 + repeats):
            for name, (job, selection) in jobs.items():
                started = time.perf_counter()
                done = job.execute_in_process(
                    run_config=QUIET_LOGS, instance=instance, partition_key=LAUNCHED_NICHE, asset_selection=selection
                )
                seconds[name].append(round(time.perf_counter() - started, 3))
                steps[name].append(round(sum(_in_steps(instance, done.run_id).values()), 3))
    return {
        name: {"first_s": seconds[name][0], "warm_s": seconds[name][1:], "warm_steps_s": steps[name][1:]}
        for name in jobs
    }


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=["core", "dagster", "again"])
    for name in ("--seed", "--channels", "--videos", "--repeats"):
        parser.add_argument(name, type=int, required=name != "--repeats")
    options = parser.parse_args(given)
    world = WorldSettings(seed=options.seed, channels_per_niche=options.channels, videos_per_channel=options.videos)
    with listen(console_sink()):
        sides = {"core": core, "dagster": dagster, "again": partial(again, repeats=options.repeats)}
        found = sides[options.side](world)
    print(json.dumps(found))


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)  # ends like Ctrl-C: Postgres and the simulator are stopped
    main()
