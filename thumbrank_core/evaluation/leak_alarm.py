"""The leak alarm: what a memoriser gets that knows videos by their ids and nothing of what they show.

On channels it never saw it knows no video and gets 0.5. On a random split of pairs the same videos stand on both sides, and
it looks brilliant: that is what a split by pairs would make of any model, and why ours is by channel.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import identity
from scipy.sparse.linalg import cg

from thumbrank_core.bootstrap import Interval, ratio_interval
from thumbrank_core.evaluation.pair_matrix import difference_matrix
from thumbrank_core.metrics import channel_sums, pair_concordance
from thumbrank_core.training.dataset import Dataset, Pairs

Floats = npt.NDArray[np.float64]
KEPT_OUT = 0.2
RIDGE = 0.1
"""Worth a tenth of a pair: it decides nothing but the scores of videos that hardly occur."""


@dataclass(frozen=True)
class LeakAlarm:
    """Micro pair accuracy of the ID memoriser. `unseen`: test channels. `random_pairs`: a random fifth of all pairs, fitted
    on the rest.
    """

    unseen: Interval
    n_unseen: int
    random_pairs: Interval
    n_random: int


def memorise(dataset: Dataset, pairs: Pairs) -> Floats:
    """A score for every item, (n,), from the outcomes of `pairs` alone: Bradley-Terry by least squares; 0 for what is in none."""
    difference = difference_matrix(pairs, len(dataset.items))
    normal = difference.T @ difference + RIDGE * identity(len(dataset.items), format="csr")
    score, _ = cg(normal, difference.T @ (2 * pairs.outcome - 1), rtol=1e-6, maxiter=200)
    return np.asarray(score, dtype=np.float64)


def id_memoriser(dataset: Dataset) -> Floats:
    """The reference model: fitted on training channels, so that it knows no item of any other."""
    return memorise(dataset, dataset.of("train"))


def leak_alarm(dataset: Dataset, seed: int = 0) -> LeakAlarm:
    """Measure the memoriser on unseen channels and on a random split of pairs."""
    test = dataset.of("test")
    held = np.random.default_rng(seed).random(len(dataset.pairs)) < KEPT_OUT
    kept_out = dataset.pairs.take(held)
    random = memorise(dataset, dataset.pairs.take(~held))
    return LeakAlarm(_accuracy(id_memoriser(dataset), test), len(test), _accuracy(random, kept_out), len(kept_out))


def _accuracy(score: Floats, pairs: Pairs) -> Interval:
    _, channel = np.unique(pairs.channel, return_inverse=True)
    concordance = pair_concordance(score[pairs.a] - score[pairs.b], pairs.outcome)
    return ratio_interval(*channel_sums(concordance, channel, int(channel.max()) + 1))
