"""From a model's score to a click-through rate, for one owner at a time: two numbers fitted on that owner's real rates.

    logit(click-through rate) = intercept + slope * score

What belongs here: the fit, what it is worth, and the owner's private file beside the model. No function takes two owners:
their figures are never joined (YouTube's policy III.E.2.a), and a read-out is in no card, run, export or other file.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple, cast

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import t as student

from thumbrank_core.array_types import Floats
from thumbrank_core.errors import ThumbrankError
from thumbrank_core.store.owner_files import OwnerFiles, nameable
from thumbrank_core.training.owner_rates import OwnerRates

MIN_VIDEOS = 20
MIN_IMPRESSIONS = 20_000
MIN_CLICKS = 100
"""Fewer tell less than the owner's mean does."""
SLOPE_PRIOR = 1.0
"""Standard deviation of the Gaussian prior (the ridge) on the slope, in log-odds a standard deviation of score: keeps the slope
finite where a handful of videos would have it run away, and moves it by about a percent where it is known."""
FOLDS = 5
CONFIDENCE = 0.95
_STEPS, _ROUNDS, _STILL = 50, 100, 1e-10


class ReadOutError(ThumbrankError):
    """A read-out that cannot be used."""


class ReadOut(BaseModel):
    """One owner's read-out of one model.

    `covariance`: of (intercept, slope): both variances with the covariance between them. `spread`: how much videos of one
    score differ, as the intra-class correlation of clicks, 0 for none beyond chance. `log_loss` and `log_loss_of_mean`: in
    nats an impression, on videos left out of the fit (five folds), by the read-out and by the owner's mean rate; `gain_low`
    and `gain_high`: the 95 % interval of the second less the first.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    owner_id: str
    model: str
    """Fingerprint of the model whose scores it reads; another model's mean something else."""
    intercept: float
    slope: float
    covariance: tuple[float, float, float]
    spread: float
    n_videos: int
    impressions: int
    log_loss: float
    log_loss_of_mean: float
    gain_low: float
    gain_high: float

    @property
    def slope_interval(self) -> tuple[float, float]:
        """95 %."""
        reach = _quantile(self.n_videos) * self.covariance[2] ** 0.5
        return self.slope - reach, self.slope + reach

    @property
    def direction(self) -> Literal["with", "against", "unclear"]:
        """Whether clicks rise with the score, fall (the slope may be negative), or neither can be told."""
        low, high = self.slope_interval
        return "with" if low > 0 else "against" if high < 0 else "unclear"

    def sentence(self) -> str:
        """For people."""
        low, high = self.slope_interval
        says = {
            "with": "clicks rise with the score",
            "against": "clicks fall as the score rises: the model's order is not this owner's viewers'",
            "unclear": "whether clicks rise with the score cannot be told",
        }[self.direction]
        gain = self.log_loss_of_mean - self.log_loss
        return (
            f"{self.owner_id}: {says} (slope {self.slope:.3f}, 95 % {low:.3f} to {high:.3f}; {self.n_videos:,} videos, "
            f"{self.impressions:,} impressions; better than the owner's mean by {gain:.5f} nats an impression on videos left "
            f"out, 95 % {self.gain_low:.5f} to {self.gain_high:.5f})."
        )


def fit_read_out(scores: Floats, rates: OwnerRates, owner_id: str, model: str) -> ReadOut | str:
    """Fit one owner's read-out; or say in one sentence why there is none.

    By maximum likelihood of binomial clicks with a ridge on the slope, weighted by impressions as Williams (1982, Applied
    Statistics 31) weights them: n impressions count n / (1 + (n - 1) spread), with the spread at which Pearson's chi-square
    equals its degrees of freedom. Videos of one score differ by more than chance; by plain impressions, one video
    with a million of them would be the whole fit, and intervals would be far too narrow. Standard errors are from the Fisher
    information at those weights.

    Args:
        scores: (n,) of all items, by the model that ships.
        rates: the owner's, of those of the items that have any.
        owner_id: whose.
        model: the model's fingerprint.
    """
    score, rate, impressions = scores[rates.item], rates.click_rate, rates.impressions
    clicks = float(impressions @ rate)
    shown = float(impressions.sum())
    if len(score) < MIN_VIDEOS or shown < MIN_IMPRESSIONS:
        return (
            f"{owner_id} has {len(score):,} videos with {shown:,.0f} impressions, and a read-out of click-through rates "
            f"takes {MIN_VIDEOS} and {MIN_IMPRESSIONS:,}: read more days with `thumbrank reach sync` or import-studio."
        )
    if not MIN_CLICKS <= clicks <= shown - MIN_CLICKS:
        return (
            f"{owner_id} has {clicks:,.0f} clicks in {shown:,.0f} impressions, and a read-out takes {MIN_CLICKS} of both kinds: "
            "read more days with `thumbrank reach sync` or import-studio."
        )
    if float(score.std()) < _STILL:
        return f"The model gives all of {owner_id}'s {len(score):,} videos one score: there is nothing to read clicks from."
    fit = _fit(score, rate, impressions)
    gains, ours, of_mean = _held_out(score, rate, impressions)
    gain = of_mean - ours
    # Of a ratio of sums over videos.
    error = float(np.sqrt(np.sum((impressions * (gains - gain)) ** 2))) / shown
    reach = _quantile(len(score)) * error
    return ReadOut(
        owner_id=owner_id,
        model=model,
        intercept=fit.intercept,
        slope=fit.slope,
        covariance=fit.covariance,
        spread=fit.spread,
        n_videos=len(score),
        impressions=round(shown),
        log_loss=ours,
        log_loss_of_mean=of_mean,
        gain_low=gain - reach,
        gain_high=gain + reach,
    )


def write_read_outs(
    folder: Path,
    model: str,
    owners: Mapping[str, OwnerRates],
    scores: Floats,
) -> dict[str, ReadOut | str]:
    """Fit every owner's read-out, each alone, and put it in the owner's private file below the bundle's folder.

    An owner of whom there is none any more loses the file beside this model.

    Args:
        folder: the bundle's, `models/<name>`.
        model: the bundle's fingerprint.
        owners: the rates, by owner.
        scores: (n,) of all items, by the model that ships.

    Returns:
        By owner, the read-out or the sentence that says why there is none.
    """
    files = OwnerFiles(folder.parent)
    found: dict[str, ReadOut | str] = {}
    for owner_id, rates in sorted(owners.items()):
        found[owner_id] = (
            fit_read_out(scores, rates, owner_id, model)
            if nameable(owner_id)
            else f"'{owner_id[:60]}' is not the id of a channel of YouTube: there is no file for its read-out."
        )
    for owner_id in files.owners():
        if not isinstance(found.get(owner_id), ReadOut):
            files.path(folder.name, owner_id).unlink(missing_ok=True)
    for owner_id, read_out in found.items():
        if isinstance(read_out, ReadOut):
            files.write(folder.name, owner_id, read_out.model_dump_json(indent=2) + "\n")
    return found


def read_outs_of(files: OwnerFiles, owner_id: str) -> list[ReadOut]:
    """An owner's read-outs, one of each model that is on this machine.

    Raises:
        ReadOutError: a file is broken, or of another owner.
    """
    return [_loaded(path, owner_id) for path in files.of(owner_id)]


def _loaded(path: Path, owner_id: str) -> ReadOut:
    try:
        read_out = ReadOut.model_validate_json(path.read_bytes())
    except ValidationError:
        raise ReadOutError(f"{path} is not a read-out of this version: delete it and train again.") from None
    if read_out.owner_id != owner_id:
        raise ReadOutError(f"{path} is of another owner: delete it and train again.")
    return read_out


class _Fit(NamedTuple):
    intercept: float
    slope: float
    covariance: tuple[float, float, float]
    spread: float


def _quantile(n_videos: int) -> float:
    return float(student.ppf((1 + CONFIDENCE) / 2, n_videos - 2))


def _fit(score: Floats, rate: Floats, impressions: Floats) -> _Fit:
    """Alternate between the two numbers at given weights and the spread at given numbers, until both stand still."""
    centre, scale = float(score.mean()), float(score.std())
    design = np.column_stack([np.ones(len(score)), (score - centre) / scale])
    spread = 0.0
    found, covariance = _newton(design, rate, impressions)
    for _ in range(_ROUNDS):
        last, spread = spread, _spread(rate, expit(design @ found), impressions)
        if abs(spread - last) <= _STILL:
            break
        found, covariance = _newton(design, rate, impressions / (1 + (impressions - 1) * spread))
    # Back from standard scores.
    back = np.array([[1.0, -centre / scale], [0.0, 1 / scale]])
    found, covariance = back @ found, back @ covariance @ back.T
    return _Fit(
        float(found[0]),
        float(found[1]),
        (float(covariance[0, 0]), float(covariance[0, 1]), float(covariance[1, 1])),
        spread,
    )


def _newton(design: Floats, rate: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """The two numbers (2,) and their covariance (2, 2); the likelihood is concave, and half a step is always within reach."""
    ridge = np.array([0.0, 1 / SLOPE_PRIOR**2])

    def value(at: Floats) -> float:
        logit = design @ at
        return float(weight @ (rate * logit - np.logaddexp(0, logit)) - ridge @ at**2 / 2)

    mean = float(weight @ rate / weight.sum())
    at = np.array([np.log(mean / (1 - mean)), 0.0])
    information = np.diag(ridge)
    for _ in range(_STEPS):
        fitted = expit(design @ at)
        information = design.T @ (design * (weight * fitted * (1 - fitted))[:, None]) + np.diag(ridge)
        step = np.linalg.solve(information, design.T @ (weight * (rate - fitted)) - ridge * at)
        before = value(at)
        while value(at + step) < before and float(np.abs(step).max()) > _STILL:
            step = step / 2
        at = at + step
        if float(np.abs(step).max()) <= _STILL:
            break
    return at, np.linalg.inv(information)


def _spread(rate: Floats, fitted: Floats, impressions: Floats) -> float:
    squares = (rate - fitted) ** 2 / (fitted * (1 - fitted))
    freedom = len(rate) - 2

    def excess(spread: float) -> float:
        return float(np.sum(impressions / (1 + (impressions - 1) * spread) * squares)) - freedom

    if excess(0.0) <= 0:
        return 0.0
    return cast(float, brentq(excess, 0.0, 1.0)) if excess(1.0) < 0 else 1.0


def _held_out(score: Floats, rate: Floats, impressions: Floats) -> tuple[Floats, float, float]:
    """By video (k,), how much better than the owner's mean rate it is told by the others; and both log losses."""
    fold = np.arange(len(score)) % FOLDS
    ours, of_mean = np.empty(len(score)), np.empty(len(score))
    for index in range(FOLDS):
        rest, left = fold != index, fold == index
        fit = _fit(score[rest], rate[rest], impressions[rest])
        ours[left] = _log_loss(rate[left], expit(fit.intercept + fit.slope * score[left]))
        mean = float(impressions[rest] @ rate[rest] / impressions[rest].sum())
        of_mean[left] = _log_loss(rate[left], np.full(int(left.sum()), mean))
    shown = impressions.sum()
    return of_mean - ours, float(impressions @ ours / shown), float(impressions @ of_mean / shown)


def _log_loss(rate: Floats, told: Floats) -> Floats:
    return -(rate * np.log(told) + (1 - rate) * np.log1p(-told))
