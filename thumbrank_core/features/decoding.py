"""Pictures read, decoded and resized in threads, a few batches ahead of the model, which should never wait.

What belongs here: batches of pixels, in order, and how long they were waited for. No model and no database.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from thumbrank_core.batches import batched
from thumbrank_core.features.preprocess import Square
from thumbrank_core.store.picture import PictureError

if TYPE_CHECKING:
    import torch

AHEAD = 3
"""Batches that are decoded before they are asked for."""
GROUP = 8
"""Pictures a task: small tasks keep all threads busy to the end of a batch, smaller ones cost more than they give."""


@dataclass(frozen=True)
class Batch:
    """`pixels`: (n, side, side, 3) uint8, a row a digest; `failed`: the pictures that are not in it, and why."""

    digests: list[bytes]
    pixels: "torch.Tensor"
    failed: dict[bytes, PictureError]


@dataclass
class Waited:
    """How long the model waited for pixels, in seconds."""

    seconds: float = 0.0


@dataclass
class _Work:
    digests: list[bytes]
    pixels: "torch.Tensor"
    tasks: list[Future[dict[int, PictureError]]] = field(default_factory=list[Future[dict[int, PictureError]]])


def decoders(remote: bool) -> int:
    """How many threads: one a core that this process may use; more where pictures come over a network and are waited for."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(cores, 16) if remote else cores


def decoded_ahead(
    digests: Sequence[bytes],
    size: int,
    prepare: Callable[[bytes], Square],
    new_batch: "Callable[[int], torch.Tensor]",
    threads: int,
    waited: Waited,
) -> Generator[Batch]:
    """Batches of `size` pictures, in order; at most AHEAD of them are in memory.

    Args:
        digests: which pictures.
        size: pictures a batch.
        prepare: a digest's (side, side, 3) pixels; called from several threads; a PictureError is a failed picture.
        new_batch: an empty batch of so many pictures.
        threads: how many pictures at once.
        waited: is told how long a batch was waited for.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    work: deque[_Work] = deque()
    source = batched(digests, size)

    def submit() -> None:
        chosen = next(source, None)
        if chosen is None:
            return
        begun = _Work(chosen, new_batch(len(chosen)))
        rows = begun.pixels.numpy()
        for start in range(0, len(chosen), GROUP):
            begun.tasks.append(pool.submit(_fill, prepare, chosen, rows, start))
        work.append(begun)

    try:
        for _ in range(AHEAD):
            submit()
        while work:
            batch = work.popleft()
            began = time.perf_counter()
            failed = {row: error for task in batch.tasks for row, error in task.result().items()}
            waited.seconds += time.perf_counter() - began
            submit()
            yield _without(batch, failed)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _fill(
    prepare: Callable[[bytes], Square], digests: Sequence[bytes], rows: np.ndarray, start: int
) -> dict[int, PictureError]:
    failed: dict[int, PictureError] = {}
    for row in range(start, min(start + GROUP, len(digests))):
        try:
            rows[row] = prepare(digests[row])
        except PictureError as error:
            failed[row] = error
    return failed


def _without(work: _Work, failed: dict[int, PictureError]) -> Batch:
    if not failed:
        return Batch(work.digests, work.pixels, {})
    kept = [row for row in range(len(work.digests)) if row not in failed]
    errors = {work.digests[row]: error for row, error in failed.items()}
    return Batch([work.digests[row] for row in kept], work.pixels[kept], errors)
