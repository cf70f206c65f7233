"""Where the model is good and where it is not: the same figure on parts of a set of pairs, each with its n and its interval.

A slice is a set of pairs; all slices of a set share the channel draws of that set.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np

from thumbrank_core.array_types import Floats, Mask
from thumbrank_core.bootstrap import Interval, draw_weights, effective_channels, interval, ratio_draws
from thumbrank_core.evaluation.figures import CHAMPION, MODEL, Slice
from thumbrank_core.evaluation.references import NEWER, RIDGE
from thumbrank_core.metrics import channel_sums, pair_concordance
from thumbrank_core.training.dataset import Dataset, Pairs

LOOKED_AT = (MODEL, RIDGE, NEWER, CHAMPION)
"""Scorers whose accuracy a slice has, those that are there."""
MARGINS = (0.0, 0.1, 0.3, 0.5, 0.7, 1.0)
AGE_GAPS = (0.0, 3.0, 7.0, 14.0, 30.0)
"""Days."""
SUBSCRIBERS = (
    (0.0, "under 10 thousand"),
    (1e4, "10 to 100 thousand"),
    (1e5, "100 thousand to 1 million"),
    (1e6, "1 million and more"),
)
MINUTES = ((0.0, "under 4 minutes"), (4.0, "4 to 20 minutes"), (20.0, "over 20 minutes"))
"""As YouTube's own search names lengths: short, medium, long."""
FEW_VIDEOS = 10
"""Channels with fewer videos here count as new."""

Parts = dict[str, Mask]


def slices_of(dataset: Dataset, scores: Mapping[str, Floats], pairs: Pairs) -> list[Slice]:
    """Every slice of `pairs` that has a pair, in a fixed order.

    Args:
        dataset: what the pairs point into; without traits the slices that need them are left out.
        scores: (n,) by scorer.
        pairs: at least one.
    """
    _, channel = np.unique(pairs.channel, return_inverse=True)
    n_channels = int(channel.max()) + 1
    weights = draw_weights(n_channels)
    right = {
        scorer: pair_concordance(scores[scorer][pairs.a] - scores[scorer][pairs.b], pairs.outcome)
        for scorer in LOOKED_AT
        if scorer in scores
    }
    found: list[Slice] = []
    for by, parts in BY.items():
        for name, inside in parts(dataset, pairs).items():
            if not inside.any():
                continue
            counts = np.bincount(channel[inside], minlength=n_channels).astype(np.float64)
            sums = {
                scorer: np.bincount(channel[inside], credit[inside], n_channels).astype(np.float64)
                for scorer, credit in right.items()
            }
            effective = effective_channels(counts)
            drawn = {scorer: ratio_draws(part, counts, weights) for scorer, part in sums.items()}
            value = {scorer: float(part.sum() / counts.sum()) for scorer, part in sums.items()}
            found.append(
                Slice(
                    by,
                    name,
                    int(inside.sum()),
                    int((counts > 0).sum()),
                    {scorer: interval(value[scorer], drawn[scorer], effective) for scorer in right},
                    interval(value[MODEL] - value[CHAMPION], drawn[MODEL] - drawn[CHAMPION], effective)
                    if CHAMPION in right
                    else None,
                )
            )
    return found


def lead(scores: Mapping[str, Floats], pairs: Pairs) -> Interval:
    """Model minus champion in micro accuracy on `pairs`, at least one, paired."""
    _, channel = np.unique(pairs.channel, return_inverse=True)
    n_channels = int(channel.max()) + 1
    ours, theirs = (
        pair_concordance(scores[who][pairs.a] - scores[who][pairs.b], pairs.outcome) for who in (MODEL, CHAMPION)
    )
    sums, counts = channel_sums(ours - theirs, channel, n_channels)
    drawn = ratio_draws(sums, counts, draw_weights(n_channels))
    return interval(float(sums.sum() / counts.sum()), drawn, effective_channels(counts))


def _by_niche(dataset: Dataset, pairs: Pairs) -> Parts:
    return {niche: pairs.niche == index for index, niche in enumerate(dataset.niches)}


def _by_subscribers(dataset: Dataset, pairs: Pairs) -> Parts:
    if dataset.traits is None:
        return {}
    subscribers = dataset.traits.subscribers[pairs.channel]
    parts = {
        name: (subscribers >= low) & (subscribers < high)
        for (low, name), (high, _) in pairwise([*SUBSCRIBERS, (np.inf, "")])
    }
    return parts | {"hidden": np.isnan(subscribers)}


def _by_age_gap(dataset: Dataset, pairs: Pairs) -> Parts:
    days = np.abs(pairs.age_gap_hours) / 24
    return _binned(days, AGE_GAPS, lambda low, high: f"{low:.0f} to {high:.0f} days")


def _by_margin(dataset: Dataset, pairs: Pairs) -> Parts:
    return _binned(pairs.margin, MARGINS, lambda low, high: f"{low:.1f} to {high:.1f}")


def _by_duration(dataset: Dataset, pairs: Pairs) -> Parts:
    if dataset.traits is None:
        return {}
    minutes = dataset.traits.duration_s / 60
    kind = np.where(np.isnan(minutes), -1, np.searchsorted([low for low, _ in MINUTES], minutes, side="right") - 1)
    a, b = kind[pairs.a], kind[pairs.b]
    parts = {f"both {name}": (a == index) & (b == index) for index, (_, name) in enumerate(MINUTES)}
    return parts | {"of two lengths": (a != b) & (a >= 0) & (b >= 0), "unknown": (a < 0) | (b < 0)}


def _shown(has: Floats, what: str, pairs: Pairs) -> Parts:
    count = has[pairs.a] + has[pairs.b]
    return {
        f"{what} in both": count == 2,
        f"{what} in one": count == 1,
        f"no {what}": count == 0,
        "not measured": np.isnan(count),
    }


def _by_text(dataset: Dataset, pairs: Pairs) -> Parts:
    return {} if dataset.traits is None else _shown(dataset.traits.has_text, "text", pairs)


def _by_face(dataset: Dataset, pairs: Pairs) -> Parts:
    return {} if dataset.traits is None else _shown(dataset.traits.has_face, "face", pairs)


def _by_videos(dataset: Dataset, pairs: Pairs) -> Parts:
    videos = np.bincount(dataset.items.channel, minlength=len(dataset.channels))[pairs.channel]
    return {
        f"fewer than {FEW_VIDEOS} videos": videos < FEW_VIDEOS,
        f"{FEW_VIDEOS} videos and more": videos >= FEW_VIDEOS,
    }


BY: dict[str, Callable[[Dataset, Pairs], Parts]] = {
    "niche": _by_niche,
    "channel size": _by_subscribers,
    "age gap": _by_age_gap,
    "margin": _by_margin,
    "duration": _by_duration,
    "text": _by_text,
    "face": _by_face,
    "channel's videos": _by_videos,
}


def _binned(values: Floats, edges: tuple[float, ...], name: Callable[[float, float], str]) -> Parts:
    """Between edges, the last one included; what lies beyond is nowhere but in `beyond`."""
    last = edges[-1]
    parts = {
        name(low, high): (values >= low) & ((values < high) | ((high == last) & (values <= last)))
        for low, high in pairwise(edges)
    }
    return parts | {f"over {last:g}": values > last}
