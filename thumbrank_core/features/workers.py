"""Several processes on one niche: each embeds its shard. Started by torchrun (CPU) or accelerate launch (GPUs).

    torchrun --standalone --nproc-per-node 2 -m thumbrank_core.features.workers --niche tech --world-size 2
    accelerate launch --num_processes 4 -m thumbrank_core.features.workers --niche tech --world-size 4

The world's size is named twice on purpose: `accelerate launch --cpu` starts one process whatever it is asked for, and one
process of four would embed a quarter of the niche and look finished. Kill them at any time; the next start goes on.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist

from thumbrank_core import launch
from thumbrank_core.features.embed import Embedding, embed_niche
from thumbrank_core.features.specs import load_set
from thumbrank_core.features.wanted import Shard
from thumbrank_core.niches import require_niche
from thumbrank_core.progress import console_sink, listen, say
from thumbrank_core.settings import Settings
from thumbrank_core.store.images import ImageStore
from thumbrank_core.store.opening import open_database, running_servers


@dataclass(frozen=True)
class Task:
    """What the workers of one start do."""

    niche: str
    encoders: str
    world_size: int
    compiled: bool = False

    def arguments(self) -> list[str]:
        """As on the command line of one worker."""
        options = ["--niche", self.niche, "--encoders", self.encoders, "--world-size", str(self.world_size)]
        return [*options, "--compile"] if self.compiled else options


def start(task: Task) -> None:
    """Start the workers on this machine and wait for them.

    Raises:
        WorkersError: one of them failed; what it said is on stderr.
    """
    launch.run("thumbrank_core.features.workers", task.arguments(), task.world_size, task.niche)


def work(task: Task, settings: Settings) -> int:
    """One worker's part; gives how many pictures all of them computed.

    Raises:
        WorkersError: there are not `world_size` workers.
    """
    with launch.joined(task.world_size) as rank:
        how = Embedding(
            load_set(task.encoders),
            offline=settings.offline,
            compiled=task.compiled,
            shard=Shard(rank, task.world_size),
        )
        with running_servers(settings) as servers, open_database(servers.thumbrank) as database:
            done = embed_niche(database, ImageStore(settings.images), task.niche, how)
            computed = torch.tensor([done.pictures_computed, sum(done.misses.values())])
            if task.world_size > 1:  # before the database closes: an embedded one ends with the worker that started it
                dist.all_reduce(computed)
        if rank == 0:
            world = task.world_size
            say(f"{task.niche}: {world} workers embedded {int(computed[0])} pictures, {int(computed[1])} missed.")
        return int(computed[0])


def main(arguments: Sequence[str] | None = None) -> int:
    """One worker's process; a mendable error is one sentence."""
    parser = argparse.ArgumentParser(prog="python -m thumbrank_core.features.workers", description=__doc__)
    parser.add_argument("--niche", required=True)
    parser.add_argument("--world-size", type=int, required=True, help="how many workers there have to be")
    parser.add_argument("--encoders", help="an encoder set; unset: THUMBRANK_ENCODERS, else production")
    parser.add_argument("--compile", action="store_true", help="run the image tower through torch.compile")
    named = parser.parse_args(arguments)

    def embed() -> int:
        settings = Settings.read()
        task = Task(require_niche(named.niche), named.encoders or settings.encoders, named.world_size, named.compile)
        return work(task, settings)

    with listen(console_sink()):
        return launch.exit_status(embed)


if __name__ == "__main__":
    raise SystemExit(main())
