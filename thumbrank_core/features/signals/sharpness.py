"""Clarity: is the picture in focus? Nothing about how strong its contrast is."""

import math

import cv2
import numpy as np

from thumbrank_core.features.signals.working_picture import Grey

_SIGMA = 1.0
"""Pixels at 320 wide: takes out JPEG noise and the difference between one way of scaling down and another."""
_FLAT = 0.5
"""Mean squared gradient, in grey levels per pixel, below which there is no edge to judge."""


def edge_sharpness(grey: Grey) -> float | None:
    """log10 of the variance of the Laplacian over the mean squared gradient, both after a Gaussian of one pixel.

    The variance of the Laplacian is the focus measure of Pech-Pacheco et al. (ICPR 2000). By itself it grows with contrast
    and with the number of edges. Both cancel in the ratio, and the width of the edges is left: for an edge of width s
    the ratio goes with 1/s². Unit: log10 of 1/pixel² at 320 wide. None for a picture without edges.
    """
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), _SIGMA)
    across = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=0.125)
    down = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=0.125)
    gradient = float(np.mean(across * across + down * down))
    if gradient < _FLAT:
        return None
    return math.log10(max(float(np.var(cv2.Laplacian(smooth, cv2.CV_32F))) / gradient, 1e-6))
