"""Contrast: how far light and dark lie apart."""

import numpy as np

from thumbrank_core.features.signals.working_picture import Grey


def rms_contrast(grey: Grey) -> float:
    """Standard deviation of the luma, 0 (one grey) to 0.5 (half black, half white).

    RMS contrast as Peli (J. Opt. Soc. Am. A 7, 1990) defines it, of the coded luma divided by 255.
    """
    return float(np.std(grey) / 255)
