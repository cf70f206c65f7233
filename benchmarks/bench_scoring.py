"""Claim: scoring each video once a step and taking all pairs from the scores beats encoding both sides of every pair.

Physical limit: the forward and backward pass over the distinct items, 6 x parameters FLOPs each. With v videos a channel, pairs
repeat each item about v - 1 times, which is the factor the plain way pays.
"""

import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))
from measure import report, side_by_side

from thumbrank_core.model.losses import pair_logistic
from thumbrank_core.model.network import Batch, ThumbnailRankingModel

CHANNELS = 16


def main() -> None:
    rows: list[dict[str, object]] = []
    for videos in (10, 20, 40):
        first, second = np.triu_indices(videos, k=1)
        offset = np.repeat(np.arange(CHANNELS) * videos, len(first))
        a, b = (torch.from_numpy(np.tile(side, CHANNELS) + offset) for side in (first, second))
        image, title = torch.randn(CHANNELS * videos, 768), torch.randn(CHANNELS * videos, 384)
        outcome, weight = (torch.rand(len(a)) > 0.5).float(), torch.ones(len(a))
        model = ThumbnailRankingModel()

        def by_item() -> None:
            score = model(Batch(image, title)).score  # noqa: B023 - called before the loop goes on
            pair_logistic(score[a] - score[b], outcome, weight).backward()  # noqa: B023

        def by_pair() -> None:
            left = model(Batch(image[a], title[a])).score  # noqa: B023
            right = model(Batch(image[b], title[b])).score  # noqa: B023
            pair_logistic(left - right, outcome, weight).backward()  # noqa: B023

        rows.append(
            {"videos_per_channel": videos, "items": len(image), "pairs": len(a), **side_by_side(by_item, by_pair)}
        )
    report("scoring-by-item", ("torch",), rows)


if __name__ == "__main__":
    main()
