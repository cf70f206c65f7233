"""One loss, one pure function, its shapes and its source."""

import torch
from torch.nn import functional


def pair_logistic(difference: torch.Tensor, outcome: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Logistic loss on score differences (RankNet, Burges 2005; Bradley-Terry): -log P(observed order).

    Args:
        difference: (p,) score(a) - score(b).
        outcome: (p,) P(a beats b): 1, 0, or 0.5 for a tie.
        weight: (p,) non-negative; 1 / pairs of the channel lets each channel count once.

    Returns:
        The weighted mean, a scalar. log 2 where nothing is learnt.
    """
    losses = functional.binary_cross_entropy_with_logits(difference, outcome, reduction="none")
    return (losses * weight).sum() / weight.sum()


def engagement_logistic(logit: torch.Tensor, percentile: torch.Tensor) -> torch.Tensor:
    """Cross entropy of the engagement head against the percentile within the channel, both (n,). Not a CTR loss."""
    return functional.binary_cross_entropy_with_logits(logit, percentile)
