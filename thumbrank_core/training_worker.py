"""One of several processes that train one model. Started by `thumbrank train --workers`, or by hand:

    torchrun --standalone --nproc-per-node 2 -m thumbrank_core.training_worker --world-size 2 --request '{"recipe": "default", …}'
    accelerate launch --num_processes 4 -m thumbrank_core.training_worker --world-size 4 --request '…'

Over several machines each of them runs the same line with its own rank, as accelerate config or torchrun's --nnodes say. They
share THUMBRANK_HOME and DATABASE_URL; the first process writes.
"""

import argparse
from collections.abc import Sequence

from thumbrank_core import launch
from thumbrank_core.progress import LineSink, console_sink, listen
from thumbrank_core.retraining import Registered, Request, retrain
from thumbrank_core.settings import Settings
from thumbrank_core.store.opening import open_database, running_servers

MODULE = "thumbrank_core.training_worker"


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
