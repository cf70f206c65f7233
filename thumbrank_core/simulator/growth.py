"""How views grow with age: the true curve of each niche. Nothing of one video, and no clock."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Growth:
    """The share of its final views that a video has at some age: 1 - exp(-(age / days) ** power), below 1."""

    days: float
    """The age at which a video has 63 % of its final views."""
    power: float
    """The slope of log views over log age while a video is young."""

    def share(self, age_days: NDArray[np.float64]) -> NDArray[np.float64]:
        """The share at each age, in the shape of `age_days`; 0 at age 0."""
        return _share(age_days, self.days, self.power)

    def share_at(self, age_days: float) -> float:
        """The share at one age; the same without numpy, for what is asked once a video."""
        return -math.expm1(-math.pow(age_days / self.days, self.power))


_GROWTH = {
    "tech": Growth(50, 0.60),
    "gaming": Growth(20, 0.60),
    "education": Growth(180, 0.70),
    "entertainment": Growth(12, 0.55),
    "beauty": Growth(75, 0.65),
    "news": Growth(4, 0.60),
}
"""News is over within days, a lesson is found for years; their geometric means are 29 days and 0.61."""


def growth_of(niche: str) -> Growth:
    """The curve of a niche; KeyError where there is no such niche."""
    return _GROWTH[niche]


def shares(niches: Sequence[str], age_days: NDArray[np.float64]) -> NDArray[np.float64]:
    """(V,) or (V, T) shares of V videos of these niches at ages of that shape."""
    curves = [growth_of(niche) for niche in niches]
    column = (-1, *[1] * (age_days.ndim - 1))
    days, powers = (np.reshape([getattr(curve, name) for curve in curves], column) for name in ("days", "power"))
    return _share(age_days, days, powers)


def _share(
    age_days: NDArray[np.float64], days: float | NDArray[np.float64], power: float | NDArray[np.float64]
) -> NDArray[np.float64]:
    return -np.expm1(-np.power(age_days / days, power))
