"""How much memory this process and everything it started use together, sampled while a block runs."""

import threading
from types import TracebackType
from typing import Self

import psutil

HERTZ = 5


class PeakMemory:
    """Peak of the summed proportional set size (PSS) over the process tree, megabytes; RSS where the system has no PSS.

    PSS divides shared pages among their users, so that a sum over Postgres' processes does not count its buffers ten times.
    """

    def __init__(self) -> None:
        self.megabytes = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        root = psutil.Process()
        while True:
            processes = [root, *root.children(recursive=True)]
            self.megabytes = max(self.megabytes, sum(map(_pss, processes)) / 2**20)
            if self._stop.wait(1 / HERTZ):
                return


def _pss(process: psutil.Process) -> float:
    try:
        info = process.memory_full_info()
    except psutil.NoSuchProcess:  # it ended between listing and reading
        return 0.0
    except psutil.AccessDenied:  # another user's process, such as Postgres under root's `nobody`
        info = process.memory_info()
    return float(getattr(info, "pss", info.rss))
