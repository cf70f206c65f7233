"""What every plot shares: the sheet it is drawn on, its colours, and the way to a PNG."""

import io
from typing import Any

BLUE, GREY, GOLD, PURPLE, INK = "#2f6fde", "#8a94a3", "#a87400", "#6b3fb0", "#1c2430"
WHITE = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}

WIDTH, DPI = 4.8, 160
"""Narrow and fine: on a telephone the figures of a plot are still nine pixels high, and a wide page sets two side by side."""

COLOURS = 128
"""In a PNG: lines, letters and their soft edges need no more."""


def sheet(height: float, rows: int = 1, columns: int = 1, **grid: Any) -> tuple[Any, list[Any]]:
    """A figure of the common width, `height` inches high, and its axes row by row."""
    # The object interface on purpose: pyplot keeps figures alive and picks a backend for the whole process.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(rows, columns, squeeze=False, **grid).ravel())
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)
    return figure, axes


def png(figure: Any) -> bytes:
    """The figure as a PNG of few colours, a third the size: it lies in pages and in Dagster's database."""
    from PIL import Image

    figure.canvas.draw()
    size = figure.canvas.get_width_height()
    drawn = Image.frombuffer("RGBA", size, figure.canvas.buffer_rgba(), "raw", "RGBA", 0, 1)
    small = io.BytesIO()
    drawn.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(small, format="png", optimize=True)
    return small.getvalue()
