"""Timing two ways of doing the same thing in one run: interleaved, medians and ratios, with the machine in the file name.

What belongs here: that, and a training with the time of its epochs.
"""

import json
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from thumbrank_core.model.bundle import EpochRecord
    from thumbrank_core.training.dataset import Dataset
    from thumbrank_core.training.ongoing import Trained
    from thumbrank_core.training.recipe import Recipe
    from thumbrank_core.training.tracking.interface import Tracker

RESULTS = Path(__file__).parent / "results"
REPEATS = 5


def side_by_side(ours: Callable[[], object], plain: Callable[[], object], repeats: int = REPEATS) -> dict[str, float]:
    """Seconds of both ways, A B A B …, after one warm-up each; the ratio is the median of the pairs' ratios."""
    ours()
    plain()
    times = [(_seconds(ours), _seconds(plain)) for _ in range(repeats)]
    return {
        "ours_s": round(statistics.median(a for a, _ in times), 4),
        "plain_s": round(statistics.median(b for _, b in times), 4),
        "plain_over_ours": round(statistics.median(b / a for a, b in times), 2),
    }


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


class EpochClock:
    """A tracker that takes the time of each epoch's end, from when it was made; `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._begun = clock()
        self.ends: list[float] = []
        self.records: list[EpochRecord] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def begin(self, facts: object, history: "Sequence[EpochRecord]") -> None:
        """The first epoch starts."""

    def epoch(self, record: "EpochRecord") -> None:
        """An epoch is over."""
        self.ends.append(self._clock() - self._begun)
        self.records.append(record)

    def end(self, outcome: object) -> None:
        """Training is over."""

    @property
    def step_seconds(self) -> float:
        """Seconds in steps."""
        return sum(record.seconds for record in self.records)

    @property
    def items(self) -> float:
        """Items scored in steps."""
        return sum(record.items_per_second * record.seconds for record in self.records)


def train(dataset: "Dataset", recipe: "Recipe", trackers: "Sequence[Tracker]" = ()) -> "Trained":
    """The data set learnt by the recipe, its weights drawn from the recipe's seed."""
    from thumbrank_core.training.pipeline import TrainingPipeline, new_model

    return TrainingPipeline(new_model(dataset, recipe), recipe=recipe, data=dataset, trackers=trackers).train()


def report(claim: str, packages: tuple[str, ...], rows: list[dict[str, object]]) -> None:
    """Print the figures and write them beside the script, hardware and versions in the file name."""
    versions = "-".join(f"{name}{version(name)}" for name in packages)
    machine = f"{platform.system()}-{platform.machine()}-{os.cpu_count()}cpu".lower()
    found = {
        "claim": claim,
        "rows": rows,
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "python": platform.python_version(),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{claim}-{machine}-{versions}.json"
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(claim)
    for row in rows:
        print("  " + ", ".join(f"{name}={value}" for name, value in row.items()))
