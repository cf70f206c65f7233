"""The model in parts of the unseen channels: every part with its interval, the clock beside it."""

import math
import textwrap
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from thumbrank_core.evaluation.figures import MODEL, Slice
from thumbrank_core.evaluation.plots.canvas import BLUE, GREY, INK, png, sheet

NEWER = "newer wins"
CURVED = ("margin", "age gap")
"""Slices in an order of size, which read as a curve."""


def forest(slices: Sequence[Slice]) -> bytes:
    """One line a slice, grouped by what divides them: the model with its interval, the clock as a grey dot, and the n."""
    groups = [(by, list(members)) for by, members in groupby(slices, key=lambda part: part.by)]
    rows = len(slices) + len(groups)
    figure, (axes,) = sheet(0.235 * rows + 1.25)
    row, ticks, names = rows - 1, list[int](), list[str]()
    to_the_right: dict[str, Any] = {
        "transform": axes.get_yaxis_transform(),
        "va": "center",
        "fontsize": 8,
        "color": INK,
    }
    for by, members in groups:
        axes.text(-0.02, row, by, **(to_the_right | {"ha": "right", "fontsize": 9, "fontweight": "bold"}))
        row -= 1
        for part in members:
            _point(axes, row, part, first=not ticks)
            axes.text(1.02, row, f"{part.n_pairs:,} · {part.n_channels}", **to_the_right)
            ticks.append(row)
            names.append(part.name)
            row -= 1
    axes.text(1.02, rows - 0.1, "pairs · channels", **(to_the_right | {"va": "bottom"}))
    axes.axvline(0.5, color=INK, linewidth=0.8)
    axes.set_yticks(ticks, names, fontsize=8.5)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.7, rows - 0.2)
    axes.grid(axis="x", color="#e6eaef", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel("pair accuracy and 95 % interval")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", fontsize=9, frameon=False, ncols=2)
    return png(figure)


def niche_bars(slices: Sequence[Slice]) -> bytes:
    """The niches alone of a `forest`."""
    return forest([part for part in slices if part.by == "niche"])


def by_margin_and_age(slices: Sequence[Slice]) -> bytes:
    """Accuracy over classes of margin and of age gap, a panel each; a panel without slices is left out."""
    panels = [
        (by, members) for by in CURVED if (members := [part for part in slices if part.by == by and part.n_pairs > 0])
    ]
    figure, axes = sheet(2.35 * max(len(panels), 1) + 0.2, rows=max(len(panels), 1))
    for panel, (by, members) in zip(axes, panels, strict=False):
        places = range(len(members))
        for name, colour, style in ((MODEL, BLUE, "o-"), (NEWER, GREY, "o:")):
            known = [
                (place, part.accuracy[name])
                for place, part in zip(places, members, strict=True)
                if name in part.accuracy
            ]
            panel.plot(
                [x for x, _ in known], [y.value for _, y in known], style, color=colour, label=name, markersize=5
            )
            for x, y in known if name == MODEL else ():
                panel.plot([x, x], [y.low, y.high], color=colour, linewidth=1.8)
        panel.axhline(0.5, color=INK, linewidth=0.8)
        panel.set_xticks(places, [textwrap.fill(part.name, 10) for part in members], fontsize=8.5)
        panel.set_xlim(-0.4, len(members) - 0.6)
        panel.set_xlabel(by)
        panel.set_ylabel("pair accuracy")
    axes[0].legend(fontsize=9, frameon=False, loc="best")
    return png(figure)


def _point(axes: Any, row: int, part: Slice, *, first: bool) -> None:
    found = part.accuracy[MODEL]
    if math.isfinite(found.low) and math.isfinite(found.high):
        axes.plot([found.low, found.high], [row, row], color=BLUE, linewidth=1.8, zorder=2)
    axes.plot(found.value, row, "o", color=BLUE, markersize=5, zorder=3, label=MODEL if first else None)
    if NEWER in part.accuracy:
        clock = part.accuracy[NEWER].value
        axes.plot(clock, row, "o", color=GREY, markersize=4, zorder=1.9, label=NEWER if first else None)
