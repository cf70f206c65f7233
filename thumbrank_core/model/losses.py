"""One loss, one pure function, its shapes and its source."""

import torch
from torch.nn import functional


def pair_logistic(difference: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Logistic loss on score differences (RankNet, Burges 2005; Bradley-Terry): -log P(order).

    Args:
        difference: (p,) score(a) - score(b).
        target: (p,) P(a beats b), hard (1, 0, or 0.5 for a tie) or soft.
        weight: (p,) non-negative, already divided by its sum over the step (of all processes).

    Returns:
        The weighted mean, a scalar. log 2 where nothing is learnt.
    """
    losses = functional.binary_cross_entropy_with_logits(difference, target, reduction="none")
    return (losses * weight).sum()


def pair_margin(difference: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, margin: float) -> torch.Tensor:
    """torch's MarginRankingLoss on the score difference: max(0, margin - difference) where a won, mirrored where b won.

    Args:
        difference: (p,) score(a) - score(b).
        target: (p,) P(a beats b); above one half a won. A tie has no winner and gives the margin itself, without a gradient.
        weight: (p,) as in `pair_logistic`.
        margin: in units of the score.

    Returns:
        The weighted mean, a scalar. The margin where every difference is 0, and where the scores have collapsed.
    """
    losses = functional.relu(margin - torch.sign(target - 0.5) * difference)
    return (losses * weight).sum()


def smoothed(target: torch.Tensor, smoothing: float) -> torch.Tensor:
    """The guide's label smoothing: `target` in [0, 1] drawn towards one half, so that 0.15 makes 0 -> 0.075 and 1 -> 0.925."""
    return target * (1 - smoothing) + 0.5 * smoothing


def squared_error(logit: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean squared error of sigmoid(logit) against a target in [0, 1] over the items that have one.

    Args:
        logit: (n,) or (n, k).
        target: of the same shape, or (n, 1); NaN where there is none.
    """
    return _mean_of_known((torch.sigmoid(logit) - target.nan_to_num()).square(), target)


def logistic(logit: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean cross entropy of a logit against a target in [0, 1] over the items that have one; shapes as in `squared_error`."""
    wanted = target.nan_to_num().expand_as(logit)
    return _mean_of_known(functional.binary_cross_entropy_with_logits(logit, wanted, reduction="none"), target)


def _mean_of_known(losses: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    known = (~target.isnan()).expand_as(losses)
    return (losses * known).sum() / known.sum().clamp_min(1)
