"""What a world hands to the evaluation other than over HTTP: why its videos are watched and how their views grow."""

import numpy as np

from thumbrank_core.evaluation.truth import TrueGrowth, Truth
from thumbrank_core.simulator.growth import growth_of
from thumbrank_core.simulator.world import World

GROWTH_DAYS = np.geomspace(0.5, 400.0, 60)
"""The ages at which the true growth is told."""


def truth_of(world: World) -> Truth:
    """The effect of every video and the curve of every niche that the world has."""
    return Truth(
        effects=dict(zip([video.id for video in world.videos], world.effects.tolist(), strict=True)),
        growth={
            niche: TrueGrowth(
                days=GROWTH_DAYS.tolist(), log_growth=np.log(growth_of(niche).share(GROWTH_DAYS)).tolist()
            )
            for niche in world.settings.niches
        },
    )
