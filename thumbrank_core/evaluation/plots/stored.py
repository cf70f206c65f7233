"""What is stored of a niche, counted: before anything is learnt from it."""

from collections.abc import Mapping
from datetime import date

from thumbrank_core.evaluation.plots.canvas import BLUE, png, sheet

MOST_BARS = 14


def by_week(videos: Mapping[date, int]) -> bytes:
    """Videos over the week in which they were published; a gap is a week without any."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    figure, (axes,) = sheet(2.1)
    axes.bar(list(videos), list(videos.values()), width=6.0, color=BLUE)
    weeks = AutoDateLocator(minticks=3, maxticks=7)
    axes.xaxis.set_major_locator(weeks)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(weeks))
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("week of publication", fontsize=9)
    axes.set_ylabel("videos", fontsize=9)
    axes.tick_params(labelsize=8.5)
    return png(figure)


def reason_bars(counts: Mapping[str, int], unit: str) -> bytes:
    """How often each reason was given, most frequent first; what there is no room for is one bar."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown, rest = ordered[:MOST_BARS], ordered[MOST_BARS:]
    if rest:
        shown.append((f"{len(rest)} others", sum(count for _, count in rest)))
    figure, (axes,) = sheet(0.27 * len(shown) + 0.75)
    most = max((count for _, count in shown), default=0) or 1
    for row, (_, count) in enumerate(reversed(shown)):
        axes.barh(row, count, color=BLUE, height=0.62)
        axes.text(count + 0.01 * most, row, f"{count:,}", va="center", fontsize=8.5)
    axes.set_yticks(range(len(shown)), [name.replace("_", " ") for name, _ in reversed(shown)], fontsize=8.5)
    axes.set_xlim(0, 1.15 * most)
    axes.set_xlabel(unit, fontsize=9)
    axes.tick_params(axis="x", labelsize=8.5)
    return png(figure)
