"""Reference models: what a figure must be held against. Each gives a score per item, fitted on training channels only.

A score is compared only inside a channel, by the sign of the difference of two items.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from thumbrank_core.evaluation.leak_alarm import id_memoriser
from thumbrank_core.evaluation.pair_matrix import difference_matrix
from thumbrank_core.metrics import pair_accuracy_micro
from thumbrank_core.training.dataset import SPLITS, Dataset

Floats = npt.NDArray[np.float64]
RIDGE_STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
"""Times the mean eigenvalue of the normal matrix."""


def coin(dataset: Dataset) -> Floats:
    """A seeded random score: what no knowledge at all gets."""
    return np.random.default_rng(0).random(len(dataset.items))


def newer_wins(dataset: Dataset) -> Floats:
    """The later video wins: no content, only the clock in the label."""
    return dataset.items.published.copy()


def title_length(dataset: Dataset) -> Floats:
    """Characters of the title, longer or shorter winning as the training pairs say."""
    length = np.array([float(len(title)) for title in dataset.items.title])
    training = dataset.of("train")
    longer = pair_accuracy_micro(length[training.a] - length[training.b], training.outcome) >= 0.5
    return length if longer else -length


def ridge_title(dataset: Dataset) -> Floats:
    """Ridge on the title vector."""
    return ridge_on_differences(dataset, dataset.items.text)


def ridge_image(dataset: Dataset) -> Floats:
    """Ridge on the image vector."""
    return ridge_on_differences(dataset, dataset.items.image)


def ridge_both(dataset: Dataset) -> Floats:
    """Ridge on both vectors: the linear model to beat."""
    return ridge_on_differences(dataset, np.concatenate([dataset.items.image, dataset.items.text], axis=1))


REFERENCES: dict[str, Callable[[Dataset], Floats]] = {
    "coin": coin,
    "ID memoriser": id_memoriser,
    "newer wins": newer_wins,
    "title length": title_length,
    "ridge on title": ridge_title,
    "ridge on image": ridge_image,
    "ridge on both": ridge_both,
}
LINEAR = ("ridge on title", "ridge on image", "ridge on both")


def ridge_on_differences(dataset: Dataset, features: npt.NDArray[np.float32]) -> Floats:
    """Weighted ridge of the outcome (+1 a won, -1 b won, 0 a tie) on feature differences; its item score, (n,).

    The strength is chosen by pair accuracy on validation channels. Differences are never formed: with D the pair-by-item
    difference matrix, X'D'WDX is X'LX for a sparse item-by-item L, so memory grows with items, not with pairs.
    """
    training, validation = dataset.of("train"), dataset.of("validation")
    inside = dataset.items.split == SPLITS.index("train")
    x = features.astype(np.float64)
    x = (x - x[inside].mean(axis=0)) / np.maximum(x[inside].std(axis=0), 1e-6)
    difference = difference_matrix(training, len(x))
    weighted = difference.T.multiply(training.weight).tocsr()
    normal = x.T @ (weighted @ difference @ x)
    target = x.T @ (weighted @ (2 * training.outcome - 1))
    values, vectors = np.linalg.eigh(normal)
    projected = vectors.T @ target
    best, best_accuracy = np.zeros(len(x)), -1.0
    for strength in RIDGE_STRENGTHS:
        score = x @ (vectors @ (projected / (np.maximum(values, 0) + strength * max(float(values.mean()), 1e-12))))
        accuracy = pair_accuracy_micro(score[validation.a] - score[validation.b], validation.outcome)
        if accuracy > best_accuracy:
            best, best_accuracy = score, accuracy
    return best
