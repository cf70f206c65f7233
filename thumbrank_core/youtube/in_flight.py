"""Work done by threads, with results as they come and nothing piled up. What the work is belongs to the caller.

Not concurrent.futures' pool: its threads are waited for when the process ends, so that one silent server would hold up a
Ctrl-C for as long as its timeout lasts. These are not waited for.
"""

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from itertools import islice
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Workers(Generic[T, R]):
    """`count` threads that call `work` on what is submitted, for a `with` block."""

    def __init__(self, work: Callable[[T], R], count: int) -> None:
        self._work, self._count = work, count
        self._todo: queue.SimpleQueue[T | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[T, Future[R]]] = queue.SimpleQueue()
        self.in_flight = 0
        """Items submitted whose result nobody has taken."""

    def submit(self, item: T) -> None:
        """Have it done."""
        self._todo.put(item)
        self.in_flight += 1

    def take(self, timeout: float | None = None) -> tuple[T, Future[R]]:
        """An item that is done and its finished future; queue.Empty when there is none within `timeout` seconds."""
        finished = self._done.get(timeout=timeout)
        self.in_flight -= 1
        return finished

    def __enter__(self) -> Self:
        """Start the threads."""
        for number in range(self._count):
            threading.Thread(target=self._serve, name=f"in-flight-{number}", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drop what nobody has begun, and let the threads end when they have."""
        while not self._todo.empty():
            try:
                self._todo.get_nowait()
            except queue.Empty:  # a worker was quicker
                break
        for _ in range(self._count):
            self._todo.put(None)

    def _serve(self) -> None:
        while (item := self._todo.get()) is not None:
            future: Future[R] = Future()
            try:
                future.set_result(self._work(item))
            except BaseException as error:  # noqa: BLE001 -- not swallowed: the caller meets it in future.result()
                future.set_exception(error)
            self._done.put((item, future))


def results(work: Callable[[T], R], items: Iterable[T], *, workers: int) -> Generator[R]:
    """`work(item)` for every item, in the order in which they finish; an exception of `work` is raised here.

    Items are read by the calling thread, at most twice `workers` ahead of the results taken.
    """
    source = iter(items)
    with Workers(work, workers) as crew:
        for item in islice(source, 2 * workers):
            crew.submit(item)
        while crew.in_flight:
            _, future = crew.take()
            for item in islice(source, 1):
                crew.submit(item)
            yield future.result()
