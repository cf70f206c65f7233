"""How long work tells that it is alive: one context manager for the work, one sink for whoever listens.

The library says `with track("pictures", total) as advance:`. Who listens decides what it looks like: a bar on a terminal,
plain lines in a pipe, log records under Dagster. The sink is a context variable, so that steps need not pass it along.
"""

import logging
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Advance = Callable[[int], None]
logger = logging.getLogger("thumbrank.progress")


class Sink(Protocol):
    """Somebody who listens to progress."""

    def begin(self, description: str, total: int | None) -> int:
        """A piece of work starts; returns its handle."""
        ...

    def advance(self, handle: int, amount: int) -> None:
        """Some of it is done."""
        ...

    def end(self, handle: int) -> None:
        """It is over, finished or not."""
        ...

    def say(self, text: str) -> None:
        """One line of news between pieces of work."""
        ...


class LineSink:
    """Plain lines, at most one every `every` seconds a piece of work, with what is left."""

    def __init__(self, emit: Callable[[str], None], every: float = 5.0) -> None:
        self._emit, self._every = emit, every
        self._work: dict[int, list[float]] = {}  # handle -> [started, last line, done, total or -1]
        self._names: dict[int, str] = {}
        self._next = 0

    def begin(self, description: str, total: int | None) -> int:
        """Remember the start; the first line comes when the work lasts."""
        self._next += 1
        now = time.monotonic()
        self._work[self._next] = [now, now, 0, -1 if total is None else total]
        self._names[self._next] = description
        return self._next

    def advance(self, handle: int, amount: int) -> None:
        """Print a line when the last one is old enough."""
        state = self._work[handle]
        state[2] += amount
        now = time.monotonic()
        if now - state[1] >= self._every:
            state[1] = now
            started, _, done, total = state
            left = f", about {(now - started) * (total - done) / done:.0f} s left" if total > 0 and done else ""
            of = f" of {total:.0f}" if total >= 0 else ""
            self._emit(f"{self._names[handle]}: {done:.0f}{of}{left}")

    def end(self, handle: int) -> None:
        """One closing line for work that lasted over two seconds."""
        started, _, done, _ = self._work.pop(handle)
        seconds, name = time.monotonic() - started, self._names.pop(handle)
        if seconds >= 2:
            self._emit(f"{name}: {done:.0f} in {seconds:.1f} s")

    def say(self, text: str) -> None:
        """Print the line."""
        self._emit(text)


class RichSink:
    """Bars on a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("  {task.description:<34}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )

    def begin(self, description: str, total: int | None) -> int:
        """Show a bar."""
        if not self._progress.live.is_started:
            self._progress.start()
        return int(self._progress.add_task(description, total=total))

    def advance(self, handle: int, amount: int) -> None:
        """Move it."""
        self._progress.advance(TaskID(handle), amount)

    def end(self, handle: int) -> None:
        """Take it away; the last one stops the display."""
        self._progress.remove_task(TaskID(handle))
        if not self._progress.tasks:
            self._progress.stop()

    def say(self, text: str) -> None:
        """Print above the bars."""
        self._console.print(text, highlight=False)


_sink: ContextVar[Sink] = ContextVar("thumbrank_progress_sink")
_log_sink = LineSink(lambda text: logger.info("%s", text), every=15.0)


def console_sink(stream: TextIO | None = None) -> Sink:
    """Bars when `stream` (default stderr) is a terminal, plain lines otherwise."""
    target = stream or sys.stderr
    if target.isatty():
        return RichSink(Console(file=target))

    def emit(text: str) -> None:
        target.write(text + "\n")
        target.flush()

    return LineSink(emit)


@contextmanager
def listen(sink: Sink) -> Generator[Sink]:
    """Let `sink` hear everything inside the block."""
    token = _sink.set(sink)
    try:
        yield sink
    finally:
        _sink.reset(token)


@contextmanager
def track(description: str, total: int | None = None) -> Generator[Advance]:
    """Announce a piece of work of `total` units and yield the function that advances it."""
    sink = _sink.get(_log_sink)
    handle = sink.begin(description, total)
    try:
        yield lambda amount: sink.advance(handle, amount)
    finally:
        sink.end(handle)


def say(text: str) -> None:
    """One line of news."""
    _sink.get(_log_sink).say(text)
