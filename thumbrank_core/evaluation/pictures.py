"""Which pictures an evaluation has, each with what is seen on it in words: one set for the page, Dagster and MLflow.

The words carry the picture's key figures, so that who cannot see it misses nothing but the look of it. How a picture is drawn is
plots/. No picture here shows a video: those stand between marks on the page (shown.py) and can be taken out again.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from thumbrank_core.evaluation.figures import MODEL, Calibration, Covered, EvaluatedPairs, Evaluation, Slice, SubScores
from thumbrank_core.evaluation.plots.calls import coverage_curve, reliability
from thumbrank_core.evaluation.plots.curves import growth_curves, learning_curve
from thumbrank_core.evaluation.plots.heads import sub_scores
from thumbrank_core.evaluation.plots.scorers import accuracy_bars
from thumbrank_core.evaluation.plots.slices import by_margin_and_age, forest
from thumbrank_core.evaluation.truth import Truth
from thumbrank_core.evaluation.wording import bounds, count, figure, number
from thumbrank_core.features.signals.definitions import SIGNALS
from thumbrank_core.labels.growth import GrowthCurve
from thumbrank_core.model.bundle import BundleCard, EpochRecord

METRIC, NEWER = "pair_accuracy_micro", "newer wins"


@dataclass(frozen=True)
class Plot:
    """A plot. `says`: what is seen on it, its text alternative. `note`: what to know before one looks."""

    title: str
    png: bytes
    says: str
    note: str


def pictures_of(
    evaluation: Evaluation,
    card: BundleCard,
    curves: Mapping[str, GrowthCurve] | None = None,
    truth: Truth | None = None,
) -> dict[str, Plot]:
    """The pictures by name, in the order of the page; what there are no figures for is left out.

    Args:
        evaluation: what was measured.
        card: the model's, for its training history.
        curves: the growth curve of each niche.
        truth: only of a simulated world.
    """
    found = {"against_references": _against_references(evaluation.unseen)}
    if card.history:
        found["learning_curve"] = _learning(card.history, card.best_epoch)
    if evaluation.calibration.bins:
        found["reliability"] = _reliability(evaluation.calibration)
    if any(part.by in ("margin", "age gap") for part in evaluation.proper_slices):
        found["margin_and_age_gap"] = _margin_and_age(evaluation.proper_slices)
    if evaluation.proper_slices:
        found["slices"] = _slices(evaluation.proper_slices)
    if evaluation.covered:
        found["coverage"] = _coverage(evaluation.covered)
    if evaluation.sub_scores is not None:
        found["sub_scores"] = _sub_scores(evaluation.sub_scores)
    if curves:
        found["growth"] = _growth(curves, truth)
    return found


def _against_references(unseen: EvaluatedPairs) -> Plot:
    listed = "; ".join(f"{scored.name} {figure(scored.metrics[METRIC])}" for scored in unseen.scorers.values())
    return Plot(
        "Against the reference models",
        accuracy_bars(unseen),
        f"Bars of pair accuracy with 95 % intervals on {count(unseen.n_pairs)} pairs of {unseen.n_channels} unseen channels, "
        f"from 0.5, a coin. {listed}.",
        "On channels it never saw. A reference model that reaches the model makes it superfluous.",
    )


def _learning(history: Sequence[EpochRecord], best_epoch: int) -> Plot:
    first, last = history[0], history[-1]
    kept = next((record for record in history if record.epoch == best_epoch), last)
    return Plot(
        "Learning curve",
        learning_curve(history, best_epoch),
        f"Lines over {len(history)} epochs. Validation pair accuracy: {number(first.validation_accuracy)} at epoch {first.epoch}, "
        f"{number(kept.validation_accuracy)} at epoch {kept.epoch}, which was kept, {number(last.validation_accuracy)} at epoch "
        f"{last.epoch}. Training pair loss: {number(first.pair_loss)} at first, {number(last.pair_loss)} at last.",
        "On validation channels, which chose the epoch and prove nothing.",
    )


def _reliability(calibration: Calibration) -> Plot:
    surest = calibration.bins[-1]
    return Plot(
        "Does P(a beats b) mean what it says?",
        reliability(calibration),
        f"Share of right calls over the model's confidence in {len(calibration.bins)} bins of equal size; on the diagonal is "
        f"perfect. Expected calibration error {figure(calibration.ece_before)} at temperature 1 and {figure(calibration.ece)} at "
        f"{calibration.temperature:.2f}, as shipped. Surest bin as shipped: confidence {number(surest.confidence)}, right "
        f"{number(surest.right)}, n = {count(surest.n_pairs)} pairs.",
        "The temperature was fitted on validation pairs.",
    )


def _margin_and_age(slices: Sequence[Slice]) -> Plot:
    said = [
        f"By {by}: " + "; ".join(_accuracies(part) for part in slices if part.by == by) + "."
        for by in ("margin", "age gap")
        if any(part.by == by for part in slices)
    ]
    return Plot(
        "By margin and by age gap",
        by_margin_and_age(slices),
        "Points of pair accuracy with 95 % intervals. " + " ".join(said),
        "Margin: |a - b| / max(a, b) of the label. A wide margin is easy; nothing was left out of the other figures for a "
        "small one.",
    )


def _slices(slices: Sequence[Slice]) -> Plot:
    ranked = sorted(_known(slices), key=lambda part: part.accuracy[MODEL].value)
    ends = (
        f" Lowest: {ranked[0].by} {_accuracies(ranked[0])}. Highest: {ranked[-1].by} {_accuracies(ranked[-1])}."
        if ranked
        else ""
    )
    return Plot(
        "In slices of the unseen channels",
        forest(slices),
        f"A line for each of {len(slices)} slices with the model's pair accuracy and its 95 % interval, and newer wins as a "
        f"grey dot.{ends} The table of slices below has every figure.",
        "Many slices are looked at: one in twenty intervals misses the truth by chance.",
    )


def _coverage(covered: Sequence[Covered]) -> Plot:
    parts = sorted(covered, key=lambda part: -part.share)
    listed = "; ".join(f"{part.share:.0%} {figure(part.accuracy)}, n = {count(part.n_pairs)}" for part in parts)
    return Plot(
        "If it may abstain",
        coverage_curve(covered),
        f"A line of pair accuracy over the share of pairs that the model answers, surest first: {listed}.",
        "What it gets where it answers only the pairs that it is surest of.",
    )


def _sub_scores(found: SubScores) -> Plot:
    agreement = "; ".join(
        f"{name} {_rank(found.agreement.get(name))} (n = {count(found.n.get(name, 0))})" for name in SIGNALS
    )
    apart = np.abs(np.where(np.eye(len(SIGNALS), dtype=bool), 0.0, np.nan_to_num(found.correlation)))
    i, j = sorted(int(k) for k in np.unravel_index(int(apart.argmax()), apart.shape))
    return Plot(
        "Sub-scores",
        sub_scores(found),
        f"Bars of each sub-score's rank correlation with its own weak signal: {agreement}. Below, a six by six heat map of the "
        f"heads' rank correlations with each other: the strongest is {SIGNALS[i]} with {SIGNALS[j]}, "
        f"{_rank(float(found.correlation[i, j]))}; the mean of their sizes is {number(found.mean_off_diagonal)}.",
        "Learnt from weak signals read off the pictures. They describe; nothing here says that they cause views.",
    )


def _growth(curves: Mapping[str, GrowthCurve], truth: Truth | None) -> Plot:
    ages = np.array([7.0, 28.0, 90.0])
    listed: list[str] = []
    for niche, curve in curves.items():
        young, middle, old = curve.at(ages)
        listed.append(f"{niche} {math.exp(young - middle):.2f} at 7 days and {math.exp(old - middle):.2f} at 90")
    beside = " A dashed line shows the simulated world's own growth." if truth else ""
    return Plot(
        "How views grow with age",
        growth_curves(curves, truth.growth if truth else None),
        f"A curve for each niche of the views at an age over those at 28 days: {'; '.join(listed)}.{beside}",
        "Taken out of the label, so that age is not the signal. Fitted inside training channels only.",
    )


def _accuracies(part: Slice) -> str:
    """A slice in words: what it is, the model's accuracy, its n, and the clock's accuracy."""
    clock = f", {NEWER} {number(part.accuracy[NEWER].value)}" if NEWER in part.accuracy else ""
    found = part.accuracy[MODEL]
    return f"{part.name}: {number(found.value)} ({bounds(found)}; n = {count(part.n_pairs)}){clock}"


def _known(slices: Iterable[Slice]) -> list[Slice]:
    return [part for part in slices if math.isfinite(part.accuracy[MODEL].value)]


def _rank(value: float | None) -> str:
    return f"{value:+.2f}" if value is not None and math.isfinite(value) else "no data"
