"""Worlds of scores and labels alone, for asking how often an interval holds the truth: no picture, no vector, no model.

Channels are of lognormal sizes; in each, score and label are bivariate normal with a correlation of the channel's own. With
correlation r the score orders 1/2 + asin(r) / pi of pairs rightly, so the truth of a world is a mean over what channels are drawn
from. Pairs are each video's next PARTNERS later ones, as config/policy.yaml makes them.
"""

import numpy as np

from thumbrank_core.array_types import Floats

SIGMA = 0.8
MEDIAN_VIDEOS = 20.0
FEWEST, MOST = 2, 400
LOW, HIGH = 0.2, 0.6
"""Of a channel's correlation, uniform between them."""
PARTNERS = 8


def truth() -> float:
    """The pair accuracy that every world is drawn around."""
    correlation = np.linspace(LOW, HIGH, 100_001)
    return float(np.mean(0.5 + np.arcsin(correlation) / np.pi))


def drawn_sums(n_channels: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Rightly ordered pairs and all pairs of each channel of one world, (C,) each."""
    sizes = np.clip(np.round(np.exp(rng.normal(np.log(MEDIAN_VIDEOS), SIGMA, n_channels))), FEWEST, MOST).astype(int)
    owner = np.repeat(np.arange(n_channels), sizes)
    correlation = rng.uniform(LOW, HIGH, n_channels)[owner]
    score = rng.standard_normal(len(owner))
    label = correlation * score + np.sqrt(1 - correlation**2) * rng.standard_normal(len(owner))
    right, pairs = np.zeros(n_channels), np.zeros(n_channels)
    for step in range(1, PARTNERS + 1):
        same = owner[step:] == owner[:-step]
        agree = np.sign(score[step:] - score[:-step]) == np.sign(label[step:] - label[:-step])
        right += np.bincount(owner[step:][same], agree[same], n_channels)
        pairs += np.bincount(owner[step:][same], minlength=n_channels)
    return right, pairs
