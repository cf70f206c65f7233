"""A training that takes hours, to be stopped: launching it, seeing that it works, and what it leaves.

What belongs here: the training. Who stops it, and how, is the tests'.
"""

import time
from collections.abc import Callable
from pathlib import Path

import torch

from tests.e2e import graphql
from thumbrank_core.training.pipeline import BEST, LAST

ENDLESS = {"epochs": 100_000, "patience": 100_000, "checkpoint_every": 100_000}
"""Between its beginning and its end it writes a file of the best epoch, and another one only when it is asked to stop."""

RETRIED_WITHIN = 420.0
"""Seconds. Five as a rule; one that was being launched as everything stopped is found missing after start_timeout_seconds (300)."""


def launch(base: str, home: Path, workers: int = 1) -> str:
    """Refresh a niche, begin to train on it, and return the run's id once it learns."""
    refreshed = graphql.launch(base, "refresh_niche", {"dagster/partition": "tech"})
    assert graphql.wait_for_end(base, refreshed, patience=300) == "SUCCESS"
    there = set(home.rglob(f"checkpoints/*/{BEST}"))  # of trainings before, which ended
    training = {
        "niches": ["tech"],
        "encoders": "tiny",
        "recipe": "default",
        "overrides": ENDLESS,
        "workers": workers,
    }
    run_id = graphql.launch(base, "train_and_deploy", {}, {"ops": {"trained_model": {"config": training}}})
    wait_until(lambda: bool(set(home.rglob(f"checkpoints/*/{BEST}")) - there), 180)
    assert find(home, LAST) is None
    return run_id


def find(home: Path, name: str) -> Path | None:
    """A checkpoint, wherever below the home."""
    return next(home.rglob(f"checkpoints/*/{name}"), None)


def epoch(home: Path) -> int:
    """Where the training stood when it was asked to stop."""
    path = find(home, LAST)
    assert path is not None, "it did not write what it had"
    return int(torch.load(path, map_location="cpu", weights_only=True)["state"]["epoch"])


def wait_until(condition: Callable[[], bool], patience: float) -> None:
    """Look twice a second until it is so."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.5)
