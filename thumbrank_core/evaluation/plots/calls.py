"""What a single call of the model is worth: whether its probability means what it says, and what abstaining gains."""

from collections.abc import Sequence

from thumbrank_core.evaluation.figures import Calibration, Covered
from thumbrank_core.evaluation.plots.canvas import BLUE, GREY, INK, png, sheet


def reliability(calibration: Calibration) -> bytes:
    """Share of right calls over confidence, before and after the temperature, with the diagonal that is perfect."""
    figure, (axes,) = sheet(3.9)
    axes.plot([0.5, 1.0], [0.5, 1.0], color=INK, linewidth=0.8, label="perfect")
    for bins, ece, words, colour, style in (
        (calibration.bins_before, calibration.ece_before, "at temperature 1", GREY, "s--"),
        (calibration.bins, calibration.ece, f"at {calibration.temperature:.2f}, as shipped", BLUE, "o-"),
    ):
        axes.plot(
            [part.confidence for part in bins],
            [part.right for part in bins],
            style,
            color=colour,
            markersize=4.5,
            linewidth=1.4,
            label=f"{words}: ECE {ece.value:.3f}",
        )
    seen = [(part.confidence, part.right) for part in (*calibration.bins_before, *calibration.bins)]
    axes.set_xlim(0.49, min(1.0, max((confidence for confidence, _ in seen), default=1.0) + 0.03))
    axes.set_ylim(
        min([0.47, *(right - 0.02 for _, right in seen)]),
        min(1.02, max((max(pair) for pair in seen), default=1.0) + 0.03),
    )
    axes.set_xlabel("confidence: P(the higher score beats the lower)")
    axes.set_ylabel("share of calls that are right")
    axes.legend(fontsize=9, frameon=False, loc="upper left")
    return png(figure)


def coverage_curve(covered: Sequence[Covered]) -> bytes:
    """Pair accuracy on the pairs that the model is surest of, over how many of them it answers."""
    figure, (axes,) = sheet(2.9)
    parts = sorted(covered, key=lambda part: part.share)
    shares = [100 * part.share for part in parts]
    axes.fill_between(
        shares,
        [part.accuracy.low for part in parts],
        [part.accuracy.high for part in parts],
        color=BLUE,
        alpha=0.18,
        linewidth=0,
        label="95 % interval",
    )
    axes.plot(shares, [part.accuracy.value for part in parts], "o-", color=BLUE, markersize=4, label="model")
    axes.axhline(0.5, color=INK, linewidth=0.8)
    axes.set_xlim(0, 102)
    axes.set_xlabel("pairs it answers, surest first, %")
    axes.set_ylabel("pair accuracy")
    axes.legend(fontsize=9, frameon=False, loc="best")
    return png(figure)
