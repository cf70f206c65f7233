"""One of several processes that train one model. Started by `thumbrank train --workers`, or by hand:

    torchrun --standalone --nproc-per-node 2 -m thumbrank_core.training_worker --world-size 2 --request '{"recipe": "default", …}'
    accelerate launch --num_processes 4 -m thumbrank_core.training_worker --world-size 4 --request '…'

Over several machines each of them runs `thumbrank train` with its own --node-rank. They share THUMBRANK_HOME and DATABASE_URL,
and every process checks that they do; the first one writes.
"""

import argparse
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from thumbrank_core import launch
from thumbrank_core.progress import LineSink, console_sink, listen
from thumbrank_core.retraining import Registered, Request, retrain
from thumbrank_core.settings import Settings
from thumbrank_core.store.database import Database
from thumbrank_core.store.opening import open_database, running_servers
from thumbrank_core.training.stored import check_borders

MODULE = "thumbrank_core.training_worker"


@dataclass(frozen=True)
class Start:
    """How the processes of one training are started: `workers` on each of the `nodes`."""

    workers: int = 1
    nodes: launch.Nodes = launch.ONE_NODE

    @property
    def world_size(self) -> int:
        """Processes in all."""
        return self.workers * self.nodes.count

    def check(self, settings: Settings) -> None:
        """Say what would otherwise be found out node by node.

        Raises:
            WorkersError: several nodes, and a database that only this one has.
        """
        if self.nodes.count > 1 and settings.external_database_url() is None:
            raise launch.WorkersError(
                f"{self.nodes.count} nodes need one database that all of them reach: set DATABASE_URL on each."
            )


def in_processes(request: Request, start: Start, database: Database, settings: Settings) -> None:
    """Train in the processes of this machine and wait for them; the first of them registers.

    Raises:
        BorderError: a niche may not be learnt from: one sentence here instead of one from each process.
        WorkersError: they cannot be started, or one of them failed.
    """
    check_borders(database, settings, request.niches, request.encoders)
    launch.run(MODULE, arguments(request, start.world_size), start.workers, "train", start.nodes)


def other_nodes(request: Request, start: Start) -> list[str]:
    """What each of the other nodes has to run, for whoever starts them."""
    options = ["--recipe", request.recipe]
    options += chain.from_iterable(("--niche", niche) for niche in request.niches)
    options += chain.from_iterable(
        ("--set", f"{name}={json.dumps(value)}") for name, value in request.overrides.items()
    )
    options += [] if request.encoders is None else ["--encoders", request.encoders]
    options += [] if request.resume is None else ["--resume", request.resume]
    options += ["--workers", str(start.workers), "--nodes", str(start.nodes.count)]
    assert start.nodes.rendezvous is not None, "several nodes have one"
    where = ["--rendezvous", start.nodes.rendezvous]
    return [
        shlex.join(["thumbrank", "train", *options, "--node-rank", str(rank), *where])
        for rank in range(start.nodes.count)
        if rank != start.nodes.rank
    ]


def work(request: Request, world_size: int) -> Registered | None:
    """One process's part; what the first one registered.

    Raises:
        WorkersError: there are not `world_size` processes.
    """
    settings = Settings.read()
    with launch.joined(world_size) as rank:
        # One voice of many: the others train the same epochs.
        voice = console_sink() if rank == 0 else LineSink(lambda text: None)
        with listen(voice), running_servers(settings) as servers, open_database(servers.thumbrank) as database:
            done = retrain(request, database, settings)
            launch.wait_for_all(world_size)  # an embedded server ends with the process that started it
            return done


def arguments(request: Request, world_size: int) -> list[str]:
    """As on the command line of one process."""
    return ["--world-size", str(world_size), "--request", request.to_json()]


def parsed(given: Sequence[str] | None) -> tuple[Request, int]:
    """What `arguments` wrote."""
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__)
    parser.add_argument("--world-size", type=int, required=True, help="how many processes there have to be")
    parser.add_argument("--request", required=True, help="what is to be trained, as JSON")
    named = parser.parse_args(given)
    return Request.from_json(named.request), named.world_size


def main(given: Sequence[str] | None = None) -> int:
    """One worker's process; a mendable error is one sentence."""
    return launch.exit_status(lambda: work(*parsed(given)))


if __name__ == "__main__":
    raise SystemExit(main())
