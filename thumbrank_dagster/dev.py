"""`thumbrank dev`: the Dagster UI and daemon on our state; one Ctrl-C stops everything, Dagster before Postgres."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping

import psutil

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.paths import project_root
from thumbrank_core.progress import say
from thumbrank_core.settings import Settings
from thumbrank_core.store.opening import Servers, running_servers
from thumbrank_dagster.demo import last_world, stage
from thumbrank_dagster.instance import environment, write_config
from thumbrank_dagster.ports import is_free

STOP_SECONDS = 20.0


class PortTakenError(ThumbrankError):
    """The UI's port is in use."""


def run_dev(settings: Settings, port: int) -> int:
    """The UI on a team's own state; returns Dagster's exit status."""
    require_port(port)
    with running_servers(settings) as servers:
        return _serve(settings, servers, port, {})


def run_dev_demo(settings: Settings, port: int) -> int:
    """The UI on the last demo's state, with its simulated YouTube running, so that every asset can be launched."""
    require_port(port)
    with stage(settings, last_world(settings)) as ready:
        return _serve(ready.settings, ready.servers, port, os.environ)


def require_port(port: int) -> None:
    """Check that the port is free before anything is started.

    Raises:
        PortTakenError: something listens there.
    """
    if not is_free(port):
        raise PortTakenError(f"Port {port} is taken: stop what listens there, or choose another with --port.")


def _serve(settings: Settings, servers: Servers, port: int, extra: Mapping[str, str]) -> int:
    write_config(settings.home / "dagster", postgres=servers.dagster is not None)
    workspace = project_root() / "workspace.yaml"
    command = [sys.executable, "-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(port)]
    command += ["-w", str(workspace)] if workspace.is_file() else ["-m", "thumbrank_dagster.definitions"]
    child = subprocess.Popen(
        command,
        env={**os.environ, **extra, **environment(settings, servers)},
        start_new_session=True,  # the terminal's Ctrl-C reaches us alone, and we stop Dagster before Postgres
        stdin=subprocess.DEVNULL,
    )
    say(f"Dagster UI: http://127.0.0.1:{port}   (Ctrl-C stops everything)")
    try:
        return child.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        _stop(child)


def _stop(child: "subprocess.Popen[bytes]") -> None:
    """Stop Dagster and whatever it started: its children outlive it for a moment, and some would outlive a plain kill."""
    try:
        family = [psutil.Process(child.pid), *psutil.Process(child.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        family = []
    if child.poll() is None:
        child.send_signal(signal.SIGINT)
    deadline = time.monotonic() + STOP_SECONDS
    _, alive = psutil.wait_procs(family, timeout=max(0.0, deadline - time.monotonic()))
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=5)
    child.wait()
