"""The train loop, to be read in one sitting.

A step takes a block of channels, scores each of their items once and takes every pair of those channels from the scores.
What is validated and shipped is an average of the weights over the steps (EMA); the epoch with the best pair accuracy on
validation channels wins, and training stops when it has not improved for `patience` epochs.
"""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import rankdata
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from thumbrank_core.metrics import pair_accuracy_micro, pair_auc_pooled
from thumbrank_core.model.bundle import EpochRecord
from thumbrank_core.model.losses import engagement_logistic, pair_logistic
from thumbrank_core.model.network import Batch, ThumbnailRankingModel
from thumbrank_core.progress import track
from thumbrank_core.training.dataset import SPLITS, Dataset, DatasetError, Pairs
from thumbrank_core.training.recipe import Recipe
from thumbrank_core.training.tracking import Tracker


@dataclass(frozen=True)
class Trained:
    """The outcome of a run: the averaged weights of the best epoch, and how it got there."""

    model: ThumbnailRankingModel
    best_epoch: int
    history: list[EpochRecord]


@dataclass(frozen=True)
class _Block:
    """The items of some channels and the pairs between them, as positions in the block."""

    items: torch.Tensor
    a: torch.Tensor
    b: torch.Tensor
    outcome: torch.Tensor
    weight: torch.Tensor


def train(dataset: Dataset, recipe: Recipe, trackers: Sequence[Tracker] = ()) -> Trained:
    """Train on the training channels, select on the validation channels; test channels are never touched.

    Same data, same recipe, same machine: same weights.

    Raises:
        DatasetError: there are no training pairs, or no validation pairs to select on.
    """
    for split in ("train", "validation"):
        if dataset.counts(split)[0] == 0:
            raise DatasetError(
                f"None of the {len(dataset.channels)} channels with pairs is a {split} channel (the split is a hash of their ids): "
                "collect or import more channels."
            )
    torch.manual_seed(recipe.seed)
    order = np.random.default_rng(recipe.seed)
    items = dataset.items
    features = Batch(torch.from_numpy(items.image), torch.from_numpy(items.text))
    percentile = torch.from_numpy(engagement_percentile(items.value, items.channel).astype(np.float32))
    model = ThumbnailRankingModel(items.image.shape[1], items.text.shape[1], recipe.hidden_dim, recipe.dropout)
    in_training = torch.from_numpy(items.split == SPLITS.index("train"))
    model.fit_standardiser(Batch(features.image[in_training], features.title[in_training]))
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema_decay))
    average = cast(ThumbnailRankingModel, averaged.module)

    training, validation = dataset.of("train"), dataset.of("validation")
    channels = np.unique(training.channel)
    steps = recipe.epochs * math.ceil(len(channels) / recipe.channels_per_step)
    optimiser = torch.optim.AdamW(_groups(model, recipe.weight_decay), lr=recipe.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, steps, recipe.warmup_fraction))

    history: list[EpochRecord] = []
    best, best_epoch = copy.deepcopy(model.state_dict()), -1
    with track("training, epochs", recipe.epochs) as advance:
        for epoch in range(recipe.epochs):
            model.train()
            losses: list[torch.Tensor] = []
            for block in _blocks(training, order.permutation(channels), recipe.channels_per_step):
                output = model(Batch(features.image[block.items], features.title[block.items]))
                pair = pair_logistic(output.score[block.a] - output.score[block.b], block.outcome, block.weight)
                engagement = engagement_logistic(output.engagement, percentile[block.items])
                optimiser.zero_grad(set_to_none=True)
                (pair + recipe.engagement_weight * engagement).backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.gradient_clip)
                optimiser.step()
                schedule.step()
                averaged.update_parameters(model)
                losses.append(torch.stack([pair.detach(), engagement.detach()]))
            mean = torch.stack(losses).mean(dim=0)
            record = EpochRecord(
                epoch=epoch,
                pair_loss=float(mean[0]),
                engagement_loss=float(mean[1]),
                **_validate(average, features, validation),
            )
            if not history or record.validation_accuracy > max(past.validation_accuracy for past in history):
                best, best_epoch = copy.deepcopy(average.state_dict()), epoch
            history.append(record)
            for tracker in trackers:
                tracker.epoch(record)
            advance(1)
            if epoch - best_epoch >= recipe.patience:
                break
    model.load_state_dict(best)
    return Trained(model.eval(), best_epoch, history)


def engagement_percentile(value: npt.NDArray[np.float64], channel: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Rank of each item's label within its channel, (n,), in (0, 1). Not a click-through rate."""
    result = np.empty(len(channel))
    for index in np.unique(channel):
        inside = channel == index
        result[inside] = (rankdata(value[inside]) - 0.5) / inside.sum()
    return result


def _groups(model: ThumbnailRankingModel, weight_decay: float) -> list[dict[str, object]]:
    """Decay matrices only: decaying a bias or a norm's gain shrinks outputs, not complexity."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
    rest = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]


def _rate(step: int, steps: int, warmup_fraction: float) -> float:
    """Linear warm-up, then a cosine to zero; a factor of the learning rate."""
    warmup = max(1, round(steps * warmup_fraction))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))


def _blocks(pairs: Pairs, channels: npt.NDArray[np.int64], size: int) -> Iterator[_Block]:
    by_channel = np.argsort(pairs.channel, kind="stable")
    starts = np.searchsorted(pairs.channel[by_channel], channels, side="left")
    ends = np.searchsorted(pairs.channel[by_channel], channels, side="right")
    for first in range(0, len(channels), size):
        last = first + size
        chosen = np.concatenate([by_channel[s:e] for s, e in zip(starts[first:last], ends[first:last], strict=True)])
        items, position = np.unique(np.concatenate([pairs.a[chosen], pairs.b[chosen]]), return_inverse=True)
        a, b = position[: len(chosen)], position[len(chosen) :]
        yield _Block(
            torch.from_numpy(items),
            torch.from_numpy(a),
            torch.from_numpy(b),
            torch.from_numpy(pairs.outcome[chosen]).float(),
            torch.from_numpy(pairs.weight[chosen]).float(),
        )


@torch.inference_mode()
def _validate(model: ThumbnailRankingModel, features: Batch, pairs: Pairs) -> dict[str, float]:
    model.eval()
    items, position = np.unique(np.concatenate([pairs.a, pairs.b]), return_inverse=True)
    index = torch.from_numpy(items)
    score = model(Batch(features.image[index], features.title[index])).score.double().numpy()[position]
    difference = score[: len(pairs)] - score[len(pairs) :]
    return {
        "validation_accuracy": pair_accuracy_micro(difference, pairs.outcome),
        "validation_auc": pair_auc_pooled(difference, pairs.outcome),
    }
