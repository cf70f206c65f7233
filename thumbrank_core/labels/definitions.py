"""Labels: what a video's success is. Each is one pure function; policy.yaml says which one is used (`labels.label`).

Every label is positive, comparable as a ratio inside a channel, and higher is better. None of them is a click-through
rate: that only a channel's owner can see (youtube/reach.py, imports/studio.py), and it never enters here.
"""

import numpy as np
import numpy.typing as npt

from thumbrank_core.array_types import Floats
from thumbrank_core.labels.growth import GrowthCurve
from thumbrank_core.policy import LabelName

SHOWN: dict[LabelName, str] = {
    "views_per_hour": "views an hour",
    "age_adjusted": "times its channel's usual views at that age",
    "window_views": "views gained in the window",
}
"""What a label's value is in words, after the figure."""

SHRINK_VIDEOS = 5.0
"""A channel's median counts as much as its videos do against so many videos of the niche's usual."""

EDGE_FACTOR = 1.5
"""window_views: both snapshots around an edge of the window lie within this factor of it in age."""

YOUNGEST_DAYS = 1 / 24


def views_per_hour(views: npt.NDArray[np.int64], age_days: Floats) -> Floats:
    """The guide's label: views / hours since publication, at the newest snapshot; (n,).

    Largely a clock: views come early, so that of two equal videos the newer one has the higher figure.
    """
    return views / (24 * np.maximum(age_days, YOUNGEST_DAYS))


def age_adjusted(
    views: npt.NDArray[np.int64], age_days: Floats, channel: npt.NDArray[np.int32], curve: GrowthCurve
) -> Floats:
    """How many times as many views as is usual for its channel at its age; (n,), the videos of a channel side by side.

    exp(r) with r = ln(1 + views) - g(age) - m: g is the niche's growth curve, fitted on training channels only; m is the
    median over the channel's videos of ln(1 + views) - g, drawn towards the niche's level as if SHRINK_VIDEOS videos had
    shown it. Inside a channel m is the same for all, so it moves no pair.
    """
    rest = np.log1p(views) - curve.at(age_days)
    starts = np.flatnonzero(np.diff(channel, prepend=channel[0] - 1)) if len(channel) else np.empty(0, dtype=np.int64)
    sizes = np.diff(np.append(starts, len(channel)))
    order = np.lexsort((rest, np.repeat(np.arange(len(sizes)), sizes)))
    ranked = rest[order]
    median = (ranked[starts + (sizes - 1) // 2] + ranked[starts + sizes // 2]) / 2 if len(sizes) else np.empty(0)
    usual = curve.level + (median - curve.level) * sizes / (sizes + SHRINK_VIDEOS)
    return np.exp(np.clip(rest - np.repeat(usual, sizes), -50, 50))


def window_views(
    video: npt.NDArray[np.int32], age_days: Floats, views: npt.NDArray[np.int64], window: tuple[float, float]
) -> Floats:
    """Views gained between two ages, as many days after publication for every video; one value a video.

    The count at an edge is read from the snapshots on both sides, straight in ln(age) and ln(1 + views), if both lie
    within EDGE_FACTOR of it; at age 0 it is 0. NaN where the snapshots do not allow it. A count that was audited down
    between the edges gives 0, never less.

    Args:
        video: (s,) which video a snapshot is of; the snapshots of a video side by side, in the order of age.
        age_days: (s,) age at the snapshot.
        views: (s,) views at the snapshot.
        window: from and to, days.

    Returns:
        One value for each video, in the order in which they first come.
    """
    first, last = window
    gained = _at_age(video, age_days, views, last) - (_at_age(video, age_days, views, first) if first > 0 else 0.0)
    return np.maximum(gained, 0.0)


def _at_age(video: npt.NDArray[np.int32], age_days: Floats, views: npt.NDArray[np.int64], edge: float) -> Floats:
    """(v,) views at one age, or NaN."""
    starts = np.flatnonzero(np.diff(video, prepend=video[0] - 1)) if len(video) else np.empty(0, dtype=np.int64)
    ends = np.append(starts[1:], len(video))
    younger = (
        np.add.reduceat((age_days < edge).astype(np.int64), starts) if len(starts) else np.empty(0, dtype=np.int64)
    )
    after = starts + younger
    exact = (after < ends) & (age_days[np.minimum(after, len(video) - 1)] == edge) if len(video) else younger > 0
    before = np.where(exact, after, after - 1)
    known = (after < ends) & (before >= starts)
    before, after = np.where(known, before, 0), np.where(known, after, 0)
    if not len(video):
        return np.empty(0)
    known &= (age_days[after] <= edge * EDGE_FACTOR) & (age_days[before] >= edge / EDGE_FACTOR)
    low, high = np.log(np.maximum(age_days[before], YOUNGEST_DAYS)), np.log(np.maximum(age_days[after], YOUNGEST_DAYS))
    share = np.where(high > low, (np.log(edge) - low) / np.where(high > low, high - low, 1.0), 0.0)
    count = np.expm1(np.log1p(views[before]) + share * (np.log1p(views[after]) - np.log1p(views[before])))
    return np.where(known, count, np.nan)
