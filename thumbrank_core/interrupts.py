"""Ctrl-C and SIGTERM at the command line: whenever they come, the command ends, once, and with one sentence.

What belongs here: what holds for a whole process. What a piece of work saves before it ends is its own (training/stopping.py).
"""

import logging
import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

EXIT_INTERRUPTED = 130
INTERRUPTED = "Interrupted: nothing is left running, and the same command continues."

_NAMES = {"KeyboardInterrupt", "DagsterExecutionInterruptedError"}
"""What the signals raise: Python's own, and Dagster's while a graph runs. By name, for the library knows nothing of Dagster."""
_AGAIN_SECONDS = 0.05
"""Long enough for the finalizer that had the interrupt to be left."""


def end_on_signals() -> None:
    """Make SIGTERM end like Ctrl-C, let both come through, and let nobody print them.

    A library that cleans up on its way logs an interrupt as if it were a failure: SQLAlchemy's pool with a traceback, psycopg's as a
    broken connection.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    send_again_what_is_lost()
    if logging.lastResort is not None:  # what prints for libraries whose log nobody has set up
        logging.lastResort.addFilter(lambda record: not (record.exc_info and is_interrupt(record.exc_info[1])))
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)


def send_again_what_is_lost() -> None:
    """Send the signal once more where Python swallowed what it raised.

    It raises KeyboardInterrupt wherever the program happens to be. In a finalizer or the callback of a weak reference no error can
    go on, so that it is printed and the program continues (3 of 22 times when the demo was interrupted at random).
    """
    report = sys.unraisablehook

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        if unraisable.exc_type.__name__ not in _NAMES:
            report(unraisable)
            return
        again = threading.Timer(_AGAIN_SECONDS, _send_again)
        again.daemon = True
        again.start()

    sys.unraisablehook = hook


def _send_again() -> None:
    main = threading.main_thread().ident
    assert main is not None, "it has started"
    # One of them raises. The other may be ignored (SIGINT, in a background job) or kill outright (SIGTERM, where nobody handles it).
    heard = callable(signal.getsignal(signal.SIGINT))
    signal.pthread_kill(main, signal.SIGINT if heard else signal.SIGTERM)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def is_interrupt(error: BaseException | None) -> bool:
    """Whether the error is what a signal raised, or Python's wrapping of it: one that meets the body of a class (during an
    import, say) becomes a RuntimeError."""
    found = {type(error).__name__, type(error.__cause__).__name__} if error is not None else set[str]()
    return not _NAMES.isdisjoint(found)


@contextmanager
def sigterm_kept() -> Generator[None]:
    """Give SIGTERM its handler back afterwards: Dagster leaves it that of SIGINT, and a background job's ignores SIGINT."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def uninterrupted() -> Generator[None]:
    """A second Ctrl-C while everything stops must not leave half of it running; stopping ends by itself after some seconds."""
    before = {sign: signal.signal(sign, signal.SIG_IGN) for sign in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)
