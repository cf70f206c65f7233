"""Evaluations as rows of `model_evaluations`: every figure with its n, its interval and the reference models beside it."""

from datetime import UTC, datetime

import numpy as np
import psycopg

from thumbrank_core.evaluation.evaluate import Evaluation
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
            scored.name,
            scored.is_reference,
            part.niche,
            "test",
            evaluation.label,
            metric,
            found.value,
            _known(found.low),
            _known(found.high),
            part.n_pairs,
            part.n_channels,
        )
        for part in (evaluation.overall, *evaluation.per_niche.values())
        for scored in part.scorers.values()
        for metric, found in scored.metrics.items()
        if np.isfinite(found.value)
    ]
    update = [column.name for column in _COLUMNS if column.name not in _KEY]
    counts = upsert(connection, "thumbrank.model_evaluations", _COLUMNS, rows, key=_KEY, update=update)
    return counts.inserted + counts.updated


def _known(bound: float) -> float | None:
    return float(bound) if np.isfinite(bound) else None
