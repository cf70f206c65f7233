"""How well anyone could rank this world's videos, knowing the truth. Pure measures on a world."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thumbrank_core.simulator.world import World

PAIR_DAYS = 30.0


@dataclass(frozen=True)
class Pairs:
    """P same-channel pairs of a world's public videos; `winner` has more views per hour at `as_of`."""

    winner: NDArray[np.int64]
    loser: NDArray[np.int64]
    """(P,) rows in `World.videos`."""


def views_per_hour(world: World) -> NDArray[np.float64]:
    """(len(world.videos),) views per hour since publication."""
    hours = [(world.settings.as_of - video.published_at).total_seconds() / 3600 for video in world.videos]
    return np.array([video.views for video in world.videos]) / np.array(hours)


def same_channel_pairs(world: World, channels: Collection[str] | None = None, days: float = PAIR_DAYS) -> Pairs:
    """All pairs of public videos of one channel published at most `days` apart; equal views per hour are left out.

    `channels` keeps the pairs of these channel ids only.
    """
    rate = views_per_hour(world)
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
        keep = near & (rate[first] != rate[second])
        first, second = first[keep], second[keep]
        first_wins = rate[first] > rate[second]
        winners.append(np.where(first_wins, first, second))
        losers.append(np.where(first_wins, second, first))
    return Pairs(np.concatenate(winners), np.concatenate(losers))


def pair_accuracy(scores: NDArray[np.float64], pairs: Pairs) -> float:
    """The share of pairs whose winner has the higher score, a tie counted as half; scores are (len(world.videos),)."""
    margin = scores[pairs.winner] - scores[pairs.loser]
    return float(np.mean((margin > 0) + 0.5 * (margin == 0)))


def ceiling(world: World, channels: Collection[str] | None = None) -> float:
    """The pair accuracy of the true effect: what a perfect model of picture and title would reach."""
    return pair_accuracy(world.effects, same_channel_pairs(world, channels))
