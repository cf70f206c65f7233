"""`thumbrank dev`: both UIs answer, one request stops everything in order, and nothing outlives it however it ends."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx
import psutil
import pytest

from tests.e2e import graphql, long_training
from tests.e2e.processes import environment, left_behind, new_home, run
from tests.ports import free_port
from thumbrank_dagster.dev import is_run

READY = "Ctrl-C stops everything."


class Dev:
    """A running `thumbrank dev`, started like a background job of a shell: SIGINT is ignored by whatever inherits that."""

    def __init__(self, home, *options):
        self.home, self.port, self.mlflow_port = home, free_port(), free_port()
        self.log = home / "dev.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "thumbrank_dagster",
                    "dev",
                    f"--port={self.port}",
                    f"--mlflow-port={self.mlflow_port}",
                    *options,
                ],
                cwd=home,
                env=environment(home),
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
            )
        deadline = time.monotonic() + 150
        while READY not in self.said():
            assert self.process.poll() is None, self.said()[-3000:]
            assert time.monotonic() < deadline, self.said()[-3000:]
            time.sleep(0.2)

    def said(self):
        return self.log.read_text(errors="replace")

    def children(self):
        """The three that `dev` starts itself, by name."""
        named = {}
        for child in psutil.Process(self.process.pid).children():
            line = " ".join(child.cmdline())
            named["mlflow" if "mlflow server" in line else "dagster" if "dagster dev" in line else "postgres"] = child
        return named

    def wait(self, seconds):
        return self.process.wait(timeout=seconds)


def failures(text):
    """The errors of all tracebacks but those of Ctrl-C itself: Dagster's processes may print where it met them, we do not."""
    errors = re.findall(r"Traceback \(most recent call last\):\n(?:(?: .*)?\n)*(\S+)", text)
    return [error for error in errors if not re.search(r"KeyboardInterrupt|DagsterExecutionInterruptedError", error)]


def test_failures_are_all_but_ctrl_c():
    def printed(error):
        return f'before\nTraceback (most recent call last):\n  File "x", line 1\n    f()\n\n{error}: why\nafter\n'

    text = (
        printed("dagster._core.errors.DagsterExecutionInterruptedError") + printed("ValueError") + printed("KeyError")
    )
    assert failures(text + "Traceback (most recent call last):\nKeyboardInterrupt\n") == ["ValueError:", "KeyError:"]


@contextmanager
def running(home, *options):
    dev = Dev(home, *options)
    try:
        yield dev
    finally:
        if dev.process.poll() is None:
            dev.process.kill()
            dev.wait(10)


@pytest.mark.slow
def test_both_uis_answer_and_sigterm_stops_dagster_then_mlflow_then_postgres():
    with new_home() as home:
        with running(home) as dev:
            assert f"Dagster UI: http://127.0.0.1:{dev.port}" in dev.said()
            assert f"MLflow UI:  http://127.0.0.1:{dev.mlflow_port}" in dev.said()
            limits = httpx.post(
                f"http://127.0.0.1:{dev.port}/graphql",
                json={"query": "{ instance { concurrencyLimits { concurrencyKey slotCount } } }"},
                timeout=30,
            ).json()["data"]["instance"]["concurrencyLimits"]
            assert {limit["concurrencyKey"]: limit["slotCount"] for limit in limits} == {"youtube_api": 1, "gpu": 1}
            assert httpx.get(f"http://127.0.0.1:{dev.mlflow_port}/", timeout=30).is_success
            seen = psutil.Process(dev.children()["dagster"].pid).environ()
            assert seen["THUMBRANK_MLFLOW_URL"] == f"http://127.0.0.1:{dev.mlflow_port}"
            assert seen["THUMBRANK_DAGSTER_URL"] == f"http://127.0.0.1:{dev.port}"
            waiting, gone = dev.children(), []
            assert set(waiting) == {"dagster", "mlflow", "postgres"}
            dev.process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + 120
            while waiting and time.monotonic() < deadline:
                ended = [
                    name for name, child in waiting.items() if not child.is_running() or child.status() == "zombie"
                ]
                gone += ended
                for name in ended:
                    del waiting[name]
                time.sleep(0.005)
            assert dev.wait(20) == 0
            assert gone == ["dagster", "mlflow", "postgres"]
            assert "Finished server process" in dev.said()
            assert "did not end within" not in dev.said(), "it was heard, and not killed after a deadline"
            assert failures(dev.said()) == []
        assert left_behind(home) == []


@pytest.mark.slow
@pytest.mark.parametrize(("name", "called"), [("mlflow", "MLflow"), ("dagster", "Dagster")])
def test_when_one_ends_by_itself_it_is_named_and_the_rest_is_stopped(name, called):
    with new_home() as home:
        with running(home) as dev:
            dev.children()[name].kill()
            assert dev.wait(150) == 1
            assert f"{called} ended by itself (exit status -9)" in dev.said()
        assert left_behind(home) == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent was killed")
def test_nothing_outlives_a_dev_that_was_killed():
    with new_home() as home:
        with running(home) as dev:
            dev.process.kill()
            dev.wait(10)
        assert left_behind(home, seconds=30) == []


def test_the_process_of_a_run_is_known_among_those_around_it():
    server = "import multiprocessing, time; multiprocessing.get_context('spawn').Process(target=time.sleep, args=[60]).start()"
    for words, expected in ((["api", "grpc"], 1), (["some", "server"], 0)):
        with subprocess.Popen([sys.executable, "-c", server, *words], start_new_session=True) as process:
            long_training.wait_until(lambda: len(psutil.Process(process.pid).children()) == 2, 20)  # and its helper
            time.sleep(0.2)
            assert sum(map(is_run, psutil.Process(process.pid).children())) == expected
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_stop_lets_a_training_write_its_checkpoint_and_the_next_dev_goes_on():
    with new_home() as home:
        (home / "demo").mkdir()
        world = {"seed": 5, "channels_per_niche": 48, "videos_per_channel": 14, "effect": 1.0}
        (home / "demo" / "summary.json").write_text(json.dumps({"world": world}))
        with running(home, "--demo") as dev:
            run_id = long_training.launch(f"http://127.0.0.1:{dev.port}", home)
            dev.process.send_signal(signal.SIGTERM)
            assert dev.wait(45) == 0, "nobody waited for the training's end, or for a deadline"
        assert left_behind(home) == []
        stood = long_training.epoch(home)
        with running(home, "--demo") as dev:
            base = f"http://127.0.0.1:{dev.port}"
            assert graphql.wait_for_end(base, run_id, patience=30) == "FAILURE"
            long_training.wait_until(lambda: "Continuing from" in dev.said(), long_training.RETRIED_WITHIN)
            dev.process.send_signal(signal.SIGTERM)
            assert dev.wait(45) == 0
        assert long_training.epoch(home) >= stood, "it went on from there, however soon it was stopped again"
        assert left_behind(home) == []


@pytest.mark.parametrize("option", ["--port", "--mlflow-port"])
def test_a_taken_port_is_one_sentence_before_anything_is_started(option):
    with new_home() as home, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ports = {"--port": free_port(), "--mlflow-port": free_port()} | {option: port}
        done = run(home, "dev", *[part for pair in ports.items() for part in pair], timeout=60)
        assert done.returncode == 1
        assert (
            done.stderr
            == f"thumbrank: Port {port} is taken: stop what listens there, or choose another with {option}.\n"
        )
        assert list(home.iterdir()) == []
