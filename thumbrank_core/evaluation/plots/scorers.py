"""The model among other scorers on the same pairs."""

import math

from thumbrank_core.evaluation.figures import CEILING, CHAMPION, MODEL, EvaluatedPairs
from thumbrank_core.evaluation.plots.canvas import BLUE, GOLD, GREY, INK, PURPLE, WHITE, png, sheet

METRIC = "pair_accuracy_micro"
COLOURS = {MODEL: BLUE, CHAMPION: PURPLE}


def accuracy_bars(measured: EvaluatedPairs) -> bytes:
    """Every scorer's pair accuracy with its interval, the model and the champion first; the ceiling as a line."""
    shown = [scored for name, scored in measured.scorers.items() if name != CEILING]
    scorers = sorted(shown, key=lambda scored: [*COLOURS, scored.name].index(scored.name))
    figure, (axes,) = sheet(0.34 * len(scorers) + 1.15)
    bounds = [0.48, 0.52]
    for row, scored in enumerate(reversed(scorers)):
        found = scored.metrics[METRIC]
        axes.barh(row, found.value - 0.5, left=0.5, color=COLOURS.get(scored.name, GREY), height=0.62)
        axes.plot([found.low, found.high], [row, row], color=INK, linewidth=1.6)
        ends = [bound for bound in (found.value, found.low, found.high) if math.isfinite(bound)]
        axes.text(max(ends) + 0.004, row, f"{found.value:.3f}", va="center", fontsize=9, bbox=WHITE)
        bounds += ends
    axes.axvline(0.5, color=INK, linewidth=0.8)
    if CEILING in measured.scorers:
        ceiling = measured.scorers[CEILING].metrics[METRIC].value
        axes.axvline(ceiling, color=GOLD, linestyle="--", linewidth=1.4)
        axes.text(
            ceiling, len(scorers) - 0.45, f"ceiling {ceiling:.3f}", color=GOLD, fontsize=9, ha="center", va="bottom"
        )
        bounds.append(ceiling)
    axes.set_yticks(range(len(scorers)), [scored.name for scored in reversed(scorers)], fontsize=9)
    axes.set_ylim(-0.6, len(scorers) - 0.4)
    span = max(bounds) - min(bounds)
    axes.set_xlim(min(bounds) - 0.02 * span, max(bounds) + 0.2 * span)
    axes.set_xlabel(f"pair accuracy and 95 % interval\n{measured.n_pairs:,} pairs, {measured.n_channels} channels")
    return png(figure)
