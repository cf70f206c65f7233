"""Claim: on held-out channels `default` is nowhere worse than the guide's recipe, and better somewhere.

Both recipes learn the same simulated worlds (simulated_datasets.py) at three sizes, one world a seed; world and recipe have the
same seed. The guide gets at most CAP CPU seconds a run: its epoch is timed first, and its epochs are what fits. Differences are
paired: test channels of the worlds are resampled together, and channels of two worlds are two channels. What each choice of
`default` is worth: --ablation, at one size, one change at a time.
Finished runs are kept in the folder, by recipe, data and code, so that a killed benchmark goes on.

    make bench NAME=recipes
    python benchmarks/bench_recipes.py --folder worlds [--sizes 2000 8000] [--seeds 0 1] [--ablation [8000]]
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from thumbrank_core.array_types import Floats

sys.path.insert(0, str(Path(__file__).resolve().parent))
import numpy as np
import torch
from measure import EpochClock, report, train
from simulated_datasets import SIZES, simulated

import thumbrank_core
from thumbrank_core.bootstrap import DRAWS, Interval, ratio_interval
from thumbrank_core.evaluation.learnt import Learnt
from thumbrank_core.evaluation.linear import Linear
from thumbrank_core.features.encoders import best_device
from thumbrank_core.metrics import channel_sums, pair_concordance
from thumbrank_core.training.dataset import Dataset
from thumbrank_core.training.recipe import Recipe, load_recipe
from thumbrank_core.training.sources import vectors_source
from thumbrank_core.training.validation import ranked

SEEDS = (0, 1, 2)
CAP = 600.0
"""CPU seconds of a run of the guide's recipe."""
PROBE_STEPS = 400
FEWEST_EPOCHS = 2
WORKERS = 2
ABLATION_SIZE = 8_000
NOT_WORSE = -0.005
SHAPES_SCORES = [
    "training/pipeline.py",
    "training/ongoing.py",
    "training/generators.py",
    "training/batches.py",
    "training/objective.py",
    "training/optimiser.py",
    "training/averaging.py",
    "training/targets.py",
    "training/sources.py",
    "training/validation.py",
    "model/network.py",
    "model/losses.py",
    "model/dropout.py",
]
"""The code whose change makes kept scores stale; data and recipes are in the key themselves."""


ABLATION: dict[str, dict[str, object]] = {
    "loss: margin on who won": {"pair_loss": "margin", "soft_targets": False},
    "targets: who won, not by how much": {"soft_targets": False},
    "pair smoothing 0.1": {"pair_smoothing": 0.1},
    "by pair, 1024 a step (item-wise off)": {"batch_by": "pair", "batch_size": 1024},
    "by pair, 1024 a step, mixup 0.3": {"batch_by": "pair", "batch_size": 1024, "mixup_alpha": 0.3},
    "average: none": {"averaging": "none"},
    # From 75 % of the epochs, as in the guide; without patience, or most runs would end before it begins.
    "average: SWA, no patience": {"averaging": "swa", "swa_start": 30, "patience": None},
    "average: SWA, no patience, shipped in any case": {
        "averaging": "swa",
        "swa_start": 30,
        "patience": None,
        "ship": "last",
    },
    # With a shared read-out no batch norm is left: this is the guide's trunk, without LayerNorm, GELU and dropout.
    "norm: batch (the guide's linear trunk)": {"norm": "batch"},
    "norm: batch, own absolute head": {"norm": "batch", "read_out": "head"},
    "wide path off": {"wide": False},
    "learning rate 1e-3": {"learning_rate": 1e-3},
    "read-out: own absolute head": {"read_out": "head"},
    "engagement loss off": {"engagement_weight": 0.0},
    "channels not weighted": {"channel_weighted": False},
}


@dataclass(frozen=True)
class Job:
    """One run, and the array file it leaves. `cap`: CPU seconds, into which its epochs have to fit; None for no cap."""

    size: int
    seed: int
    label: str
    recipe: str | None
    """None: the ridge and the truth instead."""
    changes: Mapping[str, Any]
    cap: float | None
    folder: Path


class Ready(NamedTuple):
    """Where a job's arrays lie, and what is to be said of it."""

    job: Job
    path: Path
    facts: dict[str, Any]


def code_version() -> str:
    """A digest of the code that shapes scores."""
    root = Path(str(thumbrank_core.__file__)).parent
    return hashlib.sha256(b"".join((root / name).read_bytes() for name in SHAPES_SCORES)).hexdigest()


@lru_cache(maxsize=1)
def world_of(seed: int, size: int, folder: Path) -> tuple[Dataset, Floats]:
    """The data and the truth; jobs of one world follow each other."""
    return simulated(seed, size, folder)


def fitting_epochs(dataset: Dataset, recipe: Recipe, cap: float) -> tuple[int, float]:
    """How many epochs of the recipe fit into the cap, and the CPU seconds of one, told from epochs of PROBE_STEPS steps."""
    training = np.flatnonzero(dataset.pairs.split == 0)
    rest = np.flatnonzero(dataset.pairs.split != 0)
    steps = min(PROBE_STEPS, len(training) // recipe.batch_size)
    chosen = np.random.default_rng(0).permutation(training)[: steps * recipe.batch_size]
    keep = np.zeros(len(dataset.pairs), dtype=np.bool_)
    keep[chosen] = keep[rest] = True
    clock = EpochClock(time.process_time)
    train(replace(dataset, pairs=dataset.pairs.take(keep)), recipe.with_overrides({"epochs": 3}), [clock])
    shares = [record.seconds for record in clock.records[1:]]  # the first epoch warms up
    wall_steps, cpu = sum(shares) / 2, (clock.ends[2] - clock.ends[0]) / 2
    in_steps = min(cpu, wall_steps)  # on a shared core wall time is the longer one
    per_epoch = in_steps / steps * -(-len(training) // recipe.batch_size) + (cpu - in_steps)
    return max(FEWEST_EPOCHS, min(recipe.epochs, int(cap / per_epoch))), per_epoch


def kept_at(job: Job, dataset: Dataset, recipe: Recipe | None) -> Path:
    """The file of a job: recipe, data, code, and the cap where there is one."""
    of = recipe.sha256 if recipe is not None else "references"
    key = (of, dataset.fingerprint(), code_version(), job.cap, torch.__version__)
    return job.folder / "runs" / f"{hashlib.sha256(repr(key).encode()).hexdigest()[:24]}.npz"


def work(job: Job) -> Ready:
    """Do the job, or find it done."""
    dataset, truth = world_of(job.seed, job.size, job.folder)
    recipe = load_recipe(job.recipe, {**job.changes, "seed": job.seed}) if job.recipe is not None else None
    path = kept_at(job, dataset, recipe)
    if path.is_file():
        with np.load(path) as arrays:
            return Ready(job, path, json.loads(str(arrays["facts"])) | {"kept": True})
    begun, cpu = time.perf_counter(), time.process_time()
    arrays: dict[str, Any] = {}
    facts: dict[str, Any] = {}
    if recipe is None:
        test = dataset.of("test")
        arrays = {
            "ridge": Linear(Learnt(dataset)).both(),
            "ceiling": truth,
            "a": test.a,
            "b": test.b,
            "outcome": test.outcome,
        }
        arrays |= {"channel": test.channel}
        facts |= {"thumbnails": len(dataset.items), "pairs": len(dataset.pairs), "channels": len(dataset.channels)}
    else:
        if job.cap is not None:
            epochs, per_epoch = fitting_epochs(dataset, recipe, job.cap)
            recipe = recipe.with_overrides({"epochs": epochs})
            facts |= {"cap_cpu_s": job.cap, "probe_cpu_s_an_epoch": round(per_epoch, 3), "planned": epochs}
            begun, cpu = time.perf_counter(), time.process_time()
        trained = train(dataset, recipe)
        model = trained.model.to(best_device())
        source = vectors_source(model, dataset.items.image, dataset.items.text, best_device())
        arrays["score"] = ranked(model, source, np.arange(len(dataset.items)))
        best = max(record.validation_accuracy for record in trained.history)
        facts |= {"epochs": len(trained.history), "shipped": trained.shipped, "best_validation": round(best, 4)}
    facts |= {"cpu_s": round(time.process_time() - cpu, 1), "wall_s": round(time.perf_counter() - begun, 1)}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        np.savez(file, facts=np.array(json.dumps(facts)), **arrays)
    part.replace(path)
    return Ready(job, path, facts | {"kept": False})


def _one_thread() -> None:
    torch.set_num_threads(1)


def all_done(jobs: Sequence[Job]) -> dict[tuple[int, int, str], Ready]:
    """Every job, two at a time, with a line each."""
    done: dict[tuple[int, int, str], Ready] = {}
    begun = time.perf_counter()
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(WORKERS, mp_context=spawn, initializer=_one_thread) as pool:
        for task in as_completed([pool.submit(work, job) for job in jobs]):
            ready = task.result()
            job = ready.job
            done[job.size, job.seed, job.label] = ready
            said = ", ".join(f"{name} {value}" for name, value in ready.facts.items())
            print(f"[{time.perf_counter() - begun:6.0f} s] {len(done)} of {len(jobs)}: ", end="")
            print(f"{job.size:,}, seed {job.seed}, {job.label}: {said}", flush=True)
    return done


class World(NamedTuple):
    """One world's test pairs, by channel: pairs (C,), and each scorer's sum of concordances (C,)."""

    counts: Floats
    sums: dict[str, Floats]


def judged(done: Mapping[tuple[int, int, str], Ready], size: int, seed: int) -> World:
    """Every scorer of a world on its test pairs."""
    with np.load(done[size, seed, "references"].path) as arrays:
        test = {name: arrays[name] for name in ("a", "b", "outcome", "channel")}
        scores: dict[str, Floats] = {"ridge": arrays["ridge"], "ceiling": arrays["ceiling"]}
    for (its_size, its_seed, label), ready in done.items():
        if (its_size, its_seed) == (size, seed) and label != "references":
            with np.load(ready.path) as arrays:
                scores[label] = arrays["score"]
    names, channel = np.unique(test["channel"], return_inverse=True)
    sums: dict[str, Floats] = {}
    counts = np.empty(0)
    for label, score in scores.items():
        right = pair_concordance(score[test["a"]] - score[test["b"]], test["outcome"])
        sums[label], counts = channel_sums(right, channel, len(names))
    return World(counts, sums)


def difference(worlds: Sequence[World], ours: str, other: str) -> Interval:
    """Micro pair accuracy of one less that of the other, channels of all worlds resampled together."""
    sums = np.concatenate([world.sums[ours] - world.sums[other] for world in worlds])
    return ratio_interval(sums, np.concatenate([world.counts for world in worlds]), DRAWS)


def accuracy(worlds: Sequence[World], label: str) -> float:
    """Micro pair accuracy over all pairs of the worlds."""
    right = sum(float(world.sums[label].sum()) for world in worlds)
    return round(right / sum(float(world.counts.sum()) for world in worlds), 4)


def bounds(found: Interval) -> dict[str, object]:
    """A difference as the table has it."""
    return {"difference": round(found.value, 4), "low": round(found.low, 4), "high": round(found.high, 4)}


def compared(done: Mapping[tuple[int, int, str], Ready], size: int, seeds: Sequence[int]) -> list[dict[str, object]]:
    """A row a seed, and one of all of them: `default` against `guide`."""
    worlds = {seed: judged(done, size, seed) for seed in seeds}
    groups: list[tuple[object, list[int]]] = [(seed, [seed]) for seed in seeds]
    rows: list[dict[str, object]] = []
    for name, members in [*groups, ("all", list(seeds))]:
        group = [worlds[seed] for seed in members]
        row: dict[str, object] = {"size": size, "seed": name}
        row |= {label: accuracy(group, label) for label in ("default", "guide", "ridge", "ceiling")}
        row |= bounds(difference(group, "default", "guide"))
        ridge = difference(group, "default", "ridge")
        row |= {"over_ridge": round(ridge.value, 4), "over_ridge_low": round(ridge.low, 4)}
        row |= {"test_pairs": int(sum(world.counts.sum() for world in group))}
        row |= {"test_channels": sum(len(world.counts) for world in group)}
        if len(members) == 1 and name != "all":
            guide, default = (done[size, members[0], label].facts for label in ("guide", "default"))
            row |= {
                "guide_cap_cpu_s": guide["cap_cpu_s"],
                "guide_epochs": guide["planned"],
                "guide_cpu_s": guide["cpu_s"],
            }
            row |= {"guide_probe_cpu_s_an_epoch": guide["probe_cpu_s_an_epoch"]}
            row |= {"default_epochs": default["epochs"], "default_cpu_s": default["cpu_s"]}
            if guide["probe_cpu_s_an_epoch"] * FEWEST_EPOCHS > guide["cap_cpu_s"]:
                row["note"] = f"{FEWEST_EPOCHS} epochs of the guide are over the cap: it had them anyway"
        rows.append(row)
    return rows


def ablated(done: Mapping[tuple[int, int, str], Ready], size: int, seeds: Sequence[int]) -> list[dict[str, object]]:
    """A row a change: its accuracy, less that of `default`."""
    worlds = [judged(done, size, seed) for seed in seeds]
    rows: list[dict[str, object]] = [
        {"size": size, "seeds": len(seeds), "change": label, "accuracy": accuracy(worlds, label)}
        for label in ("default", "guide", "ridge", "ceiling")
        if label in worlds[0].sums
    ]
    for label, changes in ABLATION.items():
        row: dict[str, object] = {"size": size, "seeds": len(seeds), "change": label}
        row |= {"accuracy": accuracy(worlds, label)} | bounds(difference(worlds, label, "default"))
        row["accuracy_each_seed"] = [accuracy([world], label) for world in worlds]
        row["cpu_s"] = round(sum(done[size, seed, label].facts["cpu_s"] for seed in seeds) / len(seeds), 1)
        rows.append(row | {"fields": json.dumps(changes)})
    mixed, plain = "by pair, 1024 a step, mixup 0.3", "by pair, 1024 a step (item-wise off)"
    beside: dict[str, object] = {"size": size, "seeds": len(seeds), "change": "mixup, against by pair without it"}
    rows.append(beside | {"accuracy": accuracy(worlds, mixed)} | bounds(difference(worlds, mixed, plain)))
    return rows


def table(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> None:
    """The rows, in columns."""
    cells = [list(columns)] + [[str(row.get(column, "")) for column in columns] for row in rows]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))


def jobs_of(given: argparse.Namespace) -> list[Job]:
    """All runs, those of a world together, the largest worlds first."""
    jobs: list[Job] = []
    sizes: set[int] = {*given.sizes, *([given.ablation] if given.ablation else [])}
    for size in sorted(sizes, reverse=True):
        for seed in given.seeds:
            jobs.append(Job(size, seed, "references", None, {}, None, given.folder))
            if size in given.sizes:
                jobs.append(Job(size, seed, "guide", "guide", {}, given.cap, given.folder))
            changed = ABLATION if size == given.ablation else {}
            for label, changes in {"default": {}, **changed}.items():
                jobs.append(Job(size, seed, label, "default", changes, None, given.folder))
    return jobs


def filled(seeds: Sequence[int], size: int, folder: Path) -> None:
    """Vectors of every world, before two workers would both make them."""
    for seed in seeds:
        begun = time.perf_counter()
        simulated(seed, size, folder)
        print(f"world {seed}: its {size:,} vectors are there after {time.perf_counter() - begun:.0f} s", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="`default` against the guide's recipe on simulated worlds.")
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES), help="thumbnails")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument(
        "--ablation", type=int, nargs="?", const=ABLATION_SIZE, help="its size, %(const)s where not said"
    )
    parser.add_argument("--cap", type=float, default=CAP, help="CPU seconds of a run of the guide")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "thumbrank-worlds")
    return parser.parse_args()


def written(claim: str, rows: list[dict[str, object]], *, whole: bool) -> None:
    """Results beside the script, where all of the claim was run."""
    if whole:
        report(claim, ("torch", "numpy"), rows)
    else:
        print(f"{claim}: only a part was run, so no results are written.")


def main() -> None:
    given = arguments()
    os.environ["OMP_NUM_THREADS"] = "1"  # numpy's too, in the workers
    print(
        f"The guide's recipe is capped at {given.cap:.0f} CPU seconds a run. Worlds and finished runs: {given.folder}"
    )
    filled(given.seeds, max([*given.sizes, given.ablation or 0]), given.folder)
    done = all_done(jobs_of(given))
    every_seed = tuple(given.seeds) == SEEDS
    summary: dict[str, object] = {"cap_cpu_s": given.cap}
    if given.sizes:
        rows = [row for size in given.sizes for row in compared(done, size, given.seeds)]
        table(
            rows,
            [
                "size",
                "seed",
                "default",
                "guide",
                "ridge",
                "ceiling",
                "difference",
                "low",
                "high",
                "over_ridge_low",
                "guide_epochs",
            ],
        )
        written("recipes", rows, whole=every_seed and tuple(given.sizes) == SIZES and given.cap == CAP)
        pooled = [row for row in rows if row["seed"] == "all"]
        lows = [float(str(row["low"])) for row in pooled]
        summary |= {f"low_{row['size']}": row["low"] for row in pooled}
        summary |= {"nowhere_worse": min(lows) > NOT_WORSE, "somewhere_better": max(lows) > 0}
    if given.ablation:
        changes = ablated(done, given.ablation, given.seeds)
        table(changes, ["change", "accuracy", "difference", "low", "high", "cpu_s", "accuracy_each_seed"])
        written("recipes-ablation", changes, whole=every_seed and given.ablation == ABLATION_SIZE)
        summary["changes_better"] = [row["change"] for row in changes if float(str(row.get("low", -1))) > 0]
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
