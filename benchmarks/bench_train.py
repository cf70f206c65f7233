"""Claim: the guide's training in minutes, the same loss curve faster, and a better recipe faster still.

On drawn vectors of 200,000 thumbnails (train_worlds.py): (a) the guide's loop written plainly (plain_guide.py), until EVALUATIONS
evaluations without gain or MINUTES; (b) recipe `guide` of ours beside it, in turns, at the same batch of 16 pairs; (c) recipe
`default` to its end, with the share of the machine's own matrix product, in the same precision, that its steps reach; and one epoch of
`default` at 20 thousand, 200 thousand and 2 million thumbnails, the last from a memory map under a limit of 2 GiB.
Times of (a) are without its evaluations and its preparation; those of (c) are with both.

    make bench NAME=train
    python benchmarks/bench_train.py --parts a b        # figures are kept; the last part writes the results
    python benchmarks/bench_train.py --quick            # minutes become seconds; the figures mean nothing
"""

import argparse
import hashlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import numpy as np
import torch
from bench_recipes import SHAPES_SCORES
from measure import EpochClock, report, train
from plain_guide import BATCH_SIZE, PlainGuide, Vectors, better_workers
from torch import nn
from train_worlds import IMAGE, TITLE, Drawn, draw_into, drawn, read_from

import thumbrank_core
from thumbrank_core.features.encoders import best_device
from thumbrank_core.model.network import ThumbnailRankingModel
from thumbrank_core.progress import console_sink, listen
from thumbrank_core.training.dataset import SPLITS, Dataset
from thumbrank_core.training.pipeline import TrainingPipeline, new_model
from thumbrank_core.training.recipe import Recipe, load_recipe
from thumbrank_core.training.stopping import StopRequest

SEED = 0
EVALUATIONS = 3
LIMIT = 2 * 2**30
"""Bytes of data, for the largest size."""
LARGE_PARTNERS = 2
"""Later partners of a thumbnail in the growth runs."""
SEEDS = (0, 1, 2)
NOISE = 2.5
"""How many standard deviations of one seed the means of three may lie apart somewhere in six windows: 1 in 100 is further."""
PARTS = ("a", "b", "c", "growth")
ON_GPU = torch.cuda.is_available()

Row = dict[str, Any]


@dataclass(frozen=True)
class Scale:
    """How large and how long. `limit_s`: of the plain loop. `round_s`: of one side of a round. `window`: steps of a point of
    the loss curves. `probe_steps`: for the loader's workers. `epochs`: of `default`, its own where None."""

    thumbnails: int = 200_000
    limit_s: float = 15 * 60
    evaluate_every: int = 5_000
    rounds: int = 3
    round_s: float = 20
    window: int = 500
    windows: int = 6
    growth: tuple[int, ...] = (20_000, 200_000, 2_000_000)
    epochs: int | None = None
    matmul_s: float = 5
    probe_steps: int = 300


QUICK = Scale(6_000, 6, 100, 3, 1.5, 40, 3, (4_000, 12_000, 36_000), 3, 0.3, 40)


def log(text: str) -> None:
    """One line of progress."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def synchronised() -> float:
    """Now, when the device has done what it was told."""
    if ON_GPU:
        torch.cuda.synchronize()
    return time.perf_counter()


# (a) the guide's loop


def part_a(world: Drawn, scale: Scale) -> Row:
    """The plain loop until nothing is gained or time is up; its seconds are without evaluations."""
    vectors = Vectors.of(world.dataset)
    workers, rates = better_workers(world.dataset, vectors, scale.probe_steps)
    said = ", ".join(f"{count} workers {rate:,.0f} pairs/s" for count, rate in rates.items())
    log(f"(a) the loader: {said}; {workers} it is")
    loop = PlainGuide(world.dataset, vectors, SEED, workers)
    seconds, steps, best, best_at, without = 0.0, 0, -1.0, 0.0, 0
    accuracies: list[tuple[float, float]] = []
    while without < EVALUATIONS and seconds < scale.limit_s:
        ran = loop.run(steps=scale.evaluate_every, seconds=scale.limit_s - seconds)
        seconds, steps = seconds + ran.seconds, steps + ran.steps
        accuracy = loop.validation_accuracy()
        accuracies.append((round(seconds, 1), round(accuracy, 4)))
        without = 0 if accuracy > best else without + 1
        if accuracy > best:
            best, best_at = accuracy, seconds
        loss = statistics.mean(ran.pair_losses)
        log(f"(a) {steps:,} steps, {seconds:.0f} s: pair loss {loss:.4f}, validation accuracy {accuracy:.4f}")
    ended = f"{EVALUATIONS} evaluations without gain" if without >= EVALUATIONS else f"{scale.limit_s:.0f} s were over"
    log(f"(a) ended: {ended}")
    return {
        "workers": workers,
        "probe_pairs_per_s": {str(count): round(rate) for count, rate in rates.items()},
        "ended": ended,
        "steps": steps,
        "seconds": round(seconds, 1),
        "pairs_per_s_whole_run": round(steps * BATCH_SIZE / seconds, 1),
        "best_accuracy": best,
        "s_to_best": round(best_at, 1),
        "accuracy_by_s": accuracies,
    }


# (b) recipe `guide`, beside it


class Until(StopRequest):
    """Asks training to stop once a condition holds: how a benchmark takes a piece of the real loop."""

    def __init__(self, reached: Callable[[], bool]) -> None:
        super().__init__()
        self._reached = reached

    @property
    def asked(self) -> bool:
        """Whether it holds."""
        return self._reached()


class OurGuide:
    """Recipe `guide` of ours, to be run in pieces: the loop of TrainingPipeline, stopped and gone on with."""

    def __init__(self, dataset: Dataset, seed: int) -> None:
        recipe = load_recipe("guide", {"seed": seed})
        # What train() runs, by hand: train() does not stop after so many steps and go on without a checkpoint.
        self._run = TrainingPipeline(new_model(dataset, recipe), recipe=recipe, data=dataset).begun()

    def piece(self, reached: Callable[[int], bool]) -> tuple[int, float, float]:
        """Train until `reached(steps)`: (steps, seconds, mean pair loss). An epoch's end is not timed."""
        run, steps, seconds, total = self._run, 0, 0.0, 0.0
        while not reached(steps):
            first, before = run.step, steps
            request = Until(lambda first=first, before=before: reached(before + run.step - first))
            begun = synchronised()
            ended = run.work_through_epoch(request, lambda _: None)
            seconds += synchronised() - begun
            steps = before + run.step - first
            total += float(run.sums[0])
            run.sums.zero_()
            if ended:
                run.close_epoch()
        return steps, seconds, total / steps

    def for_seconds(self, seconds: float) -> float:
        """Pairs a second over so many seconds."""
        end = time.perf_counter() + seconds
        steps, took, _ = self.piece(lambda _: time.perf_counter() >= end)
        return steps * BATCH_SIZE / took

    def windows(self, count: int, size: int) -> list[float]:
        """Mean pair loss of each of `count` windows of `size` steps."""
        return [self.piece(lambda steps: steps >= size)[2] for _ in range(count)]


def part_b(world: Drawn, scale: Scale) -> Row:
    """Pairs a second of both in turns, and both loss curves."""
    vectors = Vectors.of(world.dataset)
    workers, _ = better_workers(world.dataset, vectors, scale.probe_steps)
    plain, ours = PlainGuide(world.dataset, vectors, SEED, workers), OurGuide(world.dataset, SEED)
    plain.run(seconds=scale.round_s / 10)
    ours.for_seconds(scale.round_s / 10)
    rounds: list[tuple[float, float]] = []
    for number in range(scale.rounds):
        rounds.append((plain.run(seconds=scale.round_s).pairs_per_s, ours.for_seconds(scale.round_s)))
        log(f"(b) round {number + 1}: plain {rounds[-1][0]:,.0f} pairs/s, ours {rounds[-1][1]:,.0f}")
    curves: dict[str, list[list[float]]] = {"plain": [], "ours": []}
    for seed in SEEDS:
        ran = PlainGuide(world.dataset, vectors, seed, workers).run(steps=scale.window * scale.windows)
        losses = np.array(ran.pair_losses).reshape(scale.windows, scale.window)
        curves["plain"].append(losses.mean(axis=1).tolist())
        curves["ours"].append(OurGuide(world.dataset, seed).windows(scale.windows, scale.window))
        log(f"(b) loss curves of seed {seed} are there")
    both = {name: np.array(curve) for name, curve in curves.items()}
    variances = [curve.var(axis=0, ddof=1) for curve in both.values()]
    noise = float(np.sqrt(np.mean(variances)))
    apart = np.abs(both["plain"].mean(axis=0) - both["ours"].mean(axis=0))
    log(f"(b) pair loss over windows of {scale.window} steps, mean of {len(SEEDS)} seeds:")
    for name, curve in both.items():
        log(f"    {name:>5}: {' '.join(f'{value:.5f}' for value in curve.mean(axis=0))}")
    log(f"    largest difference {apart.max():.5f}, one seed's standard deviation {noise:.5f}")
    return {
        "workers": workers,
        "plain_pairs_per_s": round(statistics.median(rate for rate, _ in rounds), 1),
        "guide_pairs_per_s": round(statistics.median(rate for _, rate in rounds), 1),
        "guide_over_plain": round(statistics.median(ours / plain for plain, ours in rounds), 2),
        "guide_over_plain_each_round": [round(ours / plain, 2) for plain, ours in rounds],
        "window_steps": scale.window,
        "plain_pair_losses": [[round(value, 5) for value in curve] for curve in curves["plain"]],
        "guide_pair_losses": [[round(value, 5) for value in curve] for curve in curves["ours"]],
        "largest_difference": round(float(apart.max()), 5),
        "seeds_sd": round(noise, 5),
        "largest_difference_in_sd": round(float(apart.max()) / noise, 2),
        "same_curve": bool(apart.max() <= NOISE * noise),
    }


# (c) recipe `default`, to its end


def flops_an_item(model: ThumbnailRankingModel) -> float:
    """Of the linear layers that a step of `default` goes through: 2 a weight forward, 2 for its gradient, 2 for its input's,
    which the first layer has no use for. Not counted: norms, dropout, the losses, the optimiser, sub-score heads."""
    linear = [
        layer
        for part in (model.trunk, model.ranking, model.engagement)
        for layer in part.modules()
        if isinstance(layer, nn.Linear)
    ]
    return sum((4 if layer is linear[0] else 6) * layer.weight.numel() for layer in linear)


def matmul_flops_per_s(batch: int, dtype: torch.dtype, seconds: float) -> Row:
    """What bare products of `dtype` reach with the same threads, in operations a second: a square one, and the first layer's."""
    found: Row = {}
    for name, (rows, inner, columns) in {
        "square": (2048, 2048, 2048),
        "first_layer": (batch, IMAGE + TITLE, 512),
    }.items():
        left, right = (
            torch.randn(shape, device=best_device(), dtype=dtype) for shape in ((rows, inner), (inner, columns))
        )
        out = left @ right
        best, end = 0.0, time.perf_counter() + seconds
        while time.perf_counter() < end:
            begun = synchronised()
            for _ in range(5):
                torch.mm(left, right, out=out)
            best = max(best, 5 * 2 * rows * inner * columns / (synchronised() - begun))
        found[name] = best
    return found


def part_c(world: Drawn, scale: Scale, plain_best: float | None) -> Row:
    """The whole of `default`; how fast, how near the machine's limit, and when it is as good as the plain loop's best."""
    recipe = load_recipe("default", {} if scale.epochs is None else {"epochs": scale.epochs})
    begun = time.perf_counter()
    clock = EpochClock(time.perf_counter)
    trained = train(world.dataset, recipe, [clock])
    whole = time.perf_counter() - begun
    batch = round(mean_items_a_step(world.dataset, recipe))
    own = "bfloat16" if any("bfloat16 products" in note for note in trained.notes) else "float32"
    rates = {own: clock.items / clock.step_seconds}
    if own != "float32":
        short = recipe.with_overrides({"epochs": 2, "sub_score_epochs": 1, "precision": "float32"})
        singles = EpochClock(time.perf_counter)
        train(world.dataset, short, [singles])
        rates["float32"] = singles.items / singles.step_seconds
    limits = {kind: matmul_flops_per_s(batch, getattr(torch, kind), scale.matmul_s) for kind in rates}
    rate = rates[own]
    reached = next(
        (
            end
            for end, record in zip(clock.ends, clock.records, strict=True)
            if plain_best is not None and record.validation_accuracy >= plain_best
        ),
        None,
    )
    flops = flops_an_item(trained.model)
    best = max(record.validation_accuracy for record in clock.records)
    log(f"(c) {len(clock.records)} epochs in {whole:.0f} s, {rate:,.0f} items/s, best validation accuracy {best:.4f}")
    return {
        "seconds": round(whole, 1),
        "step_seconds": round(clock.step_seconds, 1),
        "epochs": len(clock.records),
        "items_per_s": round(rate, 1),
        "items_a_step": batch,
        "best_accuracy": best,
        "ceiling": round(world.ceiling, 4),
        "plain_best": plain_best,
        "s_to_plain_best": None if reached is None else round(reached, 2),
        "accuracy_by_s": [
            (round(end, 1), round(record.validation_accuracy, 4))
            for end, record in zip(clock.ends, clock.records, strict=True)
        ],
        "shipped": trained.shipped,
        "notes": list(trained.notes),
        "mflop_an_item": round(flops / 1e6, 3),
        "matmul_gflop_per_s": {
            kind: {name: round(limit / 1e9, 1) for name, limit in found.items()} for kind, found in limits.items()
        },
        "precision": own,
        "items_per_s_by_precision": {kind: round(rate) for kind, rate in rates.items()},
        # Of products in the precision that the steps compute in; and what float32 steps reach of float32 products.
        "matmul_fraction": round(flops * rate / max(limits[own].values()), 3),
        "matmul_fraction_float32": round(flops * rates["float32"] / max(limits["float32"].values()), 3),
    }


def mean_items_a_step(dataset: Dataset, recipe: Recipe) -> float:
    """Items of `batch_size` training channels."""
    training = dataset.items.channel[dataset.items.split == SPLITS.index("train")]
    return recipe.batch_size * len(training) / len(np.unique(training))


# Growth


def part_growth(scale: Scale) -> Row:
    """One epoch of `default` at each size, in a process of its own; the largest from disk under LIMIT."""
    runs: list[Row] = []
    for size in scale.growth:
        with tempfile.TemporaryDirectory(prefix="thumbrank-growth-") as folder:
            begun = time.perf_counter()
            draw_into(Path(folder), size, SEED)
            log(f"growth: {size:,} thumbnails drawn in {time.perf_counter() - begun:.0f} s")
            largest = size == max(scale.growth)
            # The second largest both ways: what streaming itself costs.
            ways = (True,) if largest else (False, True) if size == sorted(scale.growth)[-2] else (False,)
            for streamed in ways:
                runs.append(_in_a_child(folder, streamed=streamed, limited=largest))
                log(f"growth: {runs[-1]}")
    return {"runs": runs}


def _in_a_child(folder: str, *, streamed: bool, limited: bool) -> Row:
    options = ["--child", folder, *(["--streamed"] if streamed else []), *(["--limited"] if limited else [])]
    # Each thread of numpy's own BLAS, which has no part in training, reserves 64 MB that it never touches and RLIMIT_DATA counts.
    quiet = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, __file__, *options], stdout=subprocess.PIPE, text=True, check=False, env=quiet
    )
    if done.returncode != 0:
        sys.exit(f"growth: the run {options} failed with {done.returncode}; what it said stands above.")
    return json.loads(done.stdout.splitlines()[-1])


class Watched:
    """The largest anonymous memory of this process, looked at every 20 ms: pages of mapped files are the system's."""

    def __init__(self) -> None:
        self.peak = 0
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while True:
            self.peak = max(self.peak, status_bytes("RssAnon"))
            time.sleep(0.02)


def status_bytes(name: str) -> int:
    """A line of /proc/self/status, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024


def child(folder: Path, *, streamed: bool, limited: bool) -> None:
    """One epoch of `default`, its last line the figures as JSON."""
    if limited:
        # Counts private writable memory, touched or not; mapped files are not counted, nor would RLIMIT_AS spare them.
        resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))
    watched = Watched()
    world = read_from(folder, SEED, LARGE_PARTNERS, streamed=streamed)
    recipe = load_recipe("default", {"epochs": 1, "sub_score_epochs": 1})
    ready = time.perf_counter()
    clock = EpochClock(time.perf_counter)
    with listen(console_sink()):
        train(world.dataset, recipe, [clock])
    whole = time.perf_counter() - ready
    millions = len(world.dataset.items) / 1e6
    row = {
        "thumbnails": len(world.dataset.items),
        "pairs": len(world.dataset.pairs),
        "features": "streamed from float16 memory maps" if streamed else "resident",
        "limit": "RLIMIT_DATA 2 GiB" if limited else "none",
        "step_s_per_million": round(clock.step_seconds / millions, 1),
        "whole_s_per_million": round(whole / millions, 1),
        "whole_s": round(whole, 1),
        "peak_anonymous_mb": round(watched.peak / 2**20),
        "peak_rss_with_mapped_files_mb": round(status_bytes("VmHWM") / 2**20),
    }
    assert not limited or watched.peak <= LIMIT, "RLIMIT_DATA holds what is anonymous"
    print(json.dumps(row))


# Parts that run at different times


PLAIN_CODE = ("plain_guide.py", "train_worlds.py")


def code_of(part: str) -> str:
    """A digest of the code that a part's figures are of."""
    here = Path(__file__).parent
    files = [here / name for name in PLAIN_CODE]
    if part != "a":
        core = Path(str(thumbrank_core.__file__)).parent
        files += [core / name for name in (*SHAPES_SCORES, "training/sub_scores.py")]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


class State:
    """Figures of parts, kept in a file; those of other code, scale or machine are not looked at."""

    def __init__(self, scale: Scale) -> None:
        self._path = Path(tempfile.gettempdir()) / "thumbrank-bench-train.json"
        about = [asdict(scale), torch.__version__, torch.get_num_threads(), os.cpu_count(), ON_GPU]
        # Taken now: code that somebody changes while this runs is not what ran.
        self._keys = {part: hashlib.sha256(json.dumps([code_of(part), *about]).encode()).hexdigest() for part in PARTS}

    def kept(self) -> dict[str, Row]:
        """The parts that hold for this code, scale and machine."""
        if not self._path.is_file():
            return {}
        every: dict[str, Row] = json.loads(self._path.read_text(encoding="utf-8"))
        return {part: found["row"] for part, found in every.items() if found["key"] == self._keys[part]}

    def keep(self, part: str, row: Row) -> None:
        """Keep a part's figures."""
        every = json.loads(self._path.read_text(encoding="utf-8")) if self._path.is_file() else {}
        every[part] = {"key": self._keys[part], "row": row}
        self._path.write_text(json.dumps(every, indent=1), encoding="utf-8")


def summary_of(found: dict[str, Row]) -> Row:
    """The last line: what of it has been run."""
    a, b, c, growth = (found.get(part, {}) for part in PARTS)
    plain, guide = b.get("plain_pairs_per_s"), b.get("guide_pairs_per_s")
    to_best, ours = a.get("s_to_best"), c.get("s_to_plain_best")
    plain_items = None if plain is None else 2 * plain
    runs = growth.get("runs", [])

    def over(above: float | None, below: float | None) -> float | None:
        return None if above is None or not below else round(above / below, 2)

    return {
        "device": torch.cuda.get_device_name() if ON_GPU else "cpu",
        "threads": torch.get_num_threads(),
        "plain_pairs_per_s": plain,
        "guide_pairs_per_s": guide,
        "guide_over_plain": b.get("guide_over_plain"),
        "largest_loss_difference_in_sd": b.get("largest_difference_in_sd"),
        "same_loss_curve": b.get("same_curve"),
        "plain_items_per_s": plain_items,
        "default_items_per_s": c.get("items_per_s"),
        "default_over_plain": over(c.get("items_per_s"), plain_items),
        "default_s": c.get("seconds"),
        "plain_ended": a.get("ended"),
        "plain_best_accuracy": a.get("best_accuracy"),
        "default_best_accuracy": c.get("best_accuracy"),
        "ceiling": c.get("ceiling"),
        "plain_s_to_best": to_best,
        "default_s_to_plain_best": ours,
        "plain_s_to_best_over_default": over(to_best, ours),
        "precision": c.get("precision"),
        "matmul_fraction": c.get("matmul_fraction"),
        "matmul_fraction_float32": c.get("matmul_fraction_float32"),
        "step_s_per_million": [run["step_s_per_million"] for run in runs],
        "peak_anonymous_mb": [run["peak_anonymous_mb"] for run in runs],
    }


def measured(parts: Sequence[str], scale: Scale, state: State) -> None:
    """Run the parts, in the order a, b, c, growth, and keep each one's figures."""
    if {"a", "b", "c"} & set(parts):
        begun = time.perf_counter()
        world = drawn(scale.thumbnails, SEED)
        pairs, channels = world.dataset.counts("train")
        log(
            f"{scale.thumbnails:,} thumbnails drawn in {time.perf_counter() - begun:.0f} s: {pairs:,} training pairs of"
        )
        log(f"{channels:,} channels; the ceiling of test pairs is {world.ceiling:.4f}")
        for part in (part for part in PARTS if part in parts and part != "growth"):
            if part == "a":
                state.keep("a", part_a(world, scale))
            elif part == "b":
                state.keep("b", part_b(world, scale))
            else:
                plain = state.kept().get("a")
                state.keep("c", part_c(world, scale, None if plain is None else float(plain["best_accuracy"])))
    if "growth" in parts:
        state.keep("growth", part_growth(scale))


def main() -> None:
    parser = argparse.ArgumentParser(description="Training, against the guide's loop written plainly.")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--quick", action="store_true", help="minutes become seconds, and no results are written")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--streamed", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--limited", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child is not None:
        child(given.child, streamed=given.streamed, limited=given.limited)
        return
    scale = QUICK if given.quick else Scale()
    state = State(scale)
    with listen(console_sink()):
        measured(given.parts, scale, state)
    found = state.kept()
    summary = summary_of(found)
    missing = [part for part in PARTS if part not in found]
    if given.quick:
        print("quick: no results are written")
    elif missing:
        print(f"results are written once these parts have run too: {', '.join(missing)}")
    else:
        runs = [{"part": "growth", **run} for run in found["growth"]["runs"]]
        rows: list[dict[str, object]] = [{"part": part, **found[part]} for part in ("a", "b", "c")]
        report("train", ("torch", "numpy"), [*rows, *runs, summary])
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
