"""How views grow with age in a niche: the curve that takes the clock out of a label.

ln(1 + views) = its channel's level + g(age) + the rest, by least squares inside training channels: a channel's level drops
out by taking its means away. g is straight in ln(age) between the knots and never falls, as counts do not. One snapshot a
video cannot tell growth with age from a channel whose newer uploads do better or worse; over many channels such trends
cancel unless the whole niche rises or falls.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from thumbrank_core.array_types import Floats

KNOTS_DAYS = (0.125, 0.5, 1.0, 2.0, 4.0, 7.0, 14.0, 28.0, 56.0, 112.0, 224.0, 448.0, 1500.0)

PRIOR_SLOPE = 0.35
PRIOR_VIDEOS = 20.0
"""What the curve is without data: views grow as age^0.35, worth 20 videos in each segment. Thousands of videos drown it; a
niche of a few dozen does not follow its noise. Published growth exponents lie between 0.2 and 0.6."""

SMOOTH_VIDEOS = 500.0
"""How much the slopes of two neighbouring segments want to be equal, in videos. On simulated niches of a thousand videos any
value from 200 to 5,000 takes the curve's error from 0.053 to 0.032-0.035 in ln(views)."""

SURE_DECIMALS = 8
"""Of what is a sum over videos. Doubles differ in the fifteenth, so that two orders hardly ever fall to two sides of a half."""


@dataclass(frozen=True)
class GrowthCurve:
    """g at the knots. `log_growth`: (K,) ln(1 + views) gained since the first knot, never falling.

    `residual_sd`: standard deviation of ln(1 + views) inside channels that age does not explain; `level`: mean over
    training channels of ln(1 + views) - g, 0 without any.
    """

    knots_days: Floats
    log_growth: Floats
    residual_sd: float
    level: float
    n_videos: int
    n_channels: int

    def at(self, age_days: Floats) -> Floats:
        """g(age), the shape of `age_days`; beyond the first and last knot it stays as it is there."""
        return np.interp(_log_age(age_days), np.log(self.knots_days), self.log_growth)


@dataclass
class GrowthFit:
    """Sums over training channels from which the curve follows: their size does not depend on how many videos there are.

    `add` takes whole channels; a channel of one video tells nothing about growth and is left out.
    """

    _normal: Floats = field(default_factory=lambda: np.zeros((len(KNOTS_DAYS) - 1, len(KNOTS_DAYS) - 1)))
    _moment: Floats = field(default_factory=lambda: np.zeros(len(KNOTS_DAYS) - 1))
    _ramps: Floats = field(default_factory=lambda: np.zeros(len(KNOTS_DAYS) - 1))
    _square: float = 0.0
    _level: float = 0.0
    _videos: int = 0
    _channels: int = 0

    def add(self, views: npt.NDArray[np.int64], age_days: Floats, channel: npt.NDArray[np.int32]) -> None:
        """Take in some channels, whole; (n,) each, the videos of a channel side by side."""
        if len(views) == 0:
            return
        starts = np.flatnonzero(np.diff(channel, prepend=channel[0] - 1))
        sizes = np.diff(np.append(starts, len(channel)))
        several = np.repeat(sizes > 1, sizes)
        if not several.any():
            return
        y, x, sizes = np.log1p(views[several]), _basis(age_days[several]), sizes[sizes > 1]
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        y_mean = np.add.reduceat(y, starts) / sizes
        x_mean = np.add.reduceat(x, starts, axis=0) / sizes[:, None]
        y, x = y - np.repeat(y_mean, sizes), x - np.repeat(x_mean, sizes, axis=0)
        self._normal += x.T @ x
        self._moment += x.T @ y
        self._square += float(y @ y)
        self._level += float(y_mean.sum())
        self._ramps += x_mean.sum(axis=0)
        self._videos += len(y)
        self._channels += len(sizes)

    def curve(self) -> GrowthCurve:
        """The least-squares curve of what was added, with the prior; the prior alone where nothing was."""
        from scipy.optimize import nnls  # here: half a second, which who only counts videos need not wait for

        widths = np.diff(np.log(KNOTS_DAYS))
        prior = PRIOR_SLOPE * widths
        # Worth PRIOR_VIDEOS videos spread evenly over one segment, whose ramp has a variance of 1/12.
        strength = PRIOR_VIDEOS / 12
        bends = np.diff(np.eye(len(prior)), axis=0) / widths
        normal = self._normal + strength * np.eye(len(prior)) + SMOOTH_VIDEOS / 12 * bends.T @ bends
        moment = self._moment + strength * prior
        # |Lb - z| with LL' = normal and Lz = moment has the same minimum as the regression itself.
        lower = np.linalg.cholesky(normal)
        rises = np.asarray(nnls(lower.T, np.linalg.solve(lower, moment))[0], dtype=np.float64)
        freedom = max(self._videos - self._channels - int((rises > 0).sum()), 1)
        # Sums are taken in the order in which videos arrived, and sixteen requests at once never arrive alike: their last digits
        # are no part of the result, or the same data would make another model on another day.
        rises = np.round(rises, SURE_DECIMALS)
        rest = self._square - 2 * rises @ self._moment + rises @ self._normal @ rises
        level = (self._level - float(self._ramps @ rises)) / max(self._channels, 1)
        return GrowthCurve(
            knots_days=np.array(KNOTS_DAYS),
            log_growth=np.concatenate([[0.0], np.cumsum(rises)]),
            residual_sd=round(float(np.sqrt(max(rest, 0.0) / freedom)), SURE_DECIMALS),
            level=round(level, SURE_DECIMALS),
            n_videos=self._videos,
            n_channels=self._channels,
        )


def _log_age(age_days: Floats) -> Floats:
    return np.log(np.maximum(age_days, KNOTS_DAYS[0]))


def _basis(age_days: Floats) -> Floats:
    """(n, K-1): how much of each segment lies behind a video of that age, 0..1."""
    knots = np.log(KNOTS_DAYS)
    return np.clip((_log_age(age_days)[:, None] - knots[:-1]) / np.diff(knots), 0.0, 1.0)
