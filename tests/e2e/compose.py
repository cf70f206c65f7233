"""docker-compose.yml without Docker: each service as a plain process with its own command, environment and health check.

What is the file's: commands, environments (the image's ENV too), order, health checks, stop signal and grace period, and whether
process 1 passes the signal on to the group. What is mapped: names of services to 127.0.0.1, ports to free ones, volumes and /app
to folders, postgres' image to the embedded server with the same superuser and password. What stays unproven: everything that only
an engine does (docs/deployment.md lists it).
"""

import contextlib
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import psycopg
import yaml
from psycopg import sql

from tests.ports import free_port
from thumbrank_core.store.embedded import EmbeddedPostgres

ROOT = Path(__file__).resolve().parents[2]
PORTS = {"postgres": 5432, "code": 4000, "webserver": 3000, "mlflow": 5000, "simulator": 8090}
FOLDERS = ("/state", "/artifacts", "/app")
AS_WRITTEN = {"MLFLOW_SERVER_ALLOWED_HOSTS"}
"""Names a server answers to, not addresses somebody connects to."""
KEPT = ("THUMBRANK_AUDIT_LOG", "PYTHONPATH", "LANG", "LC_ALL")
"""Of the test's own environment: what watches the network."""
PASSWORDS = ("POSTGRES_PASSWORD", "THUMBRANK_DB_PASSWORD", "DAGSTER_DB_PASSWORD", "MLFLOW_DB_PASSWORD")
STOPPED = ("simulator", "daemon", "webserver", "code", "mlflow")
"""As they depend on one another, postgres last."""
_VARIABLE = re.compile(r"\$\{([A-Za-z_]+)(?::([-?])([^}]*))?\}")


class MissingVariable(Exception):
    """A variable that the file requires (`${NAME:?…}`)."""


def interpolate(value: Any, variables: Mapping[str, str]) -> Any:
    """What Compose makes of `${NAME}`, `${NAME:-default}` and `${NAME:?sentence}`."""
    if isinstance(value, dict):
        return {key: interpolate(inner, variables) for key, inner in value.items()}
    if isinstance(value, list):
        return [interpolate(inner, variables) for inner in value]
    if not isinstance(value, str):
        return value

    def replacement(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        if found := variables.get(name):
            return found
        if kind == "?":
            raise MissingVariable(f"{name}: {rest}")
        return rest or ""

    return _VARIABLE.sub(replacement, value)


def image_environment() -> dict[str, str]:
    """The ENV of the last stage of the Dockerfile."""
    last = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").split("\nFROM ")[-1]
    [line] = re.findall(r"^ENV (.*)$", last, re.MULTILINE)
    return dict(pair.split("=", 1) for pair in line.split())


def seconds(text: str) -> float:
    """Of a duration of the file (`60s`)."""
    return float(text.removesuffix("s"))


class LocalCompose:
    """The services of the file as processes; `with` starts none and stops all."""

    def __init__(self, home: Path, variables: Mapping[str, str]) -> None:
        self.home = home
        self.variables = {name: secrets.token_hex(16) for name in PASSWORDS} | dict(variables)
        self.file = interpolate(yaml.safe_load((ROOT / "docker-compose.yml").read_text()), self.variables)
        self.ports = {name: free_port() for name in PORTS}
        self.late: list[str] = []
        """Services that did not stop within their grace period."""
        self._processes: dict[str, subprocess.Popen[Any]] = {}
        self._postgres = EmbeddedPostgres(home / "postgres", durable=False, port=self.ports["postgres"])
        for folder in FOLDERS:
            (home / folder.strip("/")).mkdir()
        workspace = yaml.safe_load((ROOT / "deploy" / "workspace.yaml").read_text())
        for entry in workspace["load_from"]:
            server = entry["grpc_server"]
            assert server["port"] == PORTS[server["host"]]
            entry["grpc_server"] |= {"host": "127.0.0.1", "port": self.ports[server["host"]]}
        (home / "app" / "deploy").mkdir()
        (home / "app" / "deploy" / "workspace.yaml").write_text(yaml.safe_dump(workspace))

    def url(self, service: str) -> str:
        """Where a service answers on this machine."""
        return f"http://127.0.0.1:{self.ports[service]}"

    def start_postgres(self) -> None:
        """The embedded server, with the superuser that the image would make."""
        asked = self.file["services"]["postgres"]["environment"]
        self._postgres.start()
        with psycopg.connect(self._postgres.url("postgres"), autocommit=True) as connection:
            connection.execute(
                sql.SQL("create role {} superuser login password {}").format(
                    sql.Identifier(asked["POSTGRES_USER"]), sql.Literal(asked["POSTGRES_PASSWORD"])
                )
            )

    def run(self, service: str, timeout: float) -> "subprocess.CompletedProcess[str]":
        """A one-shot service, to its end."""
        done = subprocess.run(self.command(service), **self._how(service), capture_output=True, timeout=timeout)
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def start(self, service: str) -> None:
        """A long-running service; its output goes to `log(service)`."""
        with self.log(service).open("ab") as log:
            self._processes[service] = subprocess.Popen(
                self.command(service), **self._how(service), stdout=log, stderr=log, start_new_session=True
            )

    def wait_healthy(self, service: str, patience: float = 150) -> float:
        """Run the service's own health check until it passes; returns the seconds that took."""
        check = self.file["services"][service]["healthcheck"]
        kind, *command = check["test"]
        assert kind == "CMD"
        started = time.monotonic()
        while True:
            done = subprocess.run(
                [self.local(part) for part in command],
                **self._how(service),
                capture_output=True,
                timeout=seconds(check["timeout"]) * 3,  # the file's is for a machine that does not run tests beside it
            )
            if done.returncode == 0:
                return time.monotonic() - started
            assert self._processes[service].poll() is None, f"{service} ended: {self.log(service).read_text()[-3000:]}"
            assert time.monotonic() - started < patience, f"{service} is not healthy: {done.stderr.decode()[-2000:]}"
            time.sleep(0.5)

    def stop(self) -> None:
        """As `docker compose stop`."""
        self.stop_services(*STOPPED)
        self._postgres.stop()

    def stop_services(self, *services: str) -> None:
        """SIGTERM, and SIGKILL after the grace period. Process 1 passes SIGTERM on to one process, or to its group where it is told."""
        for service in services:
            process = self._processes.pop(service, None)
            if process is None:
                continue
            if "TINI_KILL_PROCESS_GROUP" in self.environment(service):
                os.killpg(process.pid, signal.SIGTERM)
            else:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(seconds(self.file["services"][service].get("stop_grace_period", "10s")))
            except subprocess.TimeoutExpired:
                self.late.append(service)
            self._end_the_rest(service, process)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def log(self, service: str) -> Path:
        """Of a long-running service."""
        return self.home / f"{service}.log"

    def command(self, service: str) -> list[str]:
        """The service's command, on this machine."""
        return [self.local(part) for part in self.file["services"][service]["command"]]

    def environment(self, service: str) -> dict[str, str]:
        """The image's and the service's, and nothing else of ours."""
        asked = image_environment() | {
            name: self.variables.get(name) if value is None else str(value)
            for name, value in self.file["services"][service].get("environment", {}).items()
        }
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        found = {
            name: value if name in AS_WRITTEN else self.local(value)
            for name, value in asked.items()
            if value is not None
        }
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return kept | found | {"PATH": path, "HOME": str(self.home)}

    def local(self, text: str) -> str:
        """Names, ports and folders of the containers as they are here."""
        text = text.replace("0.0.0.0", "127.0.0.1")
        for service, port in PORTS.items():
            text = re.sub(rf"\b{service}:{port}\b", f"127.0.0.1:{self.ports[service]}", text)
        for service, port in PORTS.items():
            text = re.sub(rf"(?<![\w.]){port}(?![\w.])", str(self.ports[service]), text)
        return re.sub(rf"(?<![\w/])({'|'.join(FOLDERS)})(?=/|$)", lambda match: f"{self.home}{match[1]}", text)

    def _how(self, service: str) -> dict[str, Any]:
        return {"env": self.environment(service), "cwd": self.home / "app", "stdin": subprocess.DEVNULL}

    def _end_the_rest(self, service: str, process: "subprocess.Popen[bytes]") -> None:
        """An engine ends all that is in a container; here whoever outlives its service by seconds is ended and counted as late."""
        deadline = time.monotonic() + 5
        while (others := _session(process.pid)) and time.monotonic() < deadline:
            time.sleep(0.1)
        for other in others:
            with contextlib.suppress(psutil.NoSuchProcess):
                self.late.append(f"{service}: {' '.join(other.cmdline())[:120]}")
                other.kill()
        process.wait()


def _session(leader: int) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
