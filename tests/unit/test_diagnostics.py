"""Each sign of a model that does not learn: once where it is there, once where it only looks like it."""

import math

import pytest

from thumbrank_core.model.bundle import EpochRecord
from thumbrank_core.training.diagnostics import diagnose

HEALTHY = {
    "pair_loss": 0.05,
    "engagement_loss": 0.02,
    "sub_score_loss": None,
    "train_auc": 0.66,
    "validation_accuracy": 0.6,
    "validation_auc": 0.63,
    "validation_correlation": 0.3,
    "learning_rate": 2e-5,
    "seconds": 1.0,
    "items_per_second": 100.0,
}


def history(epochs=8, **changed):
    """Records whose changed fields are one value, or one an epoch."""
    return [
        EpochRecord(
            epoch=epoch,
            **HEALTHY | {name: value[epoch] if isinstance(value, list) else value for name, value in changed.items()},
        )
        for epoch in range(epochs)
    ]


def found(records, margin: float | None = 0.1, best_epoch=7, pairs=1000):
    return {
        finding.kind: finding.sentence
        for finding in diagnose(records, margin=margin, best_epoch=best_epoch, n_validation_pairs=pairs)
    }


def test_a_model_that_learns_is_left_in_peace():
    assert found(history()) == {}


def test_a_first_epoch_that_stays_the_best_is_said():
    falling = history(validation_accuracy=[0.62, 0.61, 0.6, 0.6, 0.59, 0.58, 0.58, 0.57])
    said = found(falling, best_epoch=0)["first_epoch_best"]
    for part in ("best of 8", "0.6200", "0.5700 in the last (1,000 validation pairs)", "--lr", "--seed"):
        assert part in said
    assert found(falling, best_epoch=1) == {}, "another one was"
    assert found(falling, best_epoch=0, pairs=199) == {}, "so few that luck decides"
    assert found(falling[:4], best_epoch=0) == {}, "four epochs are not yet a training"


def test_no_epochs_no_findings():
    assert found([]) == {}


def test_an_auc_that_stays_at_one_half_is_said_with_the_guides_remedies():
    sentence = found(history(validation_auc=[0.5, 0.51, 0.49, 0.5, 0.505, 0.5, 0.515, 0.5]))["auc_stuck"]
    assert "0.5150 in epochs 3 to 7 (1,000 validation pairs)" in sentence
    for remedy in ("1e-5 to 1e-4", "--lr", "labels are right", "--batch-size"):
        assert remedy in sentence


def test_four_epochs_say_nothing_about_being_stuck():
    assert found(history(4, train_auc=0.52, validation_auc=0.5, validation_correlation=0.0), best_epoch=3) == {}


def test_a_model_that_learnt_early_and_was_kept_is_not_stuck():
    assert "auc_stuck" not in found(history(validation_auc=[0.5, 0.61] + [0.51] * 6), best_epoch=1)
    assert "auc_stuck" in found(history(validation_auc=[0.5, 0.61] + [0.51] * 6), best_epoch=7)


def test_a_low_correlation_is_said_of_the_epoch_that_ships():
    records = history(validation_correlation=[0.3] * 7 + [0.042])
    sentence = found(records)["low_correlation"]
    assert "only 0.0420 at epoch 7" in sentence
    for remedy in ("noisy", "more channels", "another normalisation"):
        assert remedy in sentence
    assert "low_correlation" not in found(records, best_epoch=3)


@pytest.mark.parametrize("nothing", [None, math.nan])
def test_a_correlation_that_could_not_be_measured_is_not_low(nothing):
    assert found(history(validation_correlation=nothing)) == {}


def test_overfitting_is_said_with_both_figures():
    sentence = found(history(train_auc=0.81, validation_auc=0.62))["overfitting"]
    for part in (
        "0.8100",
        "0.6200",
        "dropout (the guide: 0.2 to 0.3)",
        "weight_decay (0.01 to 0.02)",
        "label_smoothing",
        "mixup_alpha",
    ):
        assert part in sentence


def test_epochs_that_do_not_ship_may_overfit():
    records = history(train_auc=[0.66, 0.68, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99])
    assert "overfitting" not in found(records, best_epoch=2)
    assert "overfitting" in found(records, best_epoch=4)


def test_few_validation_pairs_prove_nothing_about_auc_or_correlation():
    assert found(history(train_auc=0.9, validation_auc=0.5, validation_correlation=0.0), pairs=50) == {}


def test_a_loss_at_the_margin_is_a_collapse():
    collapsed = history(pair_loss=[0.1, 0.09, 0.08, 0.1, 0.1, 0.0995, 0.1005, 0.1], train_auc=0.5)
    assert "0.1000 against 0.1 in epochs 3 to 7" in found(collapsed, pairs=0)["loss_at_margin"]


def test_a_loss_at_the_margin_is_no_collapse_where_it_moves_or_ranks_or_is_another_loss():
    moving = history(pair_loss=[0.1, 0.1, 0.1, 0.1, 0.098, 0.1, 0.1, 0.1], train_auc=0.5)
    assert "loss_at_margin" not in found(moving)
    assert "loss_at_margin" not in found(history(pair_loss=0.0995, train_auc=0.64))
    assert "loss_at_margin" not in found(history(pair_loss=0.1, train_auc=0.5), margin=None)
    assert "loss_at_margin" not in found(history(4, pair_loss=0.1, train_auc=0.5), best_epoch=3)


def test_figures_that_are_not_numbers_are_no_findings():
    nan = math.nan
    assert found(history(pair_loss=nan, train_auc=nan, validation_auc=nan, validation_correlation=nan)) == {}
