"""The leak alarm: what a memoriser gets that knows videos by their marks and nothing of what they show.

A video's marks are its id, its picture's bytes and its title. On channels it never saw it knows no mark and gets 0.5; a
picture or title that stands in two splits shows here. On a random split of pairs the same videos stand on both sides, and it
looks brilliant: that is what a split by pairs would make of any model, and why ours is by channel.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array, csr_array, identity
from scipy.sparse.linalg import cg

from thumbrank_core.array_types import Floats
from thumbrank_core.bootstrap import Interval, ratio_interval
from thumbrank_core.evaluation.pair_matrix import difference_matrix
from thumbrank_core.metrics import channel_sums, pair_concordance
from thumbrank_core.training.dataset import Dataset, Pairs

KEPT_OUT = 0.2
RIDGE = 0.1
"""Worth a tenth of a pair: it decides nothing but the scores of videos that hardly occur."""


@dataclass(frozen=True)
class LeakAlarm:
    """Micro pair accuracy of the memoriser. `unseen`: test channels. `random_pairs`: a random fifth of all pairs, fitted on
    the rest; None where that is no pair.
    """

    unseen: Interval
    n_unseen: int
    random_pairs: Interval | None
    n_random: int


def memorise(dataset: Dataset, pairs: Pairs) -> Floats:
    """A score for every item, (n,), from the outcomes of `pairs` alone: Bradley-Terry by least squares on the marks; 0 for an
    item none of whose marks is in them.
    """
    marks = _marks(dataset)
    difference = difference_matrix(pairs.a, pairs.b, len(dataset.items)) @ marks
    target = np.asarray(difference.T @ (2 * pairs.outcome - 1), dtype=np.float64)
    normal = difference.T @ difference + RIDGE * identity(len(target), format="csr")
    weight, _ = cg(normal, target, rtol=1e-6, maxiter=200)
    return np.asarray(marks @ weight, dtype=np.float64)


def id_memoriser(dataset: Dataset) -> Floats:
    """The reference model: fitted on training channels, so that it knows no item of any other."""
    return memorise(dataset, dataset.of("train"))


def leak_alarm(dataset: Dataset, memoriser: Floats, seed: int = 0) -> LeakAlarm:
    """Measure the memoriser on unseen channels, by its scores (n,), and one like it on a random split of pairs."""
    test = dataset.of("test")
    held = np.random.default_rng(seed).random(len(dataset.pairs)) < KEPT_OUT
    kept_out = dataset.pairs.take(held)
    random = _accuracy(memorise(dataset, dataset.pairs.take(~held)), kept_out) if len(kept_out) else None
    return LeakAlarm(_accuracy(memoriser, test), len(test), random, len(kept_out))


def _marks(dataset: Dataset) -> csr_array:
    """(n, marks): 1 where an item has a mark."""
    items = dataset.items
    known: list[Sequence[Hashable]] = [items.video_id, items.picture, items.title]
    columns: list[npt.NDArray[np.int64]] = []
    width = 0
    for values in known:
        number = {value: width + place for place, value in enumerate(dict.fromkeys(values))}
        columns.append(np.array([number[value] for value in values]))
        width += len(number)
    rows = np.tile(np.arange(len(items)), len(columns))
    column = np.concatenate(columns)
    return coo_array((np.ones(len(column)), (rows, column)), shape=(len(items), width)).tocsr()


def _accuracy(score: Floats, pairs: Pairs) -> Interval:
    _, channel = np.unique(pairs.channel, return_inverse=True)
    concordance = pair_concordance(score[pairs.a] - score[pairs.b], pairs.outcome)
    return ratio_interval(*channel_sums(concordance, channel, int(channel.max()) + 1))
