"""Work done by threads, with results as they come and nothing piled up. What the work is belongs to the caller.

Not concurrent.futures' pool: its threads are waited for when the process ends, so that one silent server would hold up a
Ctrl-C for as long as its timeout lasts. These are not waited for.
"""

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def results(work: Callable[[T], R], items: Iterable[T], *, workers: int) -> Generator[R]:
    """`work(item)` for every item, in the order in which they finish; an exception of `work` is raised here.

    Items are read by the calling thread, at most twice `workers` ahead of the results taken.
    """
    todo: queue.SimpleQueue[tuple[Future[R], T] | None] = queue.SimpleQueue()
    done: queue.SimpleQueue[Future[R]] = queue.SimpleQueue()

    def serve() -> None:
        while (task := todo.get()) is not None:
            future, item = task
            try:
                future.set_result(work(item))
            except BaseException as error:  # noqa: BLE001 -- not swallowed: the caller meets it in future.result()
                future.set_exception(error)
            done.put(future)

    source, waiting = iter(items), 0
    with _threads(serve, workers, todo):
        for item in islice(source, 2 * workers):
            todo.put((Future(), item))
            waiting += 1
        while waiting:
            future = done.get()
            waiting -= 1
            for item in islice(source, 1):
                todo.put((Future(), item))
                waiting += 1
            yield future.result()


@contextmanager
def _threads(serve: Callable[[], None], count: int, todo: queue.SimpleQueue[T | None]) -> Generator[None]:
    for number in range(count):
        threading.Thread(target=serve, name=f"in-flight-{number}", daemon=True).start()
    try:
        yield
    finally:
        while not todo.empty():
            try:
                todo.get_nowait()
            except queue.Empty:  # a worker was quicker
                break
        for _ in range(count):
            todo.put(None)
