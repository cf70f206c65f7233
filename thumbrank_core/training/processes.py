"""Several processes that train one model: who they are, and the few things they must agree on.

Started by torchrun (gloo on CPUs) or accelerate launch (NCCL on GPUs, also of several machines); see launch.py.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from thumbrank_core.training.batches import Worker


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


@contextmanager
def first_before_others() -> Generator[None]:
    """The block runs to its end in the first process before any other begins it: what it makes is made once."""
    if worker().rank > 0:
        dist.barrier()
    try:
        yield
    finally:
        if worker().rank == 0 and worker().world > 1:
            dist.barrier()


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
