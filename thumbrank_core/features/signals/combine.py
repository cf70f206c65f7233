"""From readings on scales of their own to six signals on one, and how far the six differ. Pure functions on arrays."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from thumbrank_core.array_types import Floats
from thumbrank_core.features.signals.definitions import MEASURES, SIGNALS, VECTOR_MEASURES
from thumbrank_core.metrics import ranks, spearman_within

_SIGNAL_OF = MEASURES | VECTOR_MEASURES


@dataclass(frozen=True)
class Signals:
    """Six signals of n pictures, ordered as SIGNALS."""

    values: Floats
    """(n, 6), about standard normal; NaN where no measure of a signal has a value."""
    coverage: Floats
    """(6,) the share of pictures that have a value."""


def combine(readings: Mapping[str, npt.NDArray[np.floating]]) -> Signals:
    """Each signal as the mean, over the measures that have a value, of their rank-Gaussian scores.

    Args:
        readings: for each measure id (n,) values with NaN where missing.

    Raises:
        KeyError: a measure that no signal has.
        ValueError: no measure at all.
    """
    if not readings:
        raise ValueError("There is no measure to combine.")
    count = len(next(iter(readings.values())))
    totals, present = np.zeros((count, len(SIGNALS))), np.zeros((count, len(SIGNALS)))
    for measure, values in readings.items():
        scores = rank_gaussian(values)
        column = SIGNALS.index(_SIGNAL_OF[measure])
        known = ~np.isnan(scores)
        totals[known, column] += scores[known]
        present[known, column] += 1
    signals = np.where(present > 0, totals / np.maximum(present, 1), np.nan)
    return Signals(signals, (present > 0).mean(axis=0) if count else np.zeros(len(SIGNALS)))


def rank_gaussian(values: npt.NDArray[np.floating]) -> Floats:
    """(n,) normal quantile of (rank - 0.5) / n among the n values that are not NaN, ties at their mean rank.

    The rank-based inverse normal transformation of Bliss (1967); NaN stays NaN.
    """
    scores = np.full(len(values), np.nan)
    known = ~np.isnan(values)
    if known.any():
        scores[known] = ndtri((ranks(values[known].astype(np.float64)) - 0.5) / known.sum())
    return scores


def correlations(signals: Floats) -> Floats:
    """(6, 6) Spearman rank correlations of (n, 6) signals, each over the rows where both have a value.

    NaN where fewer than three rows have both, or one side is constant.
    """
    kinds = signals.shape[1]
    table = np.full((kinds, kinds), np.nan)
    for row in range(kinds):
        for column in range(row, kinds):
            both = signals[~np.isnan(signals[:, (row, column)]).any(axis=1)][:, (row, column)]
            if len(both) > 2:
                table[row, column] = table[column, row] = spearman_within(both[:, 0], both[:, 1])
    return table


def mean_off_diagonal(table: Floats) -> float:
    """Mean absolute correlation of two different signals, over those that are known; 1 would be six copies of one."""
    others = np.abs(table[~np.eye(len(table), dtype=bool)])
    known = others[~np.isnan(others)]
    return float(known.mean()) if known.size else float("nan")
