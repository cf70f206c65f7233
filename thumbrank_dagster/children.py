"""Child processes of `thumbrank dev`: started so that they hear us, watched, and stopped with everything they started.

What belongs here: processes in general. Which ones `dev` needs, and in which order they go, is dev.py.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import psutil

from thumbrank_core.interrupts import uninterrupted
from thumbrank_core.progress import say
from thumbrank_core.store.embedded_cluster import dying_with_parent

STOP_SECONDS = 60.0
"""Dagster waits for its webserver and daemon, and those for their threads and runs: 2 s when idle; on a machine that is busy with
other things 20 s were seen, and Dagster itself gives them 60. A run that is asked finishes its step and writes what it has."""


class Child:
    """One process in a session of its own, so that a terminal's Ctrl-C reaches us alone and we keep the order.

    It is started with a SIGINT that works. A shell hands an ignored one down to what it starts in the background (`nohup … &`),
    children inherit that, and Dagster puts the same handler on SIGTERM: such a Dagster hears no request to stop at all.

    Args:
        name: what people call it.
        command: what it is.
        environment: all that it sees.
        folder: where it runs.
        asked_too: which of the processes that it started are asked to stop as well, for it only waits for them.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        asked_too: Callable[[psutil.Process], bool] = lambda _: False,
    ) -> None:
        self.name = name
        self._asked_too = asked_too
        self._process = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_hearing_and_dying(),  # noqa: PLW1509 three system calls, no lock, no import
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with uninterrupted():
            self.stop()

    @property
    def status(self) -> int | None:
        """The exit status, or None while it runs."""
        return self._process.poll()

    def stop(self) -> None:
        """Ask it to end, wait for it and for whatever it started, and end what is left by force."""
        family = self._family()
        headless = self._process.poll() is not None  # nobody is left who would ask the others
        if not headless:
            self._process.send_signal(signal.SIGINT)
        asked: set[psutil.Process] = set()
        deadline = time.monotonic() + STOP_SECONDS
        while (alive := _alive(family)) and time.monotonic() < deadline:
            for process in set(alive) - asked:
                with _gone_is_fine():
                    if headless or self._asked_too(process):
                        process.send_signal(signal.SIGINT)
                        asked.add(process)  # once: a second one would break off what the first one began to write
            time.sleep(0.1)
            family |= self._family()  # what is asked to stop may still start something
        if alive:
            say(f"{self.name} did not end within {STOP_SECONDS:g} s: what is left of it ({len(alive)}) is killed.")
        for process in alive:
            with _gone_is_fine():
                process.kill()
        psutil.wait_procs(alive, timeout=5)
        self._process.wait()

    def _family(self) -> set[psutil.Process]:
        """The child, its descendants, and those of its session whose own parent is gone already."""
        found: set[psutil.Process] = set()
        with _gone_is_fine():
            child = psutil.Process(self._process.pid)
            found |= {child, *child.children(recursive=True)}
        for process in psutil.process_iter():
            with _gone_is_fine():
                if os.getsid(process.pid) == self._process.pid:
                    found.add(process)
        return found


def _hearing_and_dying() -> Callable[[], None]:
    """What a child does before it becomes the program: hear SIGINT again, and (on Linux) end when we are killed."""
    die = dying_with_parent(signal.SIGINT)

    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if die is not None:
            die()

    return prepare


def _alive(family: set[psutil.Process]) -> list[psutil.Process]:
    return [process for process in family if process.is_running() and not _is_zombie(process)]


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@contextmanager
def _gone_is_fine() -> Generator[None]:
    """A process may end between being listed and being looked at."""
    try:
        yield
    except (psutil.NoSuchProcess, ProcessLookupError):
        return
