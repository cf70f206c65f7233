"""Evaluations as rows of `model_evaluations`: every figure with its n, its interval and the reference models beside it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import psycopg

from thumbrank_core.bootstrap import Interval
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
_KEY = ["model_sha256", "scorer", "niche", "split", "label", "metric", "n_pairs"]
ALL = "all"


class _Figure(NamedTuple):
    scorer: str
    niche: str
    split: str
    metric: str
    found: Interval
    n_pairs: int
    n_channels: int


def record_evaluation(
    connection: psycopg.Connection, evaluation: Evaluation, weights_sha256: str, version: int | None
) -> int:
    """Write every figure; the same model on the same pairs overwrites its own rows. Returns the number of rows."""
    now = datetime.now(UTC)
    rows = [
        (
            weights_sha256,
            version,
            now,
            row.scorer,
            row.scorer not in (MODEL, CHAMPION, CEILING),
            row.niche,
            row.split,
            evaluation.label,
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
    """All niches together in three splits; each niche's accuracy on test channels; the probabilities."""
    for split, measured in (
        ("test", evaluation.unseen),
        ("test, later", evaluation.later),
        ("train, later", evaluation.seen_later),
    ):
        if measured is None:
            continue
        for scored in measured.scorers.values():
            for metric, found in scored.metrics.items():
                yield _Figure(scored.name, ALL, split, metric, found, measured.n_pairs, measured.n_channels)
    for part in evaluation.slices:
        if part.by == "niche":
            for scorer, found in part.accuracy.items():
                yield _Figure(scorer, part.name, "test", "pair_accuracy_micro", found, part.n_pairs, part.n_channels)
    whole = evaluation.unseen
    for metric, found in (("brier", evaluation.calibration.brier), ("ece", evaluation.calibration.ece)):
        yield _Figure(MODEL, ALL, "test", metric, found, whole.n_pairs, whole.n_channels)


def _known(bound: float) -> float | None:
    return float(bound) if np.isfinite(bound) else None
