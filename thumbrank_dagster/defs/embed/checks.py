"""What must hold of a niche's vectors before a model learns from them. What is asked is thumbrank_core/features."""

import math
from typing import TYPE_CHECKING, Any

import dagster as dg

from thumbrank_dagster.metadata import figure

if TYPE_CHECKING:
    import psycopg

    from thumbrank_core.features.embed import Embedded
    from thumbrank_core.features.stored import StoredNiche

ASSET = "embeddings"
WARN = dg.AssetCheckSeverity.WARN

MOST_DUPLICATES = 0.01
FEW_DUPLICATES = 5
"""Now and then a team has one picture in two files; that many say nothing of the encoder."""

EMBEDDING_CHECKS = [
    dg.AssetCheckSpec(
        "coverage",
        asset=ASSET,
        blocking=True,
        description="At least 95 % of the wanted pictures, and of the titles, have a vector; misses are counted by reason.",
    ),
    dg.AssetCheckSpec(
        "norms",
        asset=ASSET,
        blocking=True,
        description="Every vector has length one, within float16, and is finite. Where not, something else wrote it: delete the "
        "encoder's rows of thumbrank.embeddings and run this again.",
    ),
    dg.AssetCheckSpec(
        "duplicates",
        asset=ASSET,
        blocking=True,
        description="At most 1 % of the pictures (and 5) have the vector of another one: else the encoder does not look at them.",
    ),
    dg.AssetCheckSpec(
        "drift",
        asset=ASSET,
        description="The niche's pictures are distributed as at its last run (two-sample Kolmogorov-Smirnov below 0.10).",
    ),
]


def check_embeddings(
    connection: "psycopg.Connection",
    niche: str,
    embedded: "Embedded",
    stored: "StoredNiche",
) -> list[dg.AssetCheckResult]:
    """The results of EMBEDDING_CHECKS, in their order; where none blocks, this run's sketch becomes the last run's."""
    from thumbrank_core.features.inventory import LEAST_COVERAGE

    blocking = [
        dg.AssetCheckResult(
            check_name="coverage",
            passed=min(stored.coverage.values()) >= LEAST_COVERAGE,
            metadata={
                "niche": niche,
                "pictures_wanted": stored.pictures_wanted,
                "titles_wanted": stored.titles_wanted,
                "misses": embedded.misses,
            }
            | {kind: figure(share) for kind, share in stored.coverage.items()},
        ),
        _norms(niche, stored),
        _duplicates(niche, stored),
    ]
    return [*blocking, _drift(connection, niche, stored, keep=all(result.passed for result in blocking))]


def _norms(niche: str, stored: "StoredNiche") -> dg.AssetCheckResult:
    from thumbrank_core.features.quality import norms

    found = {"pictures": norms(stored.image), "titles": norms(stored.title), "captions": norms(stored.caption)}
    figures: dict[str, Any] = {"niche": niche}
    for name, kind in found.items():
        # Of no vector there is no length, and NaN is no JSON.
        lengths = (
            {} if math.isnan(kind.smallest) else {"smallest": figure(kind.smallest), "largest": figure(kind.largest)}
        )
        figures[name] = {"bad": kind.bad} | lengths
    return dg.AssetCheckResult(
        check_name="norms", passed=all(kind.bad == 0 for kind in found.values()), metadata=figures
    )


def _duplicates(niche: str, stored: "StoredNiche") -> dg.AssetCheckResult:
    from thumbrank_core.features.quality import duplicates

    number = duplicates(stored.image)
    return dg.AssetCheckResult(
        check_name="duplicates",
        passed=number <= max(FEW_DUPLICATES, MOST_DUPLICATES * len(stored.image)),
        metadata={"niche": niche, "pictures": len(stored.image), "with_the_vector_of_another": number},
    )


def _drift(connection: "psycopg.Connection", niche: str, stored: "StoredNiche", *, keep: bool) -> dg.AssetCheckResult:
    from thumbrank_core.features.drift import compare, last_sketch, record_reading, save_sketch, sketch

    last, now = last_sketch(connection, niche, stored.image_key), sketch(stored.image)
    if keep:
        save_sketch(connection, niche, stored.image_key, now)
    if last is None or now.n == 0:
        return dg.AssetCheckResult(
            check_name="drift",
            passed=True,
            severity=WARN,
            metadata={
                "niche": niche,
                "n_now": now.n,
                "compared": "nothing: no earlier run with this encoder, or no vector now",
            },
        )
    drift = compare(last, now)
    if keep:  # else it would be a reading of broken vectors, and might ask for a training
        record_reading(connection, niche, stored.image_key, drift)
    return dg.AssetCheckResult(
        check_name="drift",
        passed=not drift.drifted,
        severity=WARN,
        metadata={
            "niche": niche,
            "n_last": drift.n_old,
            "n_now": drift.n_new,
            "mean_shift": figure(drift.mean_shift),
            "kolmogorov_smirnov": figure(drift.ks),
            "p_value": figure(drift.p_value),
        },
    )
