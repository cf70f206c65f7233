"""Prominence: how large and how central the main subject is, whatever it is."""

import math
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from thumbrank_core.features.signals.working_picture import Rgb

Map = npt.NDArray[np.float32]

_WIDTH = 80
_BORDER = 3
"""Pixels of the small picture: what touches the border is taken for background."""
_NOISE = 10.0
"""Squared Lab units added to the border's covariance, so that a plain border is not infinitely sure of itself."""
_CENTRE = 10.0
"""The centre prior is exp(-_CENTRE * d²), d in picture sides: one half at a quarter of the width from the middle."""
_FLAT = 4.0
"""Lab units: a picture whose furthest colour is nearer to its border's than this has no subject."""


def main_region(rgb: Rgb) -> float | None:
    """Area of the main salient region, as a share of the picture, times its centring; in [0, 1].

    Saliency is how little a colour looks like the picture's border: the Mahalanobis distance in Lab (the backgroundness of
    Zhang et al., "Minimum Barrier Salient Object Detection at 80 FPS", ICCV 2015), times a Gaussian centre prior (Judd et
    al., ICCV 2009). Otsu's threshold (1979) cuts regions; the one with the most saliency is the main one. Centring is 1
    in the middle and 0 in a corner. None where nothing differs from the border.
    """
    distance, saliency = _saliency(rgb)
    if distance < _FLAT:
        return None
    levels = np.asarray(255 * saliency / saliency.max(), dtype=np.uint8)
    _, mask = cv2.threshold(levels, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    count, labels, stats, centres = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return None
    main = 1 + int(np.bincount(labels.ravel(), saliency.ravel(), count)[1:].argmax())
    height, width = saliency.shape
    x, y = (float(value) for value in centres[main])
    return float(stats[main, cv2.CC_STAT_AREA]) / saliency.size * centring((x + 0.5) / width, (y + 0.5) / height)


def centring(x: float, y: float) -> float:
    """How near (x, y), in shares of width and height, is to the middle: 1 there, 0 in a corner."""
    return 1 - math.hypot(x - 0.5, y - 0.5) / math.hypot(0.5, 0.5)


def _saliency(rgb: Rgb) -> tuple[float, Map]:
    """The furthest Lab distance from the border's mean colour, and the (45, 80) map for a 16:9 picture."""
    height = max(8, round(_WIDTH * rgb.shape[0] / rgb.shape[1]))
    small = cv2.resize(rgb, (_WIDTH, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    lab = cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_RGB2LAB), (0, 0), 1)
    edges = (lab[:_BORDER], lab[-_BORDER:], lab[:, :_BORDER], lab[:, -_BORDER:])
    border = np.concatenate([edge.reshape(-1, 3) for edge in edges])
    away = lab - border.mean(axis=0)
    inverse = np.linalg.inv(np.cov(border.T) + _NOISE * np.eye(3))
    unlike = np.sqrt(np.einsum("ijk,kl,ijl->ij", away, inverse, away))
    y, x = np.mgrid[0:height, 0:_WIDTH]
    squared = ((x + 0.5) / _WIDTH - 0.5) ** 2 + ((y + 0.5) / height - 0.5) ** 2
    saliency = cast(Map, (unlike * np.exp(-_CENTRE * squared)).astype(np.float32))
    return float(np.sqrt((away**2).sum(axis=2)).max()), saliency
