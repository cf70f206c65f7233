"""Starting several processes of one module: torchrun on CPUs (gloo), accelerate launch on GPUs (NCCL), torchrun over several machines.

What belongs here: how they are started and ended, by which exit status too, and that they are as many as they should be.
`accelerate launch --cpu` starts one process whatever it is asked for, so every process is told the number and checks it
(`joined`). What they do is their module's.

Several machines (nodes) meet by torchrun's static rendezvous: whoever is called node 0 is node 0, and global rank 0 is its
first process. The c10d rendezvous hands out ranks by arrival, and the process that reports and registers must be the one that
Dagster started.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from importlib.util import find_spec

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.explain import explain
from thumbrank_core.interrupts import EXIT_INTERRUPTED
from thumbrank_core.ports import is_free

PATIENCE = timedelta(days=7)
"""How long a process waits for the others; gloo's own half an hour is less than two shares may differ by."""
ARRIVAL = timedelta(minutes=30)
"""How long nodes wait for one another: a cluster may have to start machines first."""
LAST_WORDS = 30
"""Seconds in which an interrupted process may save what it has."""


class WorkersError(ThumbrankError):
    """Processes that are not as many as they should be, or that failed."""


@dataclass(frozen=True)
class Nodes:
    """This machine among those that work on one thing: number `rank` of `count`. `rendezvous`: host:port of node 0, which every
    node reaches and on which node 0 listens.

    Raises:
        WorkersError: it is not among them, or they cannot meet.
    """

    count: int = 1
    rank: int = 0
    rendezvous: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.count:
            raise WorkersError(f"There is no node {self.rank} of {self.count}: number the nodes from 0 on.")
        if self.count > 1 and self.rendezvous is None:
            raise WorkersError(
                f"{self.count} nodes need a rendezvous: name host:port of node 0 as every node reaches it, such as trainer-0:29400."
            )
        if self.count == 1 and self.rendezvous is not None:
            raise WorkersError(f"A rendezvous ({self.rendezvous}) is for several nodes: say how many, or leave it out.")
        if self.rendezvous is not None:
            _host_and_port(self.rendezvous)

    def options(self) -> list[str]:
        """As torchrun takes them."""
        assert self.rendezvous is not None, "several nodes have one"
        host, port = _host_and_port(self.rendezvous)
        return [
            *("--nnodes", str(self.count), "--node-rank", str(self.rank), "--master-addr", host, "--master-port", port),
            *("--rdzv-conf", f"timeout={round(ARRIVAL.total_seconds())}"),
        ]

    def check_port(self) -> None:
        """See that node 0 can listen where the others look for it.

        Raises:
            WorkersError: something else listens there.
        """
        assert self.rendezvous is not None, "several nodes have one"
        _, port = _host_and_port(self.rendezvous)
        if self.rank == 0 and not is_free(int(port), ""):
            raise WorkersError(
                f"Port {port} of the rendezvous {self.rendezvous} is taken on node 0: stop what uses it, or give every node "
                "another one."
            )


ONE_NODE = Nodes()


def command(module: str, arguments: Sequence[str], workers: int, nodes: Nodes = ONE_NODE) -> list[str]:
    """The command line that runs `workers` processes of `module` on this machine, for this process to start (own_session.py).

    Raises:
        WorkersError: there are fewer GPUs, accelerate is not installed, or node 0's port is taken.
    """
    import torch

    count = str(workers)
    if torch.cuda.is_available():
        _check_gpus(workers, torch.cuda.device_count())
    if nodes.count > 1:
        nodes.check_port()
        launcher = ["torch.distributed.run", *nodes.options(), "--nproc-per-node", count, "-m", module]
    elif torch.cuda.is_available():
        _check_accelerate()
        one_machine = ["--multi_gpu", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
        launcher = ["accelerate.commands.launch", *one_machine, "--num_processes", count, "-m", module]
    else:
        launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", count, "-m", module]
    return [sys.executable, "-m", "thumbrank_core.own_session", str(os.getpid()), "-m", *launcher, *arguments]


def environment(workers: int) -> dict[str, str]:
    """This environment, with a share of the cores for each process: torch's default is all of them for every one."""
    cores = os.cpu_count() or 1
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, cores // workers))
    return os.environ | {"OMP_NUM_THREADS": threads}


def run(module: str, arguments: Sequence[str], workers: int, what: str, nodes: Nodes = ONE_NODE) -> None:
    """Start the processes of this machine and wait for them; ended with this one (on Linux also when it is killed).

    Args:
        module: what each of them runs.
        arguments: on its command line.
        workers: how many on this machine.
        what: whose work it is, for the sentence when one fails.
        nodes: the machines, where there are several.

    Raises:
        WorkersError: one of them failed; what it said is on stderr.
    """
    line = command(module, arguments, workers, nodes)
    child = subprocess.Popen(line, env=environment(workers), start_new_session=True)
    try:
        code = child.wait()
    except BaseException:
        _end(child)
        raise
    if code != 0:
        raise WorkersError(
            f"{what}: a worker of {workers} failed (exit {code}); its words are above. What was done is kept: run the step again."
        )


@contextmanager
def joined(world_size: int) -> Generator[int]:
    """Join the process group of `world_size` processes; yields this one's rank.

    Raises:
        WorkersError: there are not `world_size` of them.
    """
    import torch.distributed as dist

    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if world != world_size:
        raise WorkersError(
            f"--world-size is {world_size}, and there {_are(world)} running: start them with "
            f"torchrun --standalone --nproc-per-node {world_size} on a CPU, or accelerate launch on GPUs."
        )
    if world == 1:
        yield rank
        return
    _begin_group()
    try:
        if dist.get_world_size() != world_size:
            raise WorkersError(
                f"The process group has {dist.get_world_size()} workers instead of {world_size}: start every one of them with "
                "--world-size and WORLD_SIZE of that number."
            )
        yield rank
    finally:
        dist.destroy_process_group()


def wait_for_all(world_size: int) -> None:
    """Go on when every process has come here."""
    import torch.distributed as dist

    if world_size > 1:
        dist.barrier()


def exit_status(work: Callable[[], object]) -> int:
    """Do the work of one process and give its exit status: 130 after Ctrl-C, 1 after a mendable error, which is one sentence
    on stderr. A defect keeps its traceback."""
    try:
        work()
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except Exception as error:
        sentence = explain(error)
        if sentence is None:
            raise
        sys.stderr.write(sentence + "\n")
        return 1
    return 0


def _begin_group() -> None:
    import torch
    import torch.distributed as dist

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        dist.init_process_group("cpu:gloo,cuda:nccl", timeout=PATIENCE)
    else:
        dist.init_process_group("gloo", timeout=PATIENCE)


def _check_gpus(workers: int, gpus: int) -> None:
    if workers > gpus:
        raise WorkersError(f"{workers} workers need {workers} GPUs, and there {_are(gpus)}: set workers to that.")


def _check_accelerate() -> None:
    if find_spec("accelerate") is None:
        raise WorkersError(
            "Several workers on GPUs need accelerate: pip install 'thumbrank[gpu]', or set workers to 1."
        )


def _host_and_port(rendezvous: str) -> tuple[str, str]:
    """Of host:port; an IPv6 host stands in brackets."""
    host, _, port = rendezvous.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise WorkersError(f"The rendezvous {rendezvous} is no host:port: write it such as trainer-0:29400.")
    return host, port


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
