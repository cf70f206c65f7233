"""Evaluations as rows of `model_evaluations`: every figure with its n, its interval and the reference models beside it."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

import numpy as np
import psycopg

from thumbrank_core.bootstrap import Interval
from thumbrank_core.evaluation.ab_tests import ALL_TESTS
from thumbrank_core.evaluation.figures import CEILING, CHAMPION, MODEL, Evaluation
from thumbrank_core.store.copy import Column, upsert

_COLUMNS = [
    Column("model_sha256", "text"),
    Column("model_version", "int4"),
    Column("evaluated_at", "timestamptz"),
    Column("scorer", "text"),
    Column("is_reference", "bool"),
    Column("niche", "text"),
    Column("split", "text"),
    Column("label", "text"),
    Column("metric", "text"),
    Column("value", "float8"),
    Column("ci_low", "float8"),
    Column("ci_high", "float8"),
    Column("n_pairs", "int4"),
    Column("n_channels", "int4"),
]
ACCURACY = "pair_accuracy_micro"
_KEY = ["model_sha256", "scorer", "niche", "split", "label", "metric", "n_pairs"]
ALL = "all"
AB_TESTS, AB_OUTCOME = "A/B tests", "ab_outcome"
"""Split and label of what is measured on A/B tests: who won there, and nothing made of views."""


class _Figure(NamedTuple):
    scorer: str
    niche: str
    split: str
    label: str
    metric: str
    found: Interval
    n_pairs: int
    n_channels: int


def record_evaluation(
    connection: psycopg.Connection,
    evaluation: Evaluation,
    weights_sha256: str,
    version: int | None,
    evaluated_at: datetime,
) -> int:
    """Write every figure; the same model on the same pairs overwrites its own rows. Returns the number of rows.

    `evaluated_at`: when reading began: what was imported while it was measured is not in it.
    """
    rows = [
        (
            weights_sha256,
            version,
            evaluated_at,
            row.scorer,
            row.scorer not in (MODEL, CHAMPION, CEILING),
            row.niche,
            row.split,
            row.label,
            row.metric,
            row.found.value,
            _known(row.found.low),
            _known(row.found.high),
            row.n_pairs,
            row.n_channels,
        )
        for row in _figures(evaluation)
        if np.isfinite(row.found.value)
    ]
    update = [column.name for column in _COLUMNS if column.name not in _KEY]
    counts = upsert(connection, "thumbrank.model_evaluations", _COLUMNS, rows, key=_KEY, update=update)
    return counts.inserted + counts.updated


def _figures(evaluation: Evaluation) -> Iterator[_Figure]:
    """All niches together in three splits; each niche's accuracy on test channels; the probabilities; A/B tests."""
    label = evaluation.label
    for split, measured in (
        ("test", evaluation.unseen),
        ("test, later", evaluation.later),
        ("train, later", evaluation.seen_later),
    ):
        if measured is None:
            continue
        for scored in measured.scorers.values():
            for metric, found in scored.metrics.items():
                yield _Figure(scored.name, ALL, split, label, metric, found, measured.n_pairs, measured.n_channels)
    for part in evaluation.slices:
        if part.by == "niche":
            for scorer, found in part.accuracy.items():
                yield _Figure(scorer, part.name, "test", label, ACCURACY, found, part.n_pairs, part.n_channels)
    whole = evaluation.unseen
    for metric, found in (("brier", evaluation.calibration.brier), ("ece", evaluation.calibration.ece)):
        yield _Figure(MODEL, ALL, "test", label, metric, found, whole.n_pairs, whole.n_channels)
    for tests in evaluation.ab.sets if evaluation.ab else ():
        split = AB_TESTS if tests.name == ALL_TESTS else f"{AB_TESTS}, {tests.name}"
        for scorer, found in tests.accuracy.items():
            yield _Figure(scorer, ALL, split, AB_OUTCOME, ACCURACY, found, tests.n_pairs, tests.n_channels)


def _known(bound: float) -> float | None:
    return float(bound) if np.isfinite(bound) else None
