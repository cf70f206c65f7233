"""The simulator as a child process: started, waited for, stopped, and never left behind."""

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from types import TracebackType
from typing import Self

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.simulator.world import WorldSettings

STARTUP_SECONDS = 30.0
PORT_TAKEN = 98
"""The child's exit status when it cannot have its port."""


class SimulatorError(ThumbrankError):
    """The simulator could not be started; the message is one sentence for the person who started it."""


class SimulatorServer:
    """A simulated YouTube on 127.0.0.1, for a `with` block or between `start()` and `stop()`.

    It runs in a session of its own, so that Ctrl-C reaches it only through us, and it ends when this process ends,
    even by kill -9.
    """

    def __init__(self, settings: WorldSettings | None = None, *, port: int = 0) -> None:
        self.settings = settings or WorldSettings()
        self._wanted_port = port
        self._child: subprocess.Popen[bytes] | None = None
        self._port: int | None = None

    @property
    def endpoint(self) -> str:
        """Where it answers, for example "http://127.0.0.1:40123"; SimulatorError before it was started."""
        if self._port is None:
            raise SimulatorError("The simulator is not running: call start() first.")
        return f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """The child's process id; SimulatorError before it was started."""
        if self._child is None:
            raise SimulatorError("The simulator is not running: call start() first.")
        return self._child.pid

    def start(self) -> Self:
        """Start the child and wait until it answers; SimulatorError where it does not."""
        if self._child is not None:
            return self
        self._child = subprocess.Popen(
            self._command(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            self._port = self._announced_port(self._child)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End the child; harmless when it has already ended."""
        child, self._child, self._port = self._child, None, None
        if child is None:
            return
        child.terminate()
        try:
            child.wait(timeout=5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdout is not None:
            child.stdout.close()

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def _command(self) -> list[str]:
        settings = self.settings
        return [
            sys.executable,
            "-m",
            "thumbrank_core.simulator",
            f"--seed={settings.seed}",
            f"--effect={settings.effect}",
            f"--channels-per-niche={settings.channels_per_niche}",
            f"--videos-per-channel={settings.videos_per_channel}",
            f"--title-mentions={settings.title_mentions}",
            f"--as-of={settings.as_of.isoformat()}",
            f"--port={self._wanted_port}",
            f"--parent={os.getpid()}",
        ]

    def _announced_port(self, child: subprocess.Popen[bytes]) -> int:
        """The port from the child's one line of JSON."""
        if child.stdout is None:
            raise SimulatorError("The simulator's output is not connected.")
        deadline = time.monotonic() + STARTUP_SECONDS
        ready, _, _ = select.select([child.stdout], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise SimulatorError(f"The simulator did not answer within {STARTUP_SECONDS:.0f} seconds.")
        line = child.stdout.readline()
        if line:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                return int(json.loads(line)["port"])
        status = child.wait(timeout=5)
        if status == PORT_TAKEN:
            raise SimulatorError(
                f"Port {self._wanted_port} on 127.0.0.1 is taken by another program: choose another, or 0 for any."
            )
        raise SimulatorError(f"The simulator ended with status {status} before it answered; its errors are above.")
