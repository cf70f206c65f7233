"""What a step's losses are: the recipe's choice of losses, put together over one forward of the step's items."""

from dataclasses import dataclass

import torch

from thumbrank_core.model import losses
from thumbrank_core.model.network import Batch, Input, Outputs, Pictures, Standardised
from thumbrank_core.training.batches import TrainingStep
from thumbrank_core.training.recipe import Recipe

NAMES = ("pair_loss", "engagement_loss", "sub_score_loss")


@dataclass(frozen=True)
class Objective:
    """The losses of a recipe. `target` (n,): what the absolute head learns of every item, in [0, 1]."""

    recipe: Recipe
    target: torch.Tensor

    def inputs(self, batch: Input, step: TrainingStep) -> Input:
        """The step's features, with the guide's mixup: side a of each pair becomes mix * a + (1 - mix) * b."""
        if step.mix == 1.0:
            return batch
        pairs = len(step.a)

        def mixed(values: torch.Tensor) -> torch.Tensor:
            return torch.cat([torch.lerp(values[pairs:], values[:pairs], step.mix), values[pairs:]])

        match batch:
            case Standardised(features):
                return Standardised(mixed(features))
            case Batch(image, title):
                return Batch(mixed(image), mixed(title))
            case Pictures(states, title):
                return Pictures(mixed(states), mixed(title))

    def losses(self, output: Outputs, step: TrainingStep) -> torch.Tensor:
        """(3,): the pair loss, the absolute head's, the sub-scores' (0 where nothing learns them), each this process's share of
        the step's mean, times nothing."""
        recipe = self.recipe
        difference = output.score.float()[step.a] - output.score.float()[step.b]
        if recipe.pair_loss == "margin":
            pair = losses.pair_margin(difference, step.target, step.weight, recipe.margin)
        else:
            target = losses.smoothed(step.target, recipe.pair_smoothing)
            pair = losses.pair_logistic(difference, target, step.weight)
        wanted = self.target[step.items]
        if step.mix != 1.0:
            pairs = len(step.a)
            wanted = torch.cat([torch.lerp(wanted[pairs:], wanted[:pairs], step.mix), wanted[pairs:]])
        loss = losses.squared_error if recipe.engagement_loss == "mse" else losses.logistic
        engagement = loss(output.engagement_logit.float(), losses.smoothed(wanted, recipe.label_smoothing))
        sub_scores = engagement.new_zeros(())
        if recipe.sub_scores == "engagement":
            sub_scores = losses.squared_error(output.sub_score_logits.float(), wanted.unsqueeze(-1))
        return torch.stack([pair, engagement * step.share, sub_scores * step.share])

    def total(self, parts: torch.Tensor) -> torch.Tensor:
        """The weighted sum that is minimised."""
        return parts[0] + self.recipe.engagement_weight * parts[1] + self.recipe.sub_score_weight * parts[2]
