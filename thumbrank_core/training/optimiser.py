"""AdamW and its learning rate over the steps."""

import math

import torch

from thumbrank_core.model.network import ThumbnailRankingModel
from thumbrank_core.training.recipe import Recipe
from thumbrank_core.training.tower_groups import decayed_groups, tower_groups


def new_optimiser(model: ThumbnailRankingModel, recipe: Recipe) -> torch.optim.AdamW:
    """Fused AdamW over what is trained: the heads at the recipe's rate, CLIP's blocks at theirs."""
    tower = {id(parameter) for parameter in model.tower.parameters()} if model.tower is not None else set[int]()
    heads = [p for p in model.parameters() if p.requires_grad and id(p) not in tower]
    groups = decayed_groups(heads, recipe.learning_rate, recipe.weight_decay)
    if model.tower is not None:
        groups += tower_groups(model.tower, recipe)
    return torch.optim.AdamW(groups, fused=True)


def new_schedule(optimiser: torch.optim.Optimizer, recipe: Recipe, steps: int) -> torch.optim.lr_scheduler.LambdaLR:
    """Linear warm-up, then constant, or a cosine to zero over `steps`; a factor of every group's rate."""
    warmup = round(steps * recipe.warmup_fraction)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        if recipe.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))

    return torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
