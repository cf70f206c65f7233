"""Running the product as a person does: as a child process, in an empty folder, with a bare environment."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

TELEMETRY = (
    "DAGSTER_DISABLE_TELEMETRY",
    "MLFLOW_DISABLE_TELEMETRY",
    "DO_NOT_TRACK",
    "HF_HUB_OFFLINE",
    "HF_HUB_DISABLE_TELEMETRY",
)


@contextmanager
def new_home() -> Iterator[Path]:
    """An empty folder that Postgres' own user may pass through when the tests run as root."""
    folder = Path(tempfile.mkdtemp(prefix="thumbrank-e2e-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def environment(home: Path) -> dict[str, str]:
    """As a newcomer's: nothing that turns telemetry off for us, so that the product has to."""
    return {name: value for name, value in os.environ.items() if name not in TELEMETRY} | {"THUMBRANK_HOME": str(home)}


def start(home: Path, *arguments: object) -> "subprocess.Popen[str]":
    """Start `thumbrank …` in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "thumbrank_dagster", *map(str, arguments)],
        cwd=home,
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(home: Path, *arguments: object, timeout: float = 280) -> "subprocess.CompletedProcess[str]":
    """Run `thumbrank …` to its end."""
    child = start(home, *arguments)
    try:
        out, err = child.communicate(timeout=timeout)
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(child.args, child.returncode, out, err)


def send_when_said(child: "subprocess.Popen[str]", line: str, sign: signal.Signals) -> str:
    """Send the signal when the child has written this line to stderr; returns all that it wrote there, to its end."""
    assert child.stderr is not None
    written = []
    for text in child.stderr:
        written.append(text)
        if text.rstrip() == line:
            child.send_signal(sign)
    child.wait(timeout=60)
    assert f"{line}\n" in written, "".join(written)[-3000:]
    return "".join(written)


def left_behind(home: Path, seconds: float = 5.0) -> list[str]:
    """Command lines of processes that still work on `home` after some seconds of grace."""
    deadline = time.monotonic() + seconds
    while True:
        found = [
            " ".join(process.info["cmdline"] or [])
            for process in psutil.process_iter(["cmdline"])
            if _works_on(process, home)
        ]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def _works_on(process: psutil.Process, home: Path) -> bool:
    try:
        if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
            return False
        text = " ".join(process.info["cmdline"] or []) + " ".join(process.environ().values())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
    return str(home) in text
