"""Several processes that train one model: who they are, and the few things they must agree on.

Started by torchrun (gloo on CPUs, and over several machines) or accelerate launch (NCCL on GPUs); see launch.py.
"""

import hashlib
import secrets
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from thumbrank_core.launch import WorkersError
from thumbrank_core.training.batches import Worker

_CPU = torch.device("cpu")


def worker() -> Worker:
    """This process among those of the process group; the only one where there is no group."""
    if not dist.is_initialized():
        return Worker()
    return Worker(dist.get_rank(), dist.get_world_size())


def shared(model: nn.Module, device: torch.device) -> nn.Module:
    """The model as it is called in a step: gradients are averaged over the processes."""
    if worker().world == 1:
        return model
    devices = [device.index] if device.type == "cuda" else None
    return DistributedDataParallel(model, device_ids=devices, forward_sync_buffers=False)


def summed(values: torch.Tensor) -> torch.Tensor:
    """The sum over the processes."""
    if worker().world > 1:
        dist.all_reduce(values)
    return values


def of_first(values: Sequence[float], device: torch.device) -> list[float]:
    """The first process's figures: all must decide alike, and devices may round differently."""
    if worker().world == 1:
        return list(values)
    tensor = torch.tensor(values, dtype=torch.float64, device=device)
    dist.broadcast(tensor, src=0)
    return [float(value) for value in tensor.tolist()]


def any_of(asked: bool, device: torch.device) -> bool:
    """Whether any process was asked to stop."""
    if worker().world == 1:
        return asked
    flag = torch.tensor([float(asked)], device=device)
    dist.all_reduce(flag, op=dist.ReduceOp.MAX)
    return bool(flag.item() > 0)


def gathered(values: torch.Tensor) -> list[torch.Tensor]:
    """Every process's tensor, (bytes,) on the CPU and of one length, by rank."""
    if worker().world == 1:
        return [values]
    parts = [torch.empty_like(values) for _ in range(worker().world)]
    dist.all_gather(parts, values)
    return parts


def as_first(decided: bool) -> bool:
    """What the first process decided: it alone knows the registry."""
    return of_first([float(decided)], _CPU)[0] > 0


def require_same(text: str) -> None:
    """Go on if every process has this text.

    Raises:
        WorkersError: one has another; in every process.
    """
    first, *others = gathered(torch.frombuffer(bytearray(hashlib.sha256(text.encode()).digest()), dtype=torch.uint8))
    other = [rank for rank, theirs in enumerate(others, 1) if not torch.equal(theirs, first)]
    if other:
        raise WorkersError(
            f"Process {other[0]} was asked for another training than process 0, or read other rows: give every node the same "
            "command and the same DATABASE_URL, and change no table meanwhile."
        )


def require_one_folder(folder: Path) -> None:
    """Go on if every process sees the folder of the first one: checkpoints and bundles are read by all and written by one.

    Raises:
        WorkersError: a process does not; in every process.
    """
    if worker().world == 1:
        return
    name = f".shared-{int(of_first([float(secrets.randbits(48))], _CPU)[0]):x}"
    if worker().rank == 0:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    dist.barrier()
    lost = any_of(not (folder / name).is_file(), _CPU)
    if worker().rank == 0:
        (folder / name).unlink()
    if lost:
        raise WorkersError(
            f"Not every node has the same folder at {folder}: mount one volume there on all of them (THUMBRANK_HOME)."
        )
