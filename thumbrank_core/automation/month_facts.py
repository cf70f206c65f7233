"""What is known of a month, as plain records: digest.py gathers them, digest_text.py says them."""

from collections.abc import Mapping
from dataclasses import dataclass

from thumbrank_core.automation.months import TrainingMonth
from thumbrank_core.bootstrap import Interval
from thumbrank_core.evaluation.gate import Verdict

Measured = tuple[Interval, int, int]
"""A figure, and of how many pairs and channels."""


@dataclass(frozen=True)
class DriftFound:
    """A comparison of a niche's pictures with those of its run before (features/drift.py)."""

    drifted: bool
    ks: float
    p_value: float
    mean_shift: float
    pictures_then: int
    pictures_now: int


@dataclass(frozen=True)
class NicheMonth:
    """A niche in a month.

    `new_*`: seen for the first time, as far as the stored counts go back. `lost_*`: what could not be had any more, by reason.
    `pairs`: None: it has none yet. `drift`: None: nothing was compared. `waits`: what is not done yet; empty: nothing.
    """

    niche: str
    new_channels: int
    new_videos: int
    lost_channels: Mapping[str, int]
    lost_videos: Mapping[str, int]
    lost_pictures: Mapping[str, int]
    pictures_changed: int
    pairs: int | None
    channels: int
    drift: DriftFound | None
    waits: str


@dataclass(frozen=True)
class DeploymentDecision:
    """A promotion, refusal or rollback (promotion.py): `version` was asked for, `before` served."""

    kind: str
    version: int
    before: int | None
    why: str


@dataclass(frozen=True)
class Figure:
    """One metric of the challenger, and of the champion. `same_pairs`: both on the same pairs; else each on its own."""

    metric: str
    now: Measured
    then: Measured | None
    same_pairs: bool


@dataclass(frozen=True)
class MonthFacts:
    """A month. `removed`: action of retention -> videos and channels that went whole. `serving`: the champion at its end, or now.
    `challenger`: the version that `verdict` and `figures` are of. `units`: by bucket of the API."""

    month: str
    simulated: bool
    niches: tuple[NicheMonth, ...]
    removed: Mapping[str, tuple[int, int]]
    training: TrainingMonth | None
    decisions: tuple[DeploymentDecision, ...]
    serving: int | None
    challenger: int | None
    verdict: Verdict | None
    figures: tuple[Figure, ...]
    units: Mapping[str, int]
