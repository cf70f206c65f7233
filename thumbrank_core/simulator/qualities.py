"""What makes a video be clicked in this world: the hidden qualities and the effect they have on log views.

Nothing here draws, writes or counts; `pictures` and `titles` show the qualities, `world` spends the effect.

Picture qualities are values in [-2, 2]: a channel's habit plus a larger change from video to video. The drawing shows
exactly the value that has the effect, so that whatever is in the effect can be seen in the picture.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PICTURE_QUALITIES: tuple[str, ...] = (
    "expression",
    "subject_size",
    "text_amount",
    "contrast",
    "vividness",
    "clutter",
)
TITLE_QUALITIES: tuple[str, ...] = ("curiosity", "number", "emotion", "long")

LIMIT = 2.0
"""Picture qualities lie in [-LIMIT, LIMIT]."""

CHANNEL_SHARE = 0.25
"""The share of a quality's variance that is the channel's habit; the rest changes from video to video."""

TITLE_RATES: tuple[float, ...] = (0.4, 0.4, 0.4, 0.3)
"""How often a title has each title quality, over all channels."""

PICTURE_WEIGHTS: tuple[float, ...] = (0.32, 0.26, 0.24, 0.21, 0.21, -0.20)
INTERACTION_WEIGHT = 0.27
"""Expression times subject size: a strong face helps when it is large and harms when it is lost in the picture."""

TITLE_WEIGHTS: tuple[float, ...] = (0.30, 0.24, 0.28, -0.22)


@dataclass(frozen=True)
class Qualities:
    """The hidden qualities of C channels with V videos each."""

    picture: NDArray[np.float64]
    """(C, V, 6) in [-2, 2], ordered as PICTURE_QUALITIES."""
    title: NDArray[np.bool_]
    """(C, V, 4), ordered as TITLE_QUALITIES."""


def sample_qualities(rng: np.random.Generator, channels: int, videos: int) -> Qualities:
    """Qualities for `channels` x `videos`; the first channels do not depend on how many follow."""
    kinds, words = len(PICTURE_QUALITIES), len(TITLE_QUALITIES)
    # One row of normals per channel keeps the first channels of a large world equal to those of a small one.
    normals = rng.standard_normal((channels, (kinds + words) * (videos + 1)))
    habits, changes = np.split(normals, [kinds + words], axis=1)
    changes = changes.reshape(channels, videos, kinds + words)
    mixed = np.sqrt(CHANNEL_SHARE) * habits[:, None, :] + np.sqrt(1 - CHANNEL_SHARE) * changes
    picture = np.clip(mixed[..., :kinds], -LIMIT, LIMIT)
    thresholds = np.array([_NORMAL_QUANTILES[rate] for rate in TITLE_RATES])
    return Qualities(picture=picture, title=mixed[..., kinds:] < thresholds)


_NORMAL_QUANTILES = {0.3: -0.5244005, 0.4: -0.2533471}
"""Standard normal quantiles of TITLE_RATES: two numbers instead of scipy in a process that must start fast."""


def picture_effect(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """The picture's effect on log views, (..., 6) -> (...)."""
    linear = picture @ np.array(PICTURE_WEIGHTS)
    return linear + INTERACTION_WEIGHT * picture[..., 0] * picture[..., 1]


def title_effect(title: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The title's own effect on log views, (..., 4) -> (...), zero on average."""
    return (title - np.array(TITLE_RATES)) @ np.array(TITLE_WEIGHTS)
