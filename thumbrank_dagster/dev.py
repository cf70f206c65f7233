"""`thumbrank dev`: the Dagster UI and daemon on our state, MLflow's UI beside them; one Ctrl-C stops everything.

The order of stopping is Dagster with its runs, MLflow, Postgres: a Dagster without its database waits for minutes, and a run that
is being ended still writes to both. Runs are asked at the same moment as Dagster, which would wait for their end and ask none
of them; not before, as a daemon that still lives would start the next one, or the same one again.
"""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import httpx
import psutil

from thumbrank_core.addresses import without_login
from thumbrank_core.errors import ThumbrankError
from thumbrank_core.paths import project_root
from thumbrank_core.ports import is_free
from thumbrank_core.progress import say
from thumbrank_core.settings import Settings
from thumbrank_core.store.opening import Servers, running_servers
from thumbrank_dagster.children import Child
from thumbrank_dagster.instance import environment, write_config
from thumbrank_dagster.setup import set_pools

START_SECONDS = 180.0
"""Both answer after 7 s on two free cores; a cold disk and busy cores make it many times that."""
LOOK_SECONDS = 0.2
NOT_OURS = "ignore:Function `dev_command` is superseded,ignore:starlette.middleware.wsgi is deprecated"
"""Warnings of the programs that `dev` starts, about themselves."""


class PortTakenError(ThumbrankError):
    """The port of a UI is in use."""


class NotAnsweringError(ThumbrankError):
    """A UI was started and does not answer."""


@dataclass(frozen=True)
class Ports:
    """Of the two UIs, on 127.0.0.1."""

    dagster: int
    mlflow: int


def run_dev(settings: Settings, ports: Ports) -> int:
    """The UIs on a team's own state; returns the exit status: 0 after Ctrl-C, 1 when something ended by itself."""
    require_ports(settings, ports)
    with running_servers(settings) as servers:
        return _serve(settings, servers, ports, {})


def run_dev_demo(settings: Settings, ports: Ports) -> int:
    """The UIs on the last demo's state, with its simulated YouTube running, so that every asset can be launched."""
    from thumbrank_dagster.demo import last_world, stage  # here: it brings the library's heavy half

    require_ports(settings.model_copy(update={"mlflow_tracking_uri": None}), ports)
    with stage(settings, last_world(settings)) as ready:
        return _serve(ready.settings, ready.servers, ports, os.environ)


def require_ports(settings: Settings, ports: Ports) -> None:
    """Check that the ports are free before anything is started.

    Raises:
        PortTakenError: something listens there, or both are the same.
    """
    wanted = {"--port": ports.dagster} | ({} if _is_server(settings.tracking_uri) else {"--mlflow-port": ports.mlflow})
    for option, port in wanted.items():
        if not is_free(port):
            raise PortTakenError(f"Port {port} is taken: stop what listens there, or choose another with {option}.")
    if len(set(wanted.values())) < len(wanted):
        raise PortTakenError(f"Port {ports.dagster} cannot be of both UIs: choose another with --mlflow-port.")


def _serve(settings: Settings, servers: Servers, ports: Ports, extra: Mapping[str, str]) -> int:
    dagster_url = f"http://127.0.0.1:{ports.dagster}"
    mlflow_url = _mlflow_url(settings, ports)
    quiet = {"PYTHONWARNINGS": ",".join(filter(None, (os.environ.get("PYTHONWARNINGS"), NOT_OURS)))}
    links = {"THUMBRANK_DAGSTER_URL": dagster_url, "THUMBRANK_MLFLOW_URL": mlflow_url}
    seen = {**os.environ, **extra, **environment(settings, servers), **links, **quiet}
    _prepare_instance(settings, servers)
    with ExitStack() as stack:
        children: list[Child] = []
        try:
            if not _is_server(settings.tracking_uri):
                children.append(stack.enter_context(_start_mlflow(settings, seen, ports.mlflow)))
            children.append(stack.enter_context(_start_dagster(settings, seen, ports.dagster)))
            pages = {"Dagster": f"{dagster_url}/server_info"}
            if not _is_server(settings.tracking_uri):
                pages["MLflow"] = f"{mlflow_url}/health"
            if (ended := _wait_until_answering(children, pages)) is None:
                say(f"Dagster UI: {dagster_url}")
                say(f"MLflow UI:  {mlflow_url}")
                say("Ctrl-C stops everything.")
                ended = _wait_until_one_ends(children)
        except KeyboardInterrupt:
            return 0
        say(f"{ended.name} ended by itself (exit status {ended.status}): its last lines are above. Stopping the rest.")
        return 1


def _prepare_instance(settings: Settings, servers: Servers) -> None:
    """Runs of `dev` are processes, whatever a server's setting says: there is no container to start them in."""
    folder = write_config(settings.home / "dagster", postgres=servers.dagster is not None)
    os.environ.update(environment(settings, servers))  # the file names variables, and this process reads them as well
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        set_pools(instance)


def _start_dagster(settings: Settings, seen: Mapping[str, str], port: int) -> Child:
    workspace = project_root() / "workspace.yaml"
    command = [sys.executable, "-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(port), "--log-level", "warning"]
    command += ["-w", str(workspace)] if workspace.is_file() else ["-m", "thumbrank_dagster.definitions"]
    return Child("Dagster", command, seen, Path.cwd(), asked_too=is_run)


def is_run(process: psutil.Process) -> bool:
    """Whether it is the process of a run: what a code server (`dagster api grpc`) starts by multiprocessing, and not the helper
    of multiprocessing beside it. The processes of a training that are a run's own are told by the run."""
    if "--multiprocessing-fork" not in process.cmdline():
        return False
    parent = process.parent()
    return parent is not None and {"api", "grpc"} <= set(parent.cmdline())


def _start_mlflow(settings: Settings, seen: Mapping[str, str], port: int) -> Child:
    """MLflow's server on the store that trainings write to. Its URL goes by the environment: it may hold a password."""
    folder = settings.home / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    mlflow = {
        "MLFLOW_BACKEND_STORE_URI": settings.tracking_uri,
        "MLFLOW_REGISTRY_STORE_URI": settings.tracking_uri,
        "MLFLOW_DEFAULT_ARTIFACT_ROOT": (folder / "artifacts").as_uri(),
        # Without it: eight processes more and 1.3 GB, for evaluations of language models.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    return Child("MLflow", command, {**seen, **mlflow}, folder)


def _is_server(tracking_uri: str) -> bool:
    return tracking_uri.startswith(("http://", "https://"))


def _mlflow_url(settings: Settings, ports: Ports) -> str:
    """Ours, or that of the server which is used; credentials in its address are not passed on."""
    if not _is_server(settings.tracking_uri):
        return f"http://127.0.0.1:{ports.mlflow}"
    return without_login(settings.mlflow_url or settings.tracking_uri)


def _wait_until_answering(children: Sequence[Child], pages: Mapping[str, str]) -> Child | None:
    """None when every page answers; the child that ended before.

    Raises:
        NotAnsweringError: one did neither for long.
    """
    deadline = time.monotonic() + START_SECONDS
    for name, url in pages.items():
        while not _answers(url):
            if (ended := _ended(children)) is not None:
                return ended
            if time.monotonic() > deadline:
                raise NotAnsweringError(f"{name} did not answer within {START_SECONDS:.0f} s: read its lines above.")
            time.sleep(LOOK_SECONDS)
    return None


def _wait_until_one_ends(children: Sequence[Child]) -> Child:
    while (ended := _ended(children)) is None:
        time.sleep(LOOK_SECONDS)
    return ended


def _ended(children: Sequence[Child]) -> Child | None:
    return next((child for child in children if child.status is not None), None)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5.0, trust_env=False).is_success
    except httpx.HTTPError:
        return False
