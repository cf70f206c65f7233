"""Runs whose process is gone: each run says which process it is in, and whoever looks next ends those that died.

What belongs here: telling a dead run from a living one on this machine. Dagster's run monitoring does it where a run is a
container or a job of its own; of the processes that its default launcher starts it knows nothing, nor of those of
`thumbrank run`, and a `kill -9` in the middle of a collection would hold the only slot of `youtube_api` for ever.

A run on another host is left alone: from here nobody can see its process. A name alone does not tell hosts apart: two containers
may share one (`docker compose run code …` beside `code`), each with its own process 1, and so may two machines. So a run also says
its place, the machine's boot and the namespace of its number. In the same place the number tells. In another place of the same name
(the container that was replaced, the machine that was restarted) a lock tells: a run's process holds one below THUMBRANK_HOME for
as long as it lives, and the kernel lets go of it however it ends. Where there is no such file the run is left alone, and the check
`no_slots_of_dead_runs` tells people of it. A container that runs its runs itself therefore needs a host name that stays
(`hostname:` in Compose).
"""

import atexit
import fcntl
import os
import socket
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import psutil

from thumbrank_core.settings import Settings

PROCESS_TAG = "thumbrank/process"
"""On a run: its id, host, process number, when the process began, and the place. The id, because Dagster copies tags to a retry."""
GONE = (
    "The process of this run is gone: it was killed, or its machine was restarted. What was written is kept, and the next run "
    "continues from there."
)
SAME_BIRTH_SECONDS = 2.0
LOCKS = "dagster/run-processes"
"""The folder of locks below THUMBRANK_HOME, a file a run; empty when nothing runs."""
WITH_A_PROCESS = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dataclass(frozen=True)
class RunProcess:
    """The process of a run. `born`: seconds, counted from the machine's boot on Linux, so that a clock that is set changes nothing.
    `place`: where `pid` means something; a run of an earlier release has another word there, which is no place."""

    run_id: str
    host: str
    pid: int
    born: float
    place: str

    @classmethod
    def this(cls, run_id: str) -> "RunProcess":
        """This process, for that run."""
        process = psutil.Process()
        return cls(run_id, socket.gethostname(), process.pid, _birth(process), _place())

    @classmethod
    def of(cls, run: dg.DagsterRun) -> "RunProcess | None":
        """What the run says; None: nothing, or it is another run's word that was copied with the tags."""
        run_id, _, rest = run.tags.get(PROCESS_TAG, "").partition("@")
        if run_id != run.run_id:
            return None
        host, pid, born, place = rest.rsplit(":", 3)
        return cls(run_id, host, int(pid), float(born), place)

    @property
    def tags(self) -> dict[str, str]:
        """For the run."""
        return {PROCESS_TAG: f"{self.run_id}@{self.host}:{self.pid}:{self.born:.2f}:{self.place}"}

    @property
    def here(self) -> bool:
        """Whether this host can tell."""
        return self.host == socket.gethostname() and (self.place == _place() or _lock_is_free(self.run_id) is not None)

    @property
    def dead(self) -> bool:
        """Whether it is known to be gone; another process of the same number is not it."""
        if not self.here:
            return False
        if self.place != _place():
            return _lock_is_free(self.run_id) is True
        try:
            process = psutil.Process(self.pid)
            born = _birth(process)
            # A killed child that nobody has waited for still has its entry.
            zombie = process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True
        return zombie or abs(born - self.born) >= SAME_BIRTH_SECONDS


def remember(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Write on the run that it is in this process, and hold its lock until this process ends."""
    _hold_lock(run.run_id)
    instance.add_run_tags(run.run_id, RunProcess.this(run.run_id).tags)


def release(instance: dg.DagsterInstance) -> list[str]:
    """End the runs of this host whose process is gone, and give back the pool slots they still hold; returns their ids.

    They end as failed without a failure of a step, which is what Dagster retries by itself; one that somebody had asked to
    cancel ends as canceled. A run that was killed before it said where it is, is left to run monitoring's start timeout.
    """
    released: list[str] = []
    for run in instance.get_runs(dg.RunsFilter(statuses=WITH_A_PROCESS)):
        process = RunProcess.of(run)
        if process is None or not process.dead:
            continue
        # Looked at again: a run may have ended, and its process with it, since the list was read.
        now = instance.get_run_by_id(run.run_id)
        if now is None or now.is_finished:
            continue
        if now.status == dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(now, GONE)
        else:
            instance.report_run_failed(now, GONE)
        released.append(run.run_id)
    _free_slots(instance)
    _sweep(instance)
    return released


def _birth(process: psutil.Process) -> float:
    # On Linux both depend on the clock, and their difference does not.
    return process.create_time() - (psutil.boot_time() if psutil.LINUX else 0.0)


def _place() -> str:
    """The machine, as it runs since its last boot, and the namespace of process numbers."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return "one"  # no Linux: process numbers have no namespaces, and a host is known by its name


_held: dict[str, int] = {}


def _lock_file(run_id: str) -> Path:
    return Settings.read().home / LOCKS / run_id


def _hold_lock(run_id: str) -> None:
    """Shared, as the processes of several steps may hold one; whoever asks wants it alone. No file where it cannot be held."""
    if run_id in _held:
        return
    path = _lock_file(run_id)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError:
        return  # a folder that is not for writing, as a ConfigMap is: a run needs none
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
    except OSError:
        # A file system without locks: a file that nobody holds would say that the run is dead.
        os.close(handle)
        path.unlink(missing_ok=True)
        return
    _held[run_id] = handle
    atexit.register(path.unlink, missing_ok=True)


def _lock_is_free(run_id: str) -> bool | None:
    """Whether nobody holds it any more; None: there is none to ask."""
    try:
        # For writing: a network file system gives a lock that is not shared to nobody else.
        handle = os.open(_lock_file(run_id), os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    finally:
        os.close(handle)
    return True


def _free_slots(instance: dg.DagsterInstance) -> None:
    """Of runs that died and that another ended: Dagster's code server misses a killed child within a second, and leaves its slots
    to run monitoring, which gives them back a minute or two later. The retry waits for them."""
    storage = instance.event_log_storage
    if not storage.supports_global_concurrency_limits:
        return
    for pool in storage.get_concurrency_keys():
        for run_id in {slot.run_id for slot in storage.get_concurrency_info(pool).claimed_slots}:
            run = instance.get_run_by_id(run_id)
            process = RunProcess.of(run) if run is not None and run.is_finished else None
            if process is not None and process.dead:
                storage.free_concurrency_slots_for_run(run_id)


def _sweep(instance: dg.DagsterInstance) -> None:
    """Remove what killed processes left: the files of runs that are over."""
    for path in (Settings.read().home / LOCKS).glob("*"):
        run = instance.get_run_by_id(path.name)
        if run is not None and run.is_finished and path.name not in _held:
            path.unlink(missing_ok=True)
