"""An epoch as named curves, grouped as dashboards fold them: loss/…, validation/…, train/…."""

from thumbrank_core.model.bundle import EpochRecord


def scalars(record: EpochRecord, real_click_rate: bool) -> dict[str, float]:
    """Name -> value of what was measured in this epoch; a figure that does not exist (None) has no point."""
    measured = {
        "loss/pair": record.pair_loss,
        f"loss/{'ctr' if real_click_rate else 'engagement'}": record.engagement_loss,
        "loss/sub_scores": record.sub_score_loss,
        "validation/accuracy": record.validation_accuracy,
        "validation/auc": record.validation_auc,
        "validation/correlation": record.validation_correlation,
        "train/auc": record.train_auc,
        "train/learning_rate": record.learning_rate,
        "train/seconds": record.seconds,
        "train/items_per_second": record.items_per_second,
    }
    return {name: value for name, value in measured.items() if value is not None}
