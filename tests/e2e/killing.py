"""A collection in a process of its own, and ways to end that process where it hurts.

What belongs here: starting, watching and killing. What has to be true afterwards is asserted by the tests.
Run as a program it collects once: `python -m tests.e2e.killing DATABASE_URL ENDPOINT POLICY`, and prints its state.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydantic import SecretStr

from tests.integration.collecting import KEY, NOBODY, policy_of
from thumbrank_core.niches import load_niches
from thumbrank_core.simulator.server import SimulatorServer
from thumbrank_core.store.database import Database
from thumbrank_core.youtube.client import YouTube
from thumbrank_core.youtube.collect import collect_niche

ROOT = Path(__file__).resolve().parents[2]
WORKERS = 4
POLICY = {"requests": WORKERS, "search_pages": 5, "trainability": "sample", "trainability_sample": 24}


@contextmanager
def collecting(url: str, server: SimulatorServer, policy: Mapping[str, object]) -> Iterator["subprocess.Popen[str]"]:
    """A child that collects tech once; never left behind."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.killing", url, server.endpoint, json.dumps(dict(policy))],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()


def collect_in_a_child(url: str, server: SimulatorServer, policy: Mapping[str, object], timeout: float = 120) -> str:
    """Collect to the end; returns the state, and fails with the child's errors where it had some."""
    with collecting(url, server, policy) as child:
        out, err = child.communicate(timeout=timeout)
    assert child.returncode == 0, err
    return out.strip()


def wait_for(reached: Callable[[], bool], child: "subprocess.Popen[str]", timeout: float = 60) -> bool:
    """Wait until a point of the collection is reached; False where the child ended before it."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if reached():
            return child.poll() is None
        if child.poll() is not None:
            return False
        time.sleep(0.002)
    raise AssertionError(f"the point was not reached within {timeout:.0f} s")


def since(server: SimulatorServer, method: str, count: int) -> Callable[[], bool]:
    """Whether so many requests of a method (or, for a bucket's name, attempts of a bucket) came since this was called."""
    counted = server.attempts if method in ("search", "stats_batch", "default") else server.served
    before = counted().get(method, 0)
    return lambda: counted().get(method, 0) >= before + count


def collect_here(database: Database, endpoint: str, policy: Mapping[str, object]) -> str:
    """What the child does, in this process; returns the state."""
    niche, api = load_niches()["tech"], YouTube(SecretStr(KEY), endpoint)
    return collect_niche(database, api, "tech", niche, policy_of(collection=policy), "youtube_api", NOBODY).state


def main(url: str, endpoint: str, policy: str) -> None:
    """Collect tech once, as a run of the product does."""
    with Database(url) as database:
        print(collect_here(database, endpoint, json.loads(policy)))  # noqa: T201 -- the parent reads it


if __name__ == "__main__":
    main(*sys.argv[1:])
