"""Plots of an evaluation as small PNGs: one function a plot, one module a subject. What is seen on them in words, and which of
them a page has, is evaluation/pictures.py. matplotlib is imported when a plot is drawn.
"""

from thumbrank_core.evaluation.plots.calls import coverage_curve, reliability
from thumbrank_core.evaluation.plots.curves import growth_curves, learning_curve
from thumbrank_core.evaluation.plots.heads import sub_scores
from thumbrank_core.evaluation.plots.scorers import accuracy_bars
from thumbrank_core.evaluation.plots.slices import by_margin_and_age, forest, niche_bars

__all__ = [
    "accuracy_bars",
    "by_margin_and_age",
    "coverage_curve",
    "forest",
    "growth_curves",
    "learning_curve",
    "niche_bars",
    "reliability",
    "sub_scores",
]
