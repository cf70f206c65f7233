"""How well anyone could rank this world's videos, knowing the truth. Pure measures on a world."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from thumbrank_core.simulator.growth import shares
from thumbrank_core.simulator.world import World

PAIR_DAYS = 30.0

Label = Literal["views_per_hour", "age_adjusted"]
"""What makes a video the winner of a pair, by the names of config/policy.yaml."""


@dataclass(frozen=True)
class Pairs:
    """P same-channel pairs of a world's public videos; `winner` has the higher label at `as_of`."""

    winner: NDArray[np.int64]
    loser: NDArray[np.int64]
    """(P,) rows in `World.videos`."""


def ages_in_days(world: World) -> NDArray[np.float64]:
    """(len(world.videos),) days from publication to `as_of`."""
    as_of = world.settings.as_of
    return np.array([(as_of - video.published_at).total_seconds() for video in world.videos]) / 86400


def views_per_hour(world: World) -> NDArray[np.float64]:
    """(len(world.videos),) views per hour since publication."""
    return np.array([video.views for video in world.videos]) / (24 * ages_in_days(world))


def adjusted_views(world: World) -> NDArray[np.float64]:
    """(len(world.videos),) log views less the niche's true log growth: the log of the views that a video will have in the end.

    What correcting for age would give if the curve were known. No view at all counts as one.
    """
    views = np.array([max(1, video.views) for video in world.videos])
    return np.log(views) - np.log(shares([video.channel.niche for video in world.videos], ages_in_days(world)))


_LABELS: dict[Label, Callable[[World], NDArray[np.float64]]] = {
    "views_per_hour": views_per_hour,
    "age_adjusted": adjusted_views,
}


def same_channel_pairs(
    world: World,
    channels: Collection[str] | None = None,
    days: float = PAIR_DAYS,
    *,
    label: Label = "views_per_hour",
) -> Pairs:
    """All pairs of public videos of one channel published at most `days` apart; equal labels are left out.

    `channels` keeps the pairs of these channel ids only.
    """
    value = _LABELS[label](world)
    published = np.array([video.published_at.timestamp() for video in world.videos])
    rows_of: dict[str, list[int]] = {}
    for row, video in enumerate(world.videos):
        if video.state == "public" and (channels is None or video.channel.id in channels):
            rows_of.setdefault(video.channel.id, []).append(row)
    winners: list[NDArray[np.int64]] = [np.empty(0, dtype=np.int64)]
    losers: list[NDArray[np.int64]] = [np.empty(0, dtype=np.int64)]
    for listed in rows_of.values():
        rows = np.array(listed)
        first, second = (rows[side] for side in np.triu_indices(len(rows), k=1))
        near = np.abs(published[first] - published[second]) <= days * 86400
        keep = near & (value[first] != value[second])
        first, second = first[keep], second[keep]
        first_wins = value[first] > value[second]
        winners.append(np.where(first_wins, first, second))
        losers.append(np.where(first_wins, second, first))
    return Pairs(np.concatenate(winners), np.concatenate(losers))


def pair_accuracy(scores: NDArray[np.float64], pairs: Pairs) -> float:
    """The share of pairs whose winner has the higher score, a tie counted as half; scores are (len(world.videos),)."""
    margin = scores[pairs.winner] - scores[pairs.loser]
    return float(np.mean((margin > 0) + 0.5 * (margin == 0)))


def ceiling(world: World, channels: Collection[str] | None = None, *, label: Label = "views_per_hour") -> float:
    """The pair accuracy of the true effect: what a perfect model of picture and title would reach."""
    return pair_accuracy(world.effects, same_channel_pairs(world, channels, label=label))
