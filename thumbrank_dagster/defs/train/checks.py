"""What must hold of the niches before a model learns from them, and what a team should know of a model's history."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from thumbrank_core.model.bundle import BundleCard
    from thumbrank_core.training.borders import Border

ASSET = "trained_model"

TRAINING_CHECKS = [
    dg.AssetCheckSpec(
        "borders",
        asset=ASSET,
        blocking=True,
        description="No niche of the run has leaking splits, a label that is a clock, vectors of less than 95 % of its pictures or "
        "titles, or counts older than 35 days. Asked of the tables: a niche's own checks block only inside their own run.",
    ),
    dg.AssetCheckSpec(
        "learning",
        asset=ASSET,
        description="The history says nothing against the model: AUC off 0.5, correlation above 0.1, no wide gap to training, "
        "no collapse to the margin",
    ),
]


def check_borders(borders: "Sequence[Border]") -> dg.AssetCheckResult:
    """Of each niche why it may not pass, or what was found of it."""
    found: dict[str, Any] = {
        border.niche: dg.MetadataValue.json(border.figures) if border.reason is None else border.reason
        for border in borders
    }
    return dg.AssetCheckResult(
        check_name="borders",
        asset_key=dg.AssetKey(ASSET),
        passed=not any(border.troubles for border in borders),
        metadata=found,
    )


def check_learning(card: "BundleCard") -> dg.AssetCheckResult:
    """The findings of the training, by kind."""
    return dg.AssetCheckResult(
        check_name="learning",
        asset_key=dg.AssetKey(ASSET),
        passed=not card.findings,
        severity=dg.AssetCheckSeverity.WARN,
        metadata=dict(card.findings),
    )
