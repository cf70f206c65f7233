"""Starting several processes of one module: torchrun on CPUs (gloo), accelerate launch on GPUs (NCCL).

What belongs here: how they are started and ended, by which exit status too, and that they are as many as they should be.
`accelerate launch --cpu` starts one process whatever it is asked for, so every process is told the number and checks it
(`joined`). What they do is their module's.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from importlib.util import find_spec

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.explain import explain

PATIENCE = timedelta(days=7)
"""How long a process waits for the others; gloo's own half an hour is less than two shares may differ by."""
LAST_WORDS = 30
"""Seconds in which an interrupted process may save what it has."""


class WorkersError(ThumbrankError):
    """Processes that are not as many as they should be, or that failed."""


def command(module: str, arguments: Sequence[str], workers: int) -> list[str]:
    """The command line that runs `workers` processes of `module` on this machine.

    Raises:
        WorkersError: there are fewer GPUs, or accelerate is not installed.
    """
    import torch

    count = str(workers)
    if torch.cuda.is_available():
        _check_gpus(workers, torch.cuda.device_count())
        one_machine = ["--multi_gpu", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
        launcher = ["accelerate.commands.launch", *one_machine, "--num_processes", count, "-m", module]
    else:
        launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", count, "-m", module]
    return [sys.executable, "-m", *launcher, *arguments]


def environment(workers: int) -> dict[str, str]:
    """This environment, with a share of the cores for each process: torch's default is all of them for every one."""
    cores = os.cpu_count() or 1
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, cores // workers))
    return os.environ | {"OMP_NUM_THREADS": threads}


def run(module: str, arguments: Sequence[str], workers: int, what: str) -> None:
    """Start the processes and wait for them; ended with this one.

    Args:
        module: what each of them runs.
        arguments: on its command line.
        workers: how many.
        what: whose work it is, for the sentence when one fails.

    Raises:
        WorkersError: one of them failed; what it said is on stderr.
    """
    child = subprocess.Popen(command(module, arguments, workers), env=environment(workers), start_new_session=True)
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
            raise WorkersError(f"The process group has {dist.get_world_size()} workers instead of {world_size}.")
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
        return 130
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
    if find_spec("accelerate") is None:
        raise WorkersError(
            "Several workers on GPUs need accelerate: pip install 'thumbrank[gpu]', or set workers to 1."
        )
    if workers > gpus:
        raise WorkersError(f"{workers} workers need {workers} GPUs, and there {_are(gpus)}: set workers to that.")


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
