"""Averages of the weights over training: what is validated and shipped instead of the last step's weights."""

from collections.abc import Callable, Iterable
from typing import Protocol, cast

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from thumbrank_core.model.network import Input, ThumbnailRankingModel
from thumbrank_core.training.recipe import Recipe


class Averaging(Protocol):
    """One way to average."""

    @property
    def model(self) -> ThumbnailRankingModel:
        """What is validated now: the average, or the model itself while there is none."""
        ...

    @property
    def name(self) -> str:
        """What `model` is: raw, ema or swa."""
        ...

    def after_step(self) -> None:
        """A step was taken."""
        ...

    def after_epoch(self, epoch: int) -> None:
        """An epoch is over."""
        ...

    def finish(self, batches: Callable[[], Iterable[Input]]) -> None:
        """Training is over; `batches` goes through the training items for statistics that are not averages."""
        ...

    def state(self) -> dict[str, torch.Tensor]:
        """Everything a resumed run needs."""
        ...

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Take `state` back."""
        ...


class NoAverage:
    """The weights as they are."""

    name = "raw"

    def __init__(self, model: ThumbnailRankingModel) -> None:
        self.model = model

    def after_step(self) -> None:
        """Nothing is averaged."""

    def after_epoch(self, epoch: int) -> None:
        """Nothing is averaged."""

    def finish(self, batches: Callable[[], Iterable[Input]]) -> None:
        """Nothing is averaged."""

    def state(self) -> dict[str, torch.Tensor]:
        """Nothing beside the model's own."""
        return {}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Nothing to take back."""


class _Averaged:
    def __init__(self, averaged: AveragedModel, model: ThumbnailRankingModel) -> None:
        self._averaged, self._raw = averaged, model

    def state(self) -> dict[str, torch.Tensor]:
        """The average and how many weights are in it."""
        return dict(self._averaged.state_dict())

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Take the average back."""
        self._averaged.load_state_dict(state)


class Ema(_Averaged):
    """An exponential moving average over steps; buffers follow the model's."""

    name = "ema"

    def __init__(self, model: ThumbnailRankingModel, decay: float) -> None:
        super().__init__(AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay)), model)

    @property
    def model(self) -> ThumbnailRankingModel:
        """The average; before the first step the model's own weights."""
        return cast(ThumbnailRankingModel, self._averaged.module)

    def after_step(self) -> None:
        """Take the weights in."""
        self._averaged.update_parameters(self._raw)

    def after_epoch(self, epoch: int) -> None:
        """Nothing: steps are averaged."""

    def finish(self, batches: Callable[[], Iterable[Input]]) -> None:
        """Nothing: statistics are the model's own."""


class Swa(_Averaged):
    """Stochastic weight averaging (Izmailov et al. 2018): the plain mean of the weights after each epoch from `start` on."""

    def __init__(self, model: ThumbnailRankingModel, start: int) -> None:
        super().__init__(AveragedModel(model), model)
        self._start = start

    @property
    def _begun(self) -> bool:
        return bool(self._averaged.n_averaged.item() > 0)

    @property
    def name(self) -> str:
        """Raw before the first epoch that is averaged."""
        return "swa" if self._begun else "raw"

    @property
    def model(self) -> ThumbnailRankingModel:
        """The average once it has begun. The ranking score has no batch statistics, so it may be validated as it is."""
        return cast(ThumbnailRankingModel, self._averaged.module) if self._begun else self._raw

    def after_step(self) -> None:
        """Nothing: epochs are averaged."""

    def after_epoch(self, epoch: int) -> None:
        """Take the weights in."""
        if epoch >= self._start:
            self._averaged.update_parameters(self._raw)

    def finish(self, batches: Callable[[], Iterable[Input]]) -> None:
        """Take batch-norm statistics anew with the averaged weights. Each input goes in a list of one: a named tuple would be
        taken apart by torch's update_bn, which keeps the first element of what it is given."""
        if self._begun:
            update_bn(([batch] for batch in batches()), self.model)


def averaging_of(recipe: Recipe, model: ThumbnailRankingModel) -> Averaging:
    """The recipe's way to average."""
    match recipe.averaging:
        case "none":
            return NoAverage(model)
        case "ema":
            return Ema(model, recipe.ema_decay)
        case "swa":
            return Swa(model, recipe.averages_from)
