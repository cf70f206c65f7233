"""Where a step gets its items' features from: `take(index)` gives what the network's forward takes, on its device.

What belongs here: features that are vectors already. Pictures that CLIP's own blocks still have to see are pictures.py.
"""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from thumbrank_core.model.network import Batch, Input, Standardised, ThumbnailRankingModel

CHUNK = 8192
"""Vectors a time where all of them are gone through."""

Vectors = npt.NDArray[np.floating]  # pyright: ignore[reportMissingTypeArgument]


class Source(Protocol):
    """The features of a data set's items. `chunk`: how many items a time where all of them are gone through."""

    chunk: int

    def take(self, index: torch.Tensor) -> Input:
        """The features of the items `index` (k,), int64 on the CPU or on the device."""
        ...


class Resident:
    """All features on the device, standardised once: a step gathers rows and does nothing else."""

    chunk = CHUNK

    def __init__(self, model: ThumbnailRankingModel, image: Vectors, title: Vectors, device: torch.device) -> None:
        self._features = torch.empty(len(image), image.shape[1] + title.shape[1], device=device)
        for start, batch in _chunks(image, title, np.arange(len(image)), device):
            self._features[start : start + CHUNK] = model.standardised(batch)

    def take(self, index: torch.Tensor) -> Standardised:
        """Rows of the resident table."""
        return Standardised(self._features.index_select(0, index.to(self._features.device)))


class Streamed:
    """Features on disk, such as a float16 memory map: a step reads its own rows. Memory does not grow with the items."""

    chunk = CHUNK

    def __init__(self, image: Vectors, title: Vectors, device: torch.device) -> None:
        self._image, self._title, self._device = image, title, device

    def take(self, index: torch.Tensor) -> Batch:
        """Read the rows; those of a channel lie together, so a step by channels reads a few long pieces."""
        rows = index.cpu().numpy()
        return _batch(self._image, self._title, rows, self._device)


def vectors_source(
    model: ThumbnailRankingModel, image: Vectors, title: Vectors, device: torch.device
) -> Resident | Streamed:
    """Resident, unless the vectors are memory maps."""
    if isinstance(image, np.memmap):
        return Streamed(image, title, device)
    return Resident(model, image, title, device)


def fit_standardiser(model: ThumbnailRankingModel, image: Vectors, title: Vectors, rows: npt.NDArray[np.int64]) -> None:
    """Mean and spread of the training items, a chunk at a time."""
    model.fit_standardiser(batch for _, batch in _chunks(image, title, rows, model.mean.device))


def _chunks(
    image: Vectors, title: Vectors, rows: npt.NDArray[np.int64], device: torch.device
) -> Iterator[tuple[int, Batch]]:
    for start in range(0, len(rows), CHUNK):
        yield start, _batch(image, title, rows[start : start + CHUNK], device)


def _batch(image: Vectors, title: Vectors, rows: npt.NDArray[np.int64], device: torch.device) -> Batch:
    return Batch(
        *(torch.from_numpy(np.ascontiguousarray(part[rows], dtype=np.float32)).to(device) for part in (image, title))
    )


def chunks(source: Source, rows: npt.NDArray[np.int64]) -> Iterator[Input]:
    """All of these items, a chunk at a time."""
    for start in range(0, len(rows), source.chunk):
        yield source.take(torch.from_numpy(rows[start : start + source.chunk]))
