"""How training went, and how views grow: lines over time."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from thumbrank_core.evaluation.plots.canvas import BLUE, GOLD, GREY, png, sheet

if TYPE_CHECKING:
    from thumbrank_core.evaluation.truth import TrueGrowth
    from thumbrank_core.labels.growth import GrowthCurve
    from thumbrank_core.model.bundle import EpochRecord

GROWTH_AGES = (7.0, 14.0, 28.0, 56.0, 90.0)
"""Where curves are marked, days; the picture spans the first to the last."""


def learning_curve(history: Sequence["EpochRecord"], best_epoch: int) -> bytes:
    """Pair loss and validation accuracy by epoch; the epoch that was kept."""
    figure, (axes,) = sheet(2.9)
    epochs = [record.epoch for record in history]
    style = "o-" if len(epochs) < 3 else "-"  # a line of one point is not seen
    axes.plot(
        epochs, [record.validation_accuracy for record in history], style, color=BLUE, label="validation pair accuracy"
    )
    axes.axvline(best_epoch, color=GOLD, linestyle="--", linewidth=1.2, label=f"kept: epoch {best_epoch}")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("epoch")
    axes.set_ylabel("pair accuracy", color=BLUE)
    loss = axes.twinx()
    loss.spines[["top"]].set_visible(False)
    loss.plot(epochs, [record.pair_loss for record in history], style, color=GREY, label="pair loss (training)")
    loss.set_ylabel("pair loss", color="#5c6675")
    handles, names = axes.get_legend_handles_labels()
    more_handles, more_names = loss.get_legend_handles_labels()
    figure.legend(
        [*handles, *more_handles], [*names, *more_names], fontsize=9, frameon=False, loc="outside upper center", ncols=2
    )
    return png(figure)


def growth_curves(curves: Mapping[str, "GrowthCurve"], truth: Mapping[str, "TrueGrowth"] | None = None) -> bytes:
    """How views grow with age in each niche, as multiples of the views at 28 days; a simulated world's own curve beside it."""
    columns = min(len(curves), 2)
    rows = -(-len(curves) // columns)
    figure, panels = sheet(1.75 * rows + (0.6 if rows > 1 else 1.2), rows, columns)
    for panel in panels[len(curves) :]:
        panel.set_visible(False)
    ages = np.geomspace(GROWTH_AGES[0], GROWTH_AGES[-1], 80)
    for panel, (niche, curve) in zip(panels, curves.items(), strict=False):
        at_28 = curve.at(np.array([28.0]))[0]
        panel.plot(ages, np.exp(curve.at(ages) - at_28), color=BLUE, label="fitted")
        if truth is not None and niche in truth:
            true = truth[niche]
            known = np.interp(np.log([*ages, 28.0]), np.log(true.days), true.log_growth)
            panel.plot(ages, np.exp(known[:-1] - known[-1]), color=GOLD, linestyle="--", label="true (simulated)")
        panel.set_xscale("log")
        panel.set_xticks(GROWTH_AGES, [f"{age:.0f}" for age in GROWTH_AGES])
        panel.minorticks_off()
        panel.set_title(f"{niche}\n{curve.n_videos:,} videos, {curve.n_channels} channels", fontsize=8.5)
        panel.tick_params(labelsize=8.5)
    panels[0].legend(fontsize=8.5, frameon=False)
    figure.supxlabel("age, days", fontsize=9)
    figure.supylabel("views / views at 28 days", fontsize=9)
    return png(figure)
