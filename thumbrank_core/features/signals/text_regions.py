"""Hierarchy: the lines of text in a picture, how much of it they cover and how clearly their sizes differ."""

import math
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from thumbrank_core.features.signals.working_picture import Grey

_BLOCK = 41
"""Pixels at 320 wide: more than twice the widest stroke of a letter."""
_STEP = 12
"""Grey levels by which a letter differs from what surrounds it."""
_LOWEST, _HIGHEST = 6, 90
"""Pixels at 320 wide: the letters that are looked for."""
_LETTERS = 3
"""What makes a line: two alike things side by side are often none."""


@dataclass(frozen=True)
class Line:
    """A line of text: its box and the median height of its letters, in pixels at 320 wide."""

    x: int
    y: int
    right: int
    bottom: int
    letter_height: float


@dataclass(frozen=True)
class TextRegions:
    """What the lines of a picture add up to."""

    count: int
    area: float
    """Share of the picture within the lines' boxes."""
    spread: float
    """log2 of the tallest over the lowest line's letters; 0 for one line or none."""

    @property
    def hierarchy(self) -> float:
        """`area` x (1 + `spread`): much text, the more so where one line clearly leads. 0 where there is no text."""
        return self.area * (1 + self.spread)


def text_regions(grey: Grey) -> TextRegions:
    """Count, area and spread of sizes of the lines of text. A picture without text has 0 of all: that is an observation.

    Letters are connected regions, lighter or darker than their surroundings, with strokes of an even width; alike ones
    side by side make a line. After Epshtein, Ofek & Wexler, "Detecting Text in Natural Scenes with Stroke Width Transform"
    (CVPR 2010), with the stroke width taken from a distance transform (Chen et al., ICIP 2011).

    It misses words of two letters and letters that touch one another, and takes rows of alike things (a railing) and noise for text.
    """
    lines: list[Line] = []
    for kind, sign in ((cv2.THRESH_BINARY, -1), (cv2.THRESH_BINARY_INV, 1)):
        mask = cv2.adaptiveThreshold(grey, 1, cv2.ADAPTIVE_THRESH_MEAN_C, kind, _BLOCK, sign * _STEP)
        lines += [line for line in _lines(cast(Grey, mask), grey) if not any(_same(line, known) for known in lines)]
    if not lines:
        return TextRegions(0, 0.0, 0.0)
    covered = np.zeros(grey.shape, dtype=bool)
    for line in lines:
        covered[line.y : line.bottom, line.x : line.right] = True
    heights = [line.letter_height for line in lines]
    return TextRegions(len(lines), float(covered.mean()), math.log2(max(heights) / min(heights)))


def _lines(mask: npt.NDArray[np.uint8], grey: Grey) -> list[Line]:
    boxes, strokes, tones = _letters(mask, grey)
    if len(boxes) < _LETTERS:
        return []
    count, group = connected_components(csr_array(_beside(boxes, strokes, tones)), directed=False)
    found: list[Line] = []
    for number in np.flatnonzero(np.bincount(group, minlength=count) >= _LETTERS).tolist():
        of_line = boxes[group == number]
        x, y = of_line[:, :2].min(axis=0).tolist()
        right, bottom = (of_line[:, :2] + of_line[:, 2:]).max(axis=0).tolist()
        found.append(Line(x, y, right, bottom, float(np.median(of_line[:, 3]))))
    return found


def _letters(
    mask: npt.NDArray[np.uint8], grey: Grey
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Boxes (n, 4) of x, y, width, height; stroke widths (n,) in pixels; mean grey (n,) of what may be letters."""
    count, found_labels, found_stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    labels, stats = cast(npt.NDArray[np.int32], found_labels), cast(npt.NDArray[np.int32], found_stats)
    width, height, area = stats[:, 2], stats[:, 3], stats[:, 4]
    fill = area / (width * height)
    shaped = (height >= _LOWEST) & (height <= _HIGHEST) & (width < 1.8 * height) & (fill > 0.2) & (fill < 0.95)
    shaped[0] = False
    inked = np.flatnonzero(shaped[labels])  # most pixels belong to nothing of a letter's shape
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3).ravel()[inked]
    flat = labels.ravel()[inked]
    mean_depth = np.maximum(np.bincount(flat, depth, count) / area, 1e-6)
    squared = np.bincount(flat, depth * depth, count) / area
    # In a stroke of even width the depth is spread evenly from its edge to its middle; in a blob or a tangle it is not.
    uneven = np.sqrt(np.maximum(squared - mean_depth**2, 0)) / mean_depth
    stroke = 4 * mean_depth
    chosen = np.flatnonzero(shaped & (uneven < 0.6) & (stroke < 0.7 * height))
    tone = np.bincount(flat, grey.ravel()[inked], count)[chosen] / area[chosen]
    return stats[chosen, :4], stroke[chosen], tone


def _beside(
    boxes: npt.NDArray[np.int32], strokes: npt.NDArray[np.float64], tones: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    """(n, n): which letters stand next to each other and look alike in height, stroke and tone."""
    x, y, width, height = boxes.T.astype(np.float64)
    lower, taller = np.minimum.outer(height, height), np.maximum.outer(height, height)
    gap = np.maximum.outer(x, x) - np.minimum.outer(x + width, x + width)
    level = np.abs(np.subtract.outer(y + height / 2, y + height / 2))
    thicker, thinner = np.maximum.outer(strokes, strokes), np.minimum.outer(strokes, strokes)
    return (
        (taller < 1.5 * lower)
        & (gap < 0.7 * lower)
        & (gap > -0.4 * lower)
        & (level < 0.35 * lower)
        & (thicker < 1.8 * thinner)
        & (np.abs(np.subtract.outer(tones, tones)) < 40)
    )


def _same(one: Line, other: Line) -> bool:
    """Whether two boxes share more than half of the smaller: an outlined letter is found as light and as dark."""
    across = min(one.right, other.right) - max(one.x, other.x)
    down = min(one.bottom, other.bottom) - max(one.y, other.y)
    areas = [(line.right - line.x) * (line.bottom - line.y) for line in (one, other)]
    return across > 0 and down > 0 and across * down > 0.5 * min(areas)
