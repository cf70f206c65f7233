"""Steps: which items are scored together, and which pairs come from their scores.

By channel, a step takes a block of channels, scores each of their items once and has every pair between them for nothing.
By pair, it takes pairs as they come, as the guide does. Either way an epoch is laid out at once, in the order of its own
seed, and a step is a slice of it: no loader, no worker, no copy of a vector.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from thumbrank_core.array_types import Ints
from thumbrank_core.training.dataset import Pairs


@dataclass(frozen=True)
class TrainingStep:
    """What one process does in one step.

    `items`: (k,) rows to score. `a`, `b`: (p,) positions in `items`. `target`: (p,) P(a beats b). `weight`: (p,), summing
    to 1 over the step of all processes. `mix`: the mixup's share of side a itself, 1 for none. `share`: this process's items
    over those of all.
    """

    items: torch.Tensor
    a: torch.Tensor
    b: torch.Tensor
    target: torch.Tensor
    weight: torch.Tensor
    mix: float
    share: float


@dataclass(frozen=True)
class Worker:
    """Which of how many processes this is."""

    rank: int = 0
    world: int = 1


@dataclass(frozen=True)
class Layout:
    """How epochs are laid out; see Recipe."""

    batch_by: Literal["pair", "channel"]
    batch_size: int
    mixup_alpha: float
    seed: int
    worker: Worker = Worker()


class Steps:
    """The training pairs, ready to be laid out into epochs.

    Args:
        pairs: of the training split.
        target: (p,) P(a beats b), hard or soft.
        layout: see Layout.
        device: where steps' indices and targets live.
    """

    def __init__(
        self, pairs: Pairs, target: npt.NDArray[np.float32], layout: Layout, device: torch.device, *, weighted: bool
    ) -> None:
        order = np.argsort(pairs.channel, kind="stable")
        self.layout = layout
        self._device = device
        self._a, self._b = pairs.a[order].astype(np.int32), pairs.b[order].astype(np.int32)
        self._target = target[order]
        # A tie has weight in the logistic loss (it wants no difference); the margin loss gives it no gradient by itself.
        self._weight = pairs.weight[order].astype(np.float32) if weighted else np.ones(len(order), np.float32)
        channels, starts = np.unique(pairs.channel[order], return_index=True)
        self._pair_start = np.append(starts, len(order)).astype(np.int64)
        self.n_channels, self.n_pairs = len(channels), len(order)
        if layout.batch_by == "channel":
            self._lay_items()

    def _lay_items(self) -> None:
        """Each channel's distinct items, and its pairs as positions among them."""
        items: list[Ints] = []
        for start, end in zip(self._pair_start[:-1], self._pair_start[1:], strict=True):
            own, place = np.unique(np.concatenate([self._a[start:end], self._b[start:end]]), return_inverse=True)
            items.append(own.astype(np.int64))
            self._a[start:end], self._b[start:end] = place[: end - start], place[end - start :]
        self._items = np.concatenate(items)
        self._item_start = np.append(0, np.cumsum([len(own) for own in items]))

    @property
    def per_epoch(self) -> int:
        """Steps an epoch."""
        return self._bounds_of(self.n_channels if self.layout.batch_by == "channel" else self.n_pairs)[1].size - 1

    def _bounds_of(self, units: int) -> tuple[int, Ints]:
        """How many channels or pairs an epoch takes, and where its steps begin and end.

        Several processes leave out the last, smaller step by pairs: batch norm cannot learn from one row or none.
        """
        size = self.layout.batch_size
        if self.layout.batch_by == "pair" and self.layout.worker.world > 1 and units > size:
            units -= units % size
        return units, np.append(np.arange(0, units, size), units)

    @property
    def items_per_epoch(self) -> int:
        """How often an item is scored in an epoch: once by channel, once a side of each pair by pair."""
        return len(self._items) if self.layout.batch_by == "channel" else 2 * self.n_pairs

    def epoch(self, number: int) -> "Epoch":
        """The steps of that epoch; a function of the seed and the number alone, so that a resumed run meets the same ones."""
        order = np.random.default_rng((self.layout.seed, number))
        if self.layout.batch_by == "pair":
            units, bounds = self._bounds_of(self.n_pairs)
            chosen = order.permutation(self.n_pairs)[:units]
            alpha = self.layout.mixup_alpha
            mix = order.beta(alpha, alpha, self.per_epoch) if alpha > 0 else np.ones(self.per_epoch)
            return PairEpoch(
                self._tensor(self._a[chosen].astype(np.int64)),
                self._tensor(self._b[chosen].astype(np.int64)),
                self._tensor(self._target[chosen]),
                self._tensor(self._weight[chosen]),
                bounds.tolist(),
                mix.tolist(),
                self.layout.worker,
            )
        channels = order.permutation(self.n_channels)
        items, item_bounds = _ranges(self._item_start, channels)
        pairs, pair_bounds = _ranges(self._pair_start, channels)
        # Positions count from the start of the epoch's items; a step takes off where it begins.
        offset = np.repeat(item_bounds[:-1], np.diff(pair_bounds))
        return ChannelEpoch(
            self._tensor(self._items[items]),
            self._tensor(self._a[pairs] + offset),
            self._tensor(self._b[pairs] + offset),
            self._tensor(self._target[pairs]),
            self._tensor(self._weight[pairs]),
            item_bounds.tolist(),
            pair_bounds.tolist(),
            self.layout.batch_size,
            self.layout.worker,
        )

    def _tensor(self, array: npt.NDArray[np.generic]) -> torch.Tensor:
        return torch.from_numpy(array).to(self._device)


class PairEpoch:
    """An epoch by pairs: positions of side a come first in a step's items, then those of side b."""

    def __init__(
        self,
        a: torch.Tensor,
        b: torch.Tensor,
        target: torch.Tensor,
        weight: torch.Tensor,
        bounds: list[int],
        mix: list[float],
        worker: Worker,
    ) -> None:
        self._a, self._b, self._target, self._weight = a, b, target, weight
        self._bounds, self._mix, self._worker = bounds, mix, worker
        largest = max(last - first for first, last in itertools.pairwise(bounds))
        self._positions = torch.arange(2 * largest, device=a.device)

    def __len__(self) -> int:
        return len(self._mix)

    def step(self, number: int) -> TrainingStep:
        """The pairs of step `number` that are this process's."""
        first, last = self._bounds[number], self._bounds[number + 1]
        start, end = _part(first, last, self._worker)
        own = end - start
        return TrainingStep(
            torch.cat([self._a[start:end], self._b[start:end]]),
            self._positions[:own],
            self._positions[own : 2 * own],
            self._target[start:end],
            self._weight[start:end] / self._weight[first:last].sum(),
            self._mix[number],
            own / (last - first),
        )


class ChannelEpoch:
    """An epoch by channels: a step is a run of channels, and of their items and pairs."""

    def __init__(
        self,
        items: torch.Tensor,
        a: torch.Tensor,
        b: torch.Tensor,
        target: torch.Tensor,
        weight: torch.Tensor,
        item_bounds: list[int],
        pair_bounds: list[int],
        size: int,
        worker: Worker,
    ) -> None:
        self._items, self._a, self._b, self._target, self._weight = items, a, b, target, weight
        self._item_bounds, self._pair_bounds, self._size, self._worker = item_bounds, pair_bounds, size, worker

    def __len__(self) -> int:
        return math.ceil((len(self._item_bounds) - 1) / self._size)

    def step(self, number: int) -> TrainingStep:
        """The channels of step `number` that are this process's."""
        first = number * self._size
        last = min(first + self._size, len(self._item_bounds) - 1)
        start, end = _part(first, last, self._worker)
        item, pair = self._item_bounds, self._pair_bounds
        pairs = slice(pair[start], pair[end])
        everyone = self._weight[pair[first] : pair[last]].sum()
        return TrainingStep(
            self._items[item[start] : item[end]],
            self._a[pairs] - item[start],
            self._b[pairs] - item[start],
            self._target[pairs],
            self._weight[pairs] / everyone,
            1.0,
            (item[end] - item[start]) / (item[last] - item[first]),
        )


Epoch = PairEpoch | ChannelEpoch


def _part(first: int, last: int, worker: Worker) -> tuple[int, int]:
    """The worker's part of first..last, as even as whole units allow."""
    count = last - first
    return first + count * worker.rank // worker.world, first + count * (worker.rank + 1) // worker.world


def _ranges(starts: Ints, chosen: Ints) -> tuple[Ints, Ints]:
    """The positions of the ranges starts[c]..starts[c + 1] for c in `chosen`, one after the other, and their new bounds."""
    lengths = np.diff(starts)[chosen]
    bounds = np.append(0, np.cumsum(lengths)).astype(np.int64)
    positions = np.arange(bounds[-1]) + np.repeat(starts[:-1][chosen] - bounds[:-1], lengths)
    return positions, bounds
