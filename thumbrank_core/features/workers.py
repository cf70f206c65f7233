"""Several processes on one niche: each embeds its shard. Started by torchrun (CPU) or accelerate launch (GPUs).

    torchrun --standalone --nproc-per-node 2 -m thumbrank_core.features.workers --niche tech --world-size 2
    accelerate launch --num_processes 4 -m thumbrank_core.features.workers --niche tech --world-size 4

The world's size is named twice on purpose: `accelerate launch --cpu` starts one process whatever it is asked for, and one
process of four would embed a quarter of the niche and look finished. Kill them at any time; the next start goes on.
"""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from importlib.util import find_spec

import torch
import torch.distributed as dist

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.explain import explain
from thumbrank_core.features.embed import Embedding, embed_niche
from thumbrank_core.features.specs import load_set
from thumbrank_core.features.wanted import Shard
from thumbrank_core.niches import require_niche
from thumbrank_core.progress import console_sink, listen, say
from thumbrank_core.settings import Settings
from thumbrank_core.store.images import ImageStore
from thumbrank_core.store.opening import open_database, running_servers

PATIENCE = timedelta(days=7)
"""How long a worker waits for the others; gloo's own half an hour is less than two shards may differ by."""
LAST_WORDS = 30
"""Seconds in which an interrupted worker may end its batch."""


class WorkersError(ThumbrankError):
    """Workers that are not as many as they should be, or that failed."""


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
    worker = "thumbrank_core.features.workers"
    count = str(task.world_size)
    if torch.cuda.is_available():
        _check_gpus(task.world_size)
        one_machine = ["--multi_gpu", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
        launcher = ["accelerate.commands.launch", *one_machine, "--num_processes", count, "-m", worker]
    else:
        launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", count, "-m", worker]
    # Each worker has its share of the cores: torch's default is all of them for every process.
    cores = os.cpu_count() or 1
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, cores // task.world_size))
    child = subprocess.Popen(
        [sys.executable, "-m", *launcher, *task.arguments()],
        env=os.environ | {"OMP_NUM_THREADS": threads},
        start_new_session=True,
    )
    try:
        code = child.wait()
    except BaseException:
        _end(child)
        raise
    if code != 0:
        raise WorkersError(
            f"{task.niche}: a worker of {count} failed (exit {code}); its words are above. What was embedded is kept: run "
            "the step again."
        )


def _check_gpus(workers: int) -> None:
    if find_spec("accelerate") is None:
        raise WorkersError(
            "Several workers on GPUs need accelerate: pip install 'thumbrank[gpu]', or set workers to 1."
        )
    if workers > torch.cuda.device_count():
        raise WorkersError(
            f"{workers} workers need {workers} GPUs, and there {_are(torch.cuda.device_count())}: set workers to that."
        )


def _end(child: "subprocess.Popen[bytes]") -> None:
    """End the launcher and its workers, gently first."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, how)
        with suppress(subprocess.TimeoutExpired):
            child.wait(timeout=LAST_WORDS)
            return


def _are(count: int) -> str:
    return "is 1" if count == 1 else f"are {count}"


def work(task: Task, settings: Settings) -> int:
    """One worker's part; gives how many pictures all of them computed.

    Raises:
        WorkersError: there are not `world_size` workers.
    """
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if world != task.world_size:
        raise WorkersError(
            f"--world-size is {task.world_size}, and there {_are(world)} running: start them with "
            f"torchrun --standalone --nproc-per-node {task.world_size} on a CPU, or accelerate launch on GPUs."
        )
    if world > 1:
        dist.init_process_group("gloo", timeout=PATIENCE)
    try:
        if world > 1 and dist.get_world_size() != task.world_size:
            raise WorkersError(f"The process group has {dist.get_world_size()} workers instead of {task.world_size}.")
        how = Embedding(
            load_set(task.encoders), offline=settings.offline, compiled=task.compiled, shard=Shard(rank, world)
        )
        with running_servers(settings) as servers, open_database(servers.thumbrank) as database:
            done = embed_niche(database, ImageStore(settings.images), task.niche, how)
            computed = torch.tensor([done.pictures_computed, sum(done.misses.values())])
            if world > 1:  # before the database closes: an embedded one ends with the worker that started it
                dist.all_reduce(computed)
        if rank == 0:
            say(f"{task.niche}: {world} workers embedded {int(computed[0])} pictures, {int(computed[1])} missed.")
        return int(computed[0])
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def main(arguments: Sequence[str] | None = None) -> int:
    """One worker's process; a mendable error is one sentence."""
    parser = argparse.ArgumentParser(prog="python -m thumbrank_core.features.workers", description=__doc__)
    parser.add_argument("--niche", required=True)
    parser.add_argument("--world-size", type=int, required=True, help="how many workers there have to be")
    parser.add_argument("--encoders", help="an encoder set; unset: THUMBRANK_ENCODERS, else production")
    parser.add_argument("--compile", action="store_true", help="run the image tower through torch.compile")
    named = parser.parse_args(arguments)
    with listen(console_sink()):
        try:
            settings = Settings.read()
            task = Task(
                require_niche(named.niche), named.encoders or settings.encoders, named.world_size, named.compile
            )
            work(task, settings)
        except Exception as error:
            sentence = explain(error)
            if sentence is None:
                raise
            sys.stderr.write(sentence + "\n")
            return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
