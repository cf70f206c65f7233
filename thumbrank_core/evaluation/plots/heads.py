"""The six sub-score heads: whether each follows its own signal, and whether they are more than copies of one another."""

import math

from thumbrank_core.evaluation.figures import SubScores
from thumbrank_core.evaluation.plots.canvas import BLUE, INK, png, sheet
from thumbrank_core.features.signals.definitions import SIGNALS


def sub_scores(found: SubScores) -> bytes:
    """Above, each head's rank correlation with its own weak signal; below, the heads' correlations with each other."""
    figure, (agreement, heat) = sheet(6.2, rows=2, gridspec_kw={"height_ratios": [2, 3.4]})
    rows = range(len(SIGNALS))
    known = [found.agreement.get(name) for name in SIGNALS]
    low = min([0.0, *(value for value in known if value is not None)])
    high = max([0.2, *(value for value in known if value is not None)])
    for row, (name, value) in enumerate(zip(SIGNALS, known, strict=True)):
        if value is not None:
            agreement.barh(row, value, color=BLUE, height=0.62)
        words = "no data" if value is None else f"{value:+.2f}  (n = {found.n.get(name, 0):,})"
        agreement.text(max(value or 0.0, 0.0) + 0.02 * (high - low), row, words, va="center", fontsize=9)
    agreement.axvline(0, color=INK, linewidth=0.8)
    agreement.set_yticks(rows, SIGNALS, fontsize=9)
    agreement.invert_yaxis()
    agreement.set_xlim(low - 0.02, high + 0.55 * (high - low))
    agreement.set_xlabel("Spearman with its own weak signal", fontsize=9)
    heat.imshow(found.correlation, vmin=-1, vmax=1, cmap="RdBu_r")
    for i in rows:
        for j in rows:
            value = float(found.correlation[i, j])
            colour = "white" if abs(value) > 0.6 else INK
            words = f"{value:.2f}" if math.isfinite(value) else "no data"
            heat.text(j, i, words, ha="center", va="center", fontsize=9, color=colour)
    heat.set_xticks(rows, SIGNALS, fontsize=9, rotation=35, ha="right", rotation_mode="anchor")
    heat.set_yticks(rows, SIGNALS, fontsize=9)
    heat.tick_params(length=0)
    heat.spines[:].set_visible(False)
    heat.set_title("Spearman of the heads with each other", fontsize=9)
    return png(figure)
