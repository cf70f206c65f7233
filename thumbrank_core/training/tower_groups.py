"""Parameter groups: what decays, and the learning rates of CLIP's blocks, smaller the deeper they lie."""

from collections.abc import Iterable

from torch import nn

from thumbrank_core.model.tower import Tail
from thumbrank_core.training.recipe import Recipe


def decayed_groups(parameters: Iterable[nn.Parameter], rate: float, weight_decay: float) -> list[dict[str, object]]:
    """Decay matrices only: decaying a bias or a norm's gain shrinks outputs, not complexity."""
    known = list(parameters)
    kinds = ((True, weight_decay), (False, 0.0))
    groups = [([p for p in known if (p.ndim >= 2) is matrix], decay) for matrix, decay in kinds]
    return [{"params": params, "lr": rate, "weight_decay": decay} for params, decay in groups if params]


def tower_groups(tower: nn.Module, recipe: Recipe) -> list[dict[str, object]]:
    """Groups for AdamW of the trained part of CLIP: the projection and the last norm at the tower's rate, each block below at
    `layer_decay` times the one above it, the embeddings, where they are trained, last (as in BEiT, Bao et al. 2021)."""
    assert isinstance(tower, Tail), "no other tower is trained"
    return [
        group
        for depth, layer in enumerate(tower.layers())
        for group in decayed_groups(layer, recipe.tower_learning_rate * recipe.layer_decay**depth, recipe.weight_decay)
    ]
