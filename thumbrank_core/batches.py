"""Cutting sequences into batches (`itertools.batched` exists only from Python 3.12 on)."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of at most `size` items, in order, as they come."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
