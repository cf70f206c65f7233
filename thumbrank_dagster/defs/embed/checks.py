"""What must hold of a niche's vectors before a model learns from them. What is asked is thumbrank_core/features."""

from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    import psycopg

    from thumbrank_core.features.embed import Embedded
    from thumbrank_core.features.specs import EncoderSet
    from thumbrank_core.features.stored import StoredNiche

ASSET = "embeddings"
WARN = dg.AssetCheckSeverity.WARN

LEAST_COVERAGE = 0.95
MOST_DUPLICATES = 0.01
DRIFT_KS = 0.10
DRIFT_P = 0.001

EMBEDDING_CHECKS = [
    dg.AssetCheckSpec(
        "coverage",
        asset=ASSET,
        blocking=True,
        description="At least 95 % of the wanted pictures have a vector; the others are counted by reason.",
    ),
    dg.AssetCheckSpec(
        "norms", asset=ASSET, blocking=True, description="Every vector has length one, within float16, and is finite."
    ),
    dg.AssetCheckSpec(
        "duplicates",
        asset=ASSET,
        blocking=True,
        description="At most 1 % of distinct pictures share a vector with another: else the encoder does not look at them.",
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
    encoders: "EncoderSet",
    embedded: "Embedded",
    stored: "StoredNiche",
) -> list[dg.AssetCheckResult]:
    """The results of EMBEDDING_CHECKS, in their order; the sketch of this run becomes the last run's."""
    return [
        dg.AssetCheckResult(
            check_name="coverage",
            passed=embedded.coverage >= LEAST_COVERAGE,
            metadata={
                "niche": niche,
                "coverage": embedded.coverage,
                "wanted": embedded.pictures_wanted,
                "misses": embedded.misses,
            },
        ),
        _norms(niche, stored),
        _duplicates(niche, stored),
        _drift(connection, niche, encoders, stored),
    ]


def _norms(niche: str, stored: "StoredNiche") -> dg.AssetCheckResult:
    from thumbrank_core.features.quality import norms

    found = {"pictures": norms(stored.image), "titles": norms(stored.title), "captions": norms(stored.caption)}
    return dg.AssetCheckResult(
        check_name="norms",
        passed=all(kind.bad == 0 for kind in found.values()),
        metadata={"niche": niche}
        | {name: {"smallest": kind.smallest, "largest": kind.largest, "bad": kind.bad} for name, kind in found.items()},
    )


def _duplicates(niche: str, stored: "StoredNiche") -> dg.AssetCheckResult:
    from thumbrank_core.features.quality import duplicates

    number = duplicates(stored.image)
    share = number / max(len(stored.image), 1)
    return dg.AssetCheckResult(
        check_name="duplicates",
        passed=share <= MOST_DUPLICATES,
        metadata={"niche": niche, "pictures": len(stored.image), "sharing_a_vector": number, "share": share},
    )


def _drift(
    connection: "psycopg.Connection", niche: str, encoders: "EncoderSet", stored: "StoredNiche"
) -> dg.AssetCheckResult:
    from thumbrank_core.features.drift import compare, last_sketch, save_sketch, sketch

    last, now = last_sketch(connection, niche, stored.image_key), sketch(stored.image)
    save_sketch(connection, niche, stored.image_key, now)
    if last is None:
        return dg.AssetCheckResult(
            check_name="drift",
            passed=True,
            severity=WARN,
            metadata={"niche": niche, "n_now": now.n, "compared": "nothing: no earlier run with this encoder"},
        )
    drift = compare(last, now)
    return dg.AssetCheckResult(
        check_name="drift",
        passed=drift.ks < DRIFT_KS or drift.p_value > DRIFT_P,
        severity=WARN,
        metadata={
            "niche": niche,
            "n_last": drift.n_old,
            "n_now": drift.n_new,
            "mean_shift": drift.mean_shift,
            "kolmogorov_smirnov": drift.ks,
            "p_value": drift.p_value,
        },
    )
