"""Signs that a model is not learning, each as one sentence with its figures and the guide's remedies ("Common Issues").

What belongs here: judgements on a training history, pure. Who prints, logs or checks them is tracking/ and the orchestration.
A figure on validation pairs is judged only where there are enough of them, and a standstill only after some epochs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from thumbrank_core.model.bundle import EpochRecord

FEWEST_EPOCHS = 5
"""Fewer say nothing about standing still: a run that warms up looks the same."""
FEWEST_PAIRS = 200
"""The AUC of n independent pairs without any signal strays by 0.58 / sqrt(n), here 0.04: with fewer, luck alone could
bring a gap of 0.10, or hide an AUC of 0.60 behind one of 0.52."""

STUCK_AUC, LOW_CORRELATION, WIDE_GAP, AT_MARGIN = 0.52, 0.10, 0.10, 0.01
RANKS_ANYWAY = 0.55
"""A training AUC from which on a loss at the margin means small scores, not equal ones."""

FindingKind = Literal["auc_stuck", "low_correlation", "overfitting", "loss_at_margin", "first_epoch_best"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a run, in a sentence for people."""

    kind: FindingKind
    sentence: str


def diagnose(
    history: Sequence[EpochRecord], *, margin: float | None, best_epoch: int, n_validation_pairs: int
) -> tuple[Finding, ...]:
    """What a training history says against its model; () where nothing does, or where there is too little to tell.

    Args:
        history: All epochs, in order.
        margin: Of the hinge, in units of the score; None where another loss trained the pairs.
        best_epoch: The epoch whose weights ship; correlation and overfitting are judged there.
        n_validation_pairs: How many pairs the validation figures come from.
    """
    if not history:
        return ()
    shipped = next((record for record in history if record.epoch == best_epoch), history[-1])
    findings = [_loss_at_margin(history, margin)]
    if n_validation_pairs >= FEWEST_PAIRS:
        n = f"{n_validation_pairs:,} validation pairs"
        findings += [
            _auc_stuck(history, shipped, n),
            _low_correlation(history, shipped, n),
            _overfitting(shipped, n),
            _first_best(history, shipped, n),
        ]
    return tuple(finding for finding in findings if finding is not None)


def _auc_stuck(history: Sequence[EpochRecord], shipped: EpochRecord, n: str) -> Finding | None:
    """The last epochs, and the one that ships: a model that learnt early and was kept is not stuck."""
    last = history[-FEWEST_EPOCHS:]
    known = [record.validation_auc for record in [*last, shipped] if math.isfinite(record.validation_auc)]
    if len(history) < FEWEST_EPOCHS or not known or max(known) >= STUCK_AUC:
        return None
    rate = max(record.learning_rate for record in history)
    return Finding(
        "auc_stuck",
        f"The validation AUC is stuck at 0.5: at best {max(known):.4f} in epochs {last[0].epoch} to {last[-1].epoch} ({n}); "
        f"the learning rate was {rate:g}: try 1e-5 to 1e-4 (`thumbrank train --lr 5e-5`), verify that the labels are right "
        "(labels.label in config/policy.yaml), and take a larger batch (`--batch-size`).",
    )


def _low_correlation(history: Sequence[EpochRecord], shipped: EpochRecord, n: str) -> Finding | None:
    correlation = shipped.validation_correlation
    if len(history) < FEWEST_EPOCHS or correlation is None or not correlation < LOW_CORRELATION:
        return None
    return Finding(
        "low_correlation",
        f"The validation correlation is only {correlation:.4f} at epoch {shipped.epoch}, which ships (under {LOW_CORRELATION:g}; {n}): "
        "the engagement label may be noisy, so collect more channels, try another label (labels.label in config/policy.yaml), "
        "or another normalisation (recipe field norm).",
    )


def _overfitting(shipped: EpochRecord, n: str) -> Finding | None:
    gap = shipped.train_auc - shipped.validation_auc
    if not gap > WIDE_GAP:
        return None
    return Finding(
        "overfitting",
        f"The model overfits: at epoch {shipped.epoch}, which ships, the AUC is {shipped.train_auc:.4f} on training channels and "
        f"{shipped.validation_auc:.4f} on validation channels ({gap:.2f} apart; {n}); raise the recipe's dropout (the guide: 0.2 to 0.3) "
        "and weight_decay (0.01 to 0.02), turn on label_smoothing, soft_targets or mixup_alpha, or collect more channels.",
    )


def _first_best(history: Sequence[EpochRecord], shipped: EpochRecord, n: str) -> Finding | None:
    if len(history) < FEWEST_EPOCHS or shipped is not history[0] or history[0].epoch > 0:
        return None
    return Finding(
        "first_epoch_best",
        f"The first epoch is the best of {len(history)}, and ships: pair accuracy {shipped.validation_accuracy:.4f}, "
        f"{history[-1].validation_accuracy:.4f} in the last ({n}); what was learnt after it does not carry over to other channels, "
        f"so lower the learning rate (`thumbrank train --lr`; it was {max(record.learning_rate for record in history):g}), raise "
        "dropout, and see how far another `--seed` moves the result.",
    )


def _loss_at_margin(history: Sequence[EpochRecord], margin: float | None) -> Finding | None:
    """All scores equal. Tiny scores in the right order have the same loss, but their training AUC tells them apart."""
    last = history[-FEWEST_EPOCHS:]
    if not margin or len(last) < FEWEST_EPOCHS:
        return None
    collapsed = all(
        abs(record.pair_loss - margin) <= AT_MARGIN * margin and not record.train_auc >= RANKS_ANYWAY for record in last
    )
    if not collapsed:
        return None
    return Finding(
        "loss_at_margin",
        f"The pair loss is the margin itself: {last[-1].pair_loss:.4f} against {margin:g} in epochs {last[0].epoch} to "
        f"{last[-1].epoch}, so every thumbnail gets the same score; try a learning rate of 1e-5 to 1e-4 "
        "(`thumbrank train --lr 5e-5`) or a larger batch (`--batch-size`), verify that the labels are right (labels.label in "
        "config/policy.yaml), or train with the logistic loss, which has no margin (recipe field pair_loss).",
    )
