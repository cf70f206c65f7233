"""How training sees itself between epochs: the figures of validation channels, and of a sample of training channels."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from thumbrank_core.metrics import pair_accuracy_micro, pair_auc_pooled, spearman_within
from thumbrank_core.model.network import ThumbnailRankingModel
from thumbrank_core.training.dataset import Dataset
from thumbrank_core.training.sources import Source, chunks

MIN_CHANNEL_VIDEOS = 5
"""Channels with fewer videos have no rank correlation worth averaging."""


@dataclass(frozen=True)
class ValidationMetrics:
    """Of one model on validation channels; `train_auc` on a sample of training channels as large as those."""

    accuracy: float
    auc: float
    correlation: float
    train_auc: float


class Validation:
    """The validation pairs and a sample of the training pairs, with their items laid out once."""

    def __init__(self, dataset: Dataset, source: Source, seed: int) -> None:
        self._source, self._value = source, dataset.items.value
        self._pairs = dataset.of("validation")
        pairs = dataset.of("train")
        # A tie has no say in an AUC: a sample of nothing else would have none.
        training = pairs.outcome != 0.5
        channels = np.random.default_rng(seed).permutation(np.unique(pairs.channel[training]))
        sample = channels[: len(np.unique(self._pairs.channel))]
        self._sample = pairs.take(training & np.isin(pairs.channel, sample))
        items = np.unique(np.concatenate([self._pairs.a, self._pairs.b]))
        owner = dataset.items.channel[items]
        order = np.argsort(owner, kind="stable")
        groups = np.split(items[order], np.flatnonzero(np.diff(owner[order])) + 1)
        self._groups = [group for group in groups if len(group) >= MIN_CHANNEL_VIDEOS]
        self._n = len(dataset.items)

    def of(self, model: ThumbnailRankingModel) -> ValidationMetrics:
        """Score with `model` in evaluation mode and compare."""
        score = np.full(self._n, np.nan)
        for pairs in (self._pairs, self._sample):
            items = np.unique(np.concatenate([pairs.a, pairs.b]))
            score[items] = ranked(model, self._source, items)
        difference = score[self._pairs.a] - score[self._pairs.b]
        correlations = [spearman_within(score[group], self._value[group]) for group in self._groups]
        known = [value for value in correlations if np.isfinite(value)]
        return ValidationMetrics(
            pair_accuracy_micro(difference, self._pairs.outcome),
            pair_auc_pooled(difference, self._pairs.outcome),
            float(np.mean(known)) if known else float("nan"),
            pair_auc_pooled(score[self._sample.a] - score[self._sample.b], self._sample.outcome),
        )

    def differences(self, model: ThumbnailRankingModel) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Score differences and outcomes of the validation pairs, (p,) each."""
        items = np.unique(np.concatenate([self._pairs.a, self._pairs.b]))
        score = np.full(self._n, np.nan)
        score[items] = ranked(model, self._source, items)
        return score[self._pairs.a] - score[self._pairs.b], self._pairs.outcome


@torch.inference_mode()
def ranked(model: ThumbnailRankingModel, source: Source, items: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The ranking scores (k,) of the items, a chunk at a time, in evaluation mode; the model's mode is put back."""
    was = model.training
    model.eval()
    try:
        parts = [model.rank(batch).double().cpu().numpy() for batch in chunks(source, items)]
    finally:
        model.train(was)
    return np.concatenate(parts) if parts else np.empty(0)
