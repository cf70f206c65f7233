"""The simulator as a child process: started, waited for, stopped, and never left behind; and the ways to move its world.

What the ways do is in `control`; here they are asked for over HTTP with a token that only parent and child know.
"""

import contextlib
import http.client
import json
import os
import secrets
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.simulator.behaviour import Behaviour
from thumbrank_core.simulator.world import WorldSettings

STARTUP_SECONDS = 120.0
"""A world of a million videos on a busy machine; a small one is there within a second."""
CONTROL_SECONDS = 600.0
"""Drawing many pictures ahead takes long; everything else answers at once."""
TOKEN_VARIABLE = "THUMBRANK_SIMULATOR_TOKEN"  # noqa: S105 -- the name of a variable, not a secret
PORT_TAKEN = 98
"""The child's exit status when it cannot have its port."""


class SimulatorError(ThumbrankError):
    """The simulator could not be started; the message is one sentence for the person who started it."""


class SimulatorServer:
    """A simulated YouTube on 127.0.0.1, for a `with` block or between `start()` and `stop()`.

    It runs in a session of its own, so that Ctrl-C reaches it only through us, and it ends when this process ends,
    even by kill -9.
    """

    def __init__(
        self, settings: WorldSettings | None = None, *, port: int = 0, behaviour: Behaviour | None = None
    ) -> None:
        self.settings = settings or WorldSettings()
        self.behaviour = behaviour or Behaviour()
        self._token = secrets.token_urlsafe()
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
            env={**os.environ, TOKEN_VARIABLE: self._token},
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

    def attempts(self) -> dict[str, int]:
        """Requests that arrived since the start, by quota bucket: what a caller's own ledger must say."""
        return self._control("attempts")

    def attempts_by_day(self) -> dict[str, dict[str, int]]:
        """The same by Pacific date (ISO)."""
        return self._control("attempts_by_day")

    def served(self) -> dict[str, int]:
        """Answers with contents by method, such as "videos.list"; pictures as "picture"."""
        return self._control("served")

    def advance(self, seconds: float) -> datetime:
        """Move the simulator's clock forward; returns its new time."""
        return datetime.fromisoformat(self._control("advance", seconds=seconds))

    def set_faults(self, faults: Mapping[str, float]) -> None:
        """Other fault rates from now on; see `behaviour.FAULTS`."""
        self._control("set_faults", faults=dict(faults))

    def swap_pictures(self, video_ids: Sequence[str]) -> None:
        """Another picture at the same address, for each of these videos."""
        self._control("swap_pictures", video_ids=list(video_ids))

    def add_upload(self, channel_id: str) -> str:
        """A new public video at the top of a channel's uploads; returns its id."""
        return self._control("add_upload", channel_id=channel_id)

    def remove_videos(self, video_ids: Sequence[str]) -> None:
        """These videos become deleted."""
        self._control("remove_videos", video_ids=list(video_ids))

    def draw_pictures(self, size: str, limit: int | None) -> int:
        """Draw pictures of one size ahead, at most `limit` and as many as memory holds; returns how many are drawn."""
        return self._control("draw_pictures", size=size, limit=limit)

    def _control(self, action: str, **arguments: object) -> Any:
        """Ask the child to do something.

        Raises:
            SimulatorError: it is not running, or refused; the message says why.
        """
        host, port = self.endpoint.removeprefix("http://").split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=CONTROL_SECONDS)
        try:
            connection.request(
                "POST",
                f"/simulator/{action}",
                json.dumps(arguments),
                {"Content-Type": "application/json", "X-Simulator-Token": self._token},
            )
            answer = connection.getresponse()
            body = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise SimulatorError(f"The simulator did not answer ({type(error).__name__}).") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise SimulatorError(f"The simulator refused to {action.replace('_', ' ')}: {body['error']}")
        return body["result"]

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
            f"--niches={','.join(settings.niches)}",
            f"--large-pictures={settings.large_pictures}",
            f"--made-for-kids={settings.made_for_kids}",
            f"--behaviour={self.behaviour.as_json()}",
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
