"""Drawn data sets for timing training: vectors without pictures, a known effect, and a known best possible pair accuracy.

What belongs here: the drawing, and the way of a drawn data set through a folder. Channels have Gaussian means and Gaussian
videos around them; log views are a linear and a non-linear effect of the vectors plus noise. With r the correlation of the
effect with log views within a channel, whoever knows the effect orders 1/2 + asin(r) / pi of the pairs rightly, which is CEILING
by the size of the noise. Pairs, weights and soft targets follow config/policy.yaml.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thumbrank_core.array_types import Floats
from thumbrank_core.metrics import pair_accuracy_micro
from thumbrank_core.policy import load_policy
from thumbrank_core.training.dataset import Dataset, Items, Pairs

IMAGE, TITLE = 768, 384
CHANNELS_PER_ITEM = 1_500 / 200_000
CEILING = 0.70
LINEAR_SHARE = 0.7
"""Of the effect's variance; the rest is a product of two bent projections."""
SPREAD = 0.8
"""Of log views within a channel, so that soft targets are as soft as on real data."""
DAYS = 90.0
SHARES = (0.7, 0.8)
"""Where training and validation channels end; test channels are the rest."""
N_SIGNALS = 6
MISSING_SIGNALS = 0.05
BLOCK = 64
"""Channels drawn at a time."""
VECTORS = ("image", "text")

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Drawn:
    """A data set and the true effect (n,) of its vectors on log views."""

    dataset: Dataset
    effect: Floats

    @property
    def ceiling(self) -> float:
        """Pair accuracy on test pairs of whoever knows the effect."""
        test = self.dataset.of("test")
        return pair_accuracy_micro(self.effect[test.a] - self.effect[test.b], test.outcome)


def drawn(n: int, seed: int, shares: tuple[float, float] = SHARES, cut_day: float | None = None) -> Drawn:
    """`n` thumbnails in memory, vectors as float32.

    Args:
        n: how many.
        seed: of everything drawn.
        shares: where training and validation channels end.
        cut_day: where the time holdout begins, of DAYS; None: nowhere.
    """
    image, text = np.empty((n, IMAGE), np.float32), np.empty((n, TITLE), np.float32)
    columns = _draw(n, seed, image, text, shares)
    return _dataset(columns, image, text, seed, load_policy().pairs.later_partners or 8, cut_day)


def draw_into(folder: Path, n: int, seed: int) -> None:
    """`n` thumbnails in a folder: vectors as float16 in .npy files written block by block, the rest in one .npz."""
    image, text = (
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float16, (n, width))
        for name, width in zip(VECTORS, (IMAGE, TITLE), strict=True)
    )
    columns = _draw(n, seed, image, text)
    image.flush()
    text.flush()
    np.savez(folder / "columns.npz", **columns)


def read_from(folder: Path, seed: int, later_partners: int, *, streamed: bool) -> Drawn:
    """What `draw_into` left; `streamed`: vectors stay on disk as memory maps, else float32 in memory."""
    with np.load(folder / "columns.npz") as arrays:
        columns = {name: arrays[name] for name in arrays.files}
    mapped = [np.load(folder / f"{name}.npy", mmap_mode="r") for name in VECTORS]
    image, text = mapped if streamed else [vectors.astype(np.float32) for vectors in mapped]
    return _dataset(columns, image, text, seed, later_partners)


def _draw(n: int, seed: int, image: Array, text: Array, shares: tuple[float, float] = SHARES) -> dict[str, Any]:
    """Fill `image` (n, 768) and `text` (n, 384); return the other columns of the items, ordered by channel and time."""
    rng = np.random.default_rng(seed)
    width = IMAGE + TITLE
    n_channels = max(30, round(n * CHANNELS_PER_ITEM))
    sizes = rng.uniform(0.5, 1.5, n_channels)
    bounds = np.round(np.append(0, np.cumsum(sizes / sizes.sum())) * n).astype(np.int64)
    channel = np.repeat(np.arange(n_channels, dtype=np.int32), np.diff(bounds))
    split_of = np.searchsorted(shares, (rng.permutation(n_channels) + 0.5) / n_channels).astype(np.int8)
    published = rng.uniform(0, DAYS * 86400, n)
    published = published[np.lexsort((published, channel))]

    # Orthonormal directions: one of the linear effect, two of the product, six of the signals.
    directions = np.linalg.qr(rng.standard_normal((width, 3 + N_SIGNALS)))[0].astype(np.float32)
    level = 6 + rng.standard_normal(n_channels)
    effect, signals = np.empty(n), np.empty((n, N_SIGNALS), np.float32)
    for first in range(0, n_channels, BLOCK):
        rows = slice(bounds[first], bounds[min(first + BLOCK, n_channels)])
        block = np.random.default_rng((seed, first))
        means = block.standard_normal((BLOCK, width), dtype=np.float32)
        x = means[channel[rows] - first] + block.standard_normal((rows.stop - rows.start, width), dtype=np.float32)
        image[rows], text[rows] = x[:, :IMAGE], x[:, IMAGE:]
        seen = x @ directions
        product = np.tanh(seen[:, 1]) * np.tanh(seen[:, 2])
        effect[rows] = math.sqrt(LINEAR_SHARE) * seen[:, 0] + math.sqrt(1 - LINEAR_SHARE) * product / _PRODUCT_SPREAD
        # A quarter of a signal is in the vectors, in units of a standard normal.
        own = seen[:, 3:] / math.sqrt(2)
        noise = block.standard_normal(own.shape, dtype=np.float32)
        signals[rows] = 0.5 * own + math.sqrt(0.75) * noise
        signals[rows][block.random(own.shape) < MISSING_SIGNALS] = np.nan
    within = effect - (np.bincount(channel, effect) / np.bincount(channel))[channel]
    r = math.sin(math.pi * (CEILING - 0.5))
    spread = float(within.std())
    noise = rng.standard_normal(n) * spread * math.sqrt(1 / r**2 - 1)
    scale = SPREAD * r / spread
    return {
        "channel": channel,
        "split": split_of[channel],
        "published": published,
        "value": np.exp(level[channel] + scale * (effect + noise)),
        "effect": effect,
        "signals": signals,
    }


_PRODUCT_SPREAD = 0.461
"""The standard deviation, within a channel, of the product of two tanh of standard normals around standard normal means."""


def _dataset(
    columns: dict[str, Any],
    image: Array,
    text: Array,
    seed: int,
    later_partners: int,
    cut_day: float | None = None,
) -> Drawn:
    """Pairs of each thumbnail with its next later ones; integers and reals as narrow as they may be."""
    channel, split, published, value = (columns[name] for name in ("channel", "split", "published", "value"))
    n = len(channel)
    policy = load_policy().pairs
    first, second = [], []
    for step in range(1, later_partners + 1):
        near = (channel[step:] == channel[:-step]) & (
            published[step:] - published[:-step] <= policy.window_days * 86400
        )
        earlier = np.flatnonzero(near).astype(np.int32)
        first.append(earlier)
        second.append(earlier + np.int32(step))
    x, y = np.concatenate(first), np.concatenate(second)
    swapped = np.random.default_rng((seed, n)).random(len(x)) < 0.5
    a, b = np.where(swapped, y, x), np.where(swapped, x, y)
    lead = (np.log(value[a]) - np.log(value[b])) / (2 * policy.soft_target_tau)
    outcome: Array = np.where(value[a] == value[b], 0.5, value[a] > value[b]).astype(np.float32)
    owner = channel[a]
    nothing: Array = np.zeros(len(a), np.int8)
    niche: Array = np.zeros(n, np.int8)
    weight: Array = (1 / np.bincount(owner)[owner]).astype(np.float32)
    later = (published >= (cut_day or 0.0) * 86400).astype(np.int8)
    dataset = Dataset(
        items=Items(
            video_id=[f"v{index}" for index in range(n)],
            title=[""] * n,
            picture=[b""] * n,
            image=image,
            text=text,
            channel=channel,
            niche=niche,
            split=split,
            published=published,
            value=value,
        ),
        pairs=Pairs(
            a=a,
            b=b,
            outcome=outcome,
            margin=(np.abs(value[a] - value[b]) / np.maximum(value[a], value[b])).astype(np.float32),
            soft_target=(0.5 + 0.5 * np.tanh(lead)).astype(np.float32),
            age_gap_hours=((published[a] - published[b]) / 3600).astype(np.float32),
            weight=weight,
            channel=owner,
            niche=nothing,
            split=split[a],
            period=nothing if cut_day is None else later[a] + later[b],
        ),
        channels=[f"channel {index}" for index in range(int(channel[-1]) + 1)],
        niches=["tech"],
        versions={"tech": f"drawn-seed{seed}"},
        sources=["drawn"],
        label="age_adjusted",
        left_out={},
        encoders="drawn",
        signals=columns["signals"],
    )
    return Drawn(dataset, columns["effect"])
