"""Pictures of an evaluation, as PNG bytes small enough for a page and for Dagster's metadata."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from thumbrank_core.evaluation.evaluate import CEILING, MODEL, Evaluation, Slice
from thumbrank_core.evaluation.truth import TrueGrowth
from thumbrank_core.labels.growth import GrowthCurve
from thumbrank_core.model.bundle import EpochRecord

BLUE, GREY, GOLD = "#2f6fde", "#9aa4b2", "#c98b00"
METRIC = "pair_accuracy_micro"
WHITE = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}


def _figure(width: float, height: float) -> tuple[Any, Any]:
    # The object interface on purpose: pyplot keeps figures alive and picks a backend for the whole process.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _panels(count: int) -> tuple[Any, list[Any]]:
    """A figure of small panels, three in a row."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, columns = -(-count // 3), min(count, 3)
    figure = Figure(figsize=(2.6 * columns + 0.6, 2.2 * rows + 0.3), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    panels = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for panel in panels[count:]:
        panel.set_visible(False)
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
    return figure, panels[:count]


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def accuracy_bars(measured: Slice) -> bytes:
    """Every scorer's pair accuracy with its interval; the ceiling as a line."""
    scorers = [scored for name, scored in measured.scorers.items() if name != CEILING]
    figure, axes = _figure(7.2, 0.42 * len(scorers) + 1.1)
    for row, scored in enumerate(reversed(scorers)):
        found = scored.metrics[METRIC]
        colour = BLUE if scored.name == MODEL else GREY
        axes.barh(row, found.value - 0.5, left=0.5, color=colour, height=0.62)
        axes.plot([found.low, found.high], [row, row], color="#1c2430", linewidth=1.6)
        axes.text(max(found.high, found.value) + 0.004, row, f"{found.value:.3f}", va="center", fontsize=9, bbox=WHITE)
    axes.axvline(0.5, color="#1c2430", linewidth=0.8)
    if CEILING in measured.scorers:
        ceiling = measured.scorers[CEILING].metrics[METRIC].value
        axes.axvline(ceiling, color=GOLD, linestyle="--", linewidth=1.4)
        axes.text(
            ceiling, len(scorers) - 0.45, f"ceiling {ceiling:.3f}", color=GOLD, fontsize=9, ha="center", va="bottom"
        )
    axes.set_yticks(range(len(scorers)), [scored.name for scored in reversed(scorers)])
    low = min(0.47, *(scored.metrics[METRIC].low - 0.01 for scored in scorers))
    high = max(scored.metrics[METRIC].high for scored in measured.scorers.values())
    axes.set_xlim(low, high + 0.05)
    axes.set_xlabel(
        f"pair accuracy on {measured.n_pairs:,} pairs of {measured.n_channels} unseen channels, 95 % interval"
    )
    return _png(figure)


def learning_curve(history: list[EpochRecord], best_epoch: int) -> bytes:
    """Pair loss and validation accuracy by epoch; the epoch that was kept."""
    figure, axes = _figure(7.2, 2.9)
    epochs = [record.epoch for record in history]
    axes.plot(epochs, [record.validation_accuracy for record in history], color=BLUE, label="validation pair accuracy")
    axes.axvline(best_epoch, color=GOLD, linestyle="--", linewidth=1.2, label=f"kept: epoch {best_epoch}")
    axes.set_xlabel("epoch")
    axes.set_ylabel("pair accuracy", color=BLUE)
    loss = axes.twinx()
    loss.spines[["top"]].set_visible(False)
    loss.plot(epochs, [record.pair_loss for record in history], color=GREY, label="pair loss (training)")
    loss.set_ylabel("pair loss", color="#5c6675")
    handles = [*axes.get_legend_handles_labels()[0], *loss.get_legend_handles_labels()[0]]
    names = [*axes.get_legend_handles_labels()[1], *loss.get_legend_handles_labels()[1]]
    axes.legend(handles, names, fontsize=8, frameon=False, loc="lower right")
    return _png(figure)


def niche_bars(evaluation: Evaluation) -> bytes:
    """The model's pair accuracy in each niche beside the clock's."""
    slices = list(evaluation.per_niche.values())
    figure, axes = _figure(7.2, 0.5 * len(slices) + 1.2)
    for row, measured in enumerate(reversed(slices)):
        for offset, name, colour in ((0.17, MODEL, BLUE), (-0.17, "newer wins", GREY)):
            found = measured.scorers[name].metrics[METRIC]
            axes.plot([found.low, found.high], [row + offset] * 2, color=colour, linewidth=2)
            axes.plot(found.value, row + offset, "o", color=colour, label=name if row == 0 else None)
    axes.axvline(0.5, color="#1c2430", linewidth=0.8)
    labels = [f"{measured.niche}  (n={measured.n_pairs:,}, {measured.n_channels} ch.)" for measured in reversed(slices)]
    axes.set_yticks(range(len(slices)), labels)
    axes.set_ylim(-0.6, len(slices) - 0.4)
    axes.set_xlabel("pair accuracy, 95 % interval")
    axes.legend(fontsize=8, frameon=False, loc="best")
    return _png(figure)


GROWTH_AGES = (7.0, 14.0, 28.0, 56.0, 90.0)
"""Where curves are marked, days; the picture spans the first to the last."""


def growth_curves(curves: Mapping[str, GrowthCurve], truth: Mapping[str, TrueGrowth] | None = None) -> bytes:
    """How views grow with age in each niche, as multiples of the views at 28 days; a simulated world's own curve beside it."""
    figure, panels = _panels(len(curves))
    ages = np.geomspace(GROWTH_AGES[0], GROWTH_AGES[-1], 80)
    for panel, (niche, curve) in zip(panels, curves.items(), strict=True):
        at_28 = curve.at(np.array([28.0]))[0]
        panel.plot(ages, np.exp(curve.at(ages) - at_28), color=BLUE, label="fitted")
        if truth is not None and niche in truth:
            true = truth[niche]
            known = np.interp(np.log([*ages, 28.0]), np.log(true.days), true.log_growth)
            panel.plot(ages, np.exp(known[:-1] - known[-1]), color=GOLD, linestyle="--", label="true (simulated)")
        panel.set_xscale("log")
        panel.set_xticks(GROWTH_AGES, [f"{age:.0f}" for age in GROWTH_AGES])
        panel.minorticks_off()
        panel.set_title(f"{niche}: {curve.n_videos:,} videos, {curve.n_channels} channels", fontsize=8)
        panel.tick_params(labelsize=8)
    panels[0].legend(fontsize=8, frameon=False)
    figure.supxlabel("age, days", fontsize=9)
    figure.supylabel("views / views at 28 days", fontsize=9)
    return _png(figure)
