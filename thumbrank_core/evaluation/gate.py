"""The gate: a pure function from figures to a verdict with its reasons. It reads nothing and changes nothing.

What belongs here: what a model must show, and the sentences that say whether it did. The numbers are config/gate.yaml
(floors.py), the figures are evaluate.py's, and promotion.py carries the verdict out.

A figure is compared with a floor by its value, with another model by its interval. NaN, a figure that could not be had, never
passes. Nothing here is a figure of one owner: theirs are private, so their number alone is said.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter

from thumbrank_core.bootstrap import Interval
from thumbrank_core.evaluation.floors import Floors, Phase
from thumbrank_core.labels.sizes import NEEDS, Size, Unit

Status = Literal["pass", "refused"]
AGAIN = "run `thumbrank evaluate` or evaluation_report again"
SLACK = 0.01
"""How far a whole interval of a control may lie off one half: without it, one honest control in twenty would fail by chance."""


@dataclass(frozen=True)
class DataCounts:
    """What the model was made from, of all splits together. `ctr_videos`: videos with an owner's real click-through rate."""

    thumbnails: int
    channels: int
    pairs: int
    ctr_videos: int


@dataclass(frozen=True)
class GateInputs:
    """What the gate decides by.

    "Unseen" is the test channels. "Later" is their pairs whose videos were both published after the time cut, which the model
    was trained before. Accuracies are micro pair accuracies, ties one half; a difference is model minus the other, paired.

    Attributes:
        test_set: sha256, as hex, of the later pairs.
        n_channels: unseen ones; `n_channels_later` of them have later pairs; `n_pairs` are the unseen ones' pairs.
        above_newer: above "newer wins", unseen.
        above_ridge_later: above "ridge on both", later; None where there are no later pairs.
        above_linear: above each linear model, unseen, by its name.
        ece: expected calibration error of P(a beats b) after its temperature; None where it could not be measured.
        memoriser: accuracy of the ID memoriser on unseen channels, a control: it must not be off one half.
        shuffled: the model's own accuracy against labels shuffled within channels, a control as well.
        ctr_correlations: one rank correlation an owner; empty: none could be had.
        owners_unmeasured: owners whose rates are of too few unseen videos for one.
        unusable: why the bundle does not load and score in a process of its own; None: it does.
    """

    phase: Phase
    test_set: str
    n_channels: int
    n_channels_later: int
    n_pairs: int
    pair_accuracy_micro: Interval
    pair_auc_pooled: Interval
    spearman_within_channel: Interval
    above_newer: Interval
    above_ridge_later: Interval | None
    above_linear: Mapping[str, Interval]
    ece: Interval | None
    memoriser: Interval
    shuffled: Interval
    ctr_correlations: tuple[float, ...]
    owners_unmeasured: int
    data: DataCounts
    unusable: str | None


@dataclass(frozen=True)
class SliceLead:
    """Candidate minus champion in one slice of the later pairs that is not all of them, such as niche tech: `by` niche, `name`
    tech."""

    by: str
    name: str
    n_channels: int
    lead: Interval


@dataclass(frozen=True)
class Champion:
    """Who stands to be replaced.

    `lost_niches`: those that only the champion covers. `test_set`: the pairs that its lead was measured on. `lead`: candidate
    minus champion on the later pairs of the champion's niches; None where there are none, or the champion cannot score them:
    `mute` then says why.
    """

    version: int
    lost_niches: tuple[str, ...]
    test_set: str
    lead: Interval | None
    slices: tuple[SliceLead, ...]
    mute: str | None = None


@dataclass(frozen=True)
class Condition:
    """One thing the model must show, and whether it did. `says` is true either way; `value` and `floor` where it is one figure
    against one number."""

    name: str
    passed: bool
    says: str
    value: float | None = None
    floor: float | None = None


@dataclass(frozen=True)
class Verdict:
    """Whether the model earned its deployment. `sentence` stands first in the report.

    `against`: the champion it was measured against; None: there was none. `test_set`: on which later pairs. `minimums`: what
    the guide asks of the data beside what there is; nothing is refused by it.
    """

    status: Status
    conditions: tuple[Condition, ...]
    sentence: str
    against: int | None
    test_set: str
    minimums: tuple[Size, ...] = ()

    @property
    def refusals(self) -> list[str]:
        """What was not shown."""
        return [condition.says for condition in self.conditions if not condition.passed]

    def to_json(self) -> str:
        """All of it on one line; a figure that could not be had is null."""
        return _WHOLE.dump_json(self).decode()

    @staticmethod
    def from_json(text: str) -> "Verdict":
        """What `to_json` wrote."""
        return _WHOLE.validate_json(text)


_WHOLE = TypeAdapter(Verdict)


def decide(figures: GateInputs, floors: Floors, champion: Champion | None) -> Verdict:
    """Decide whether a model may serve: what it shows on unseen channels, and beside the champion on later pairs.

    Args:
        figures: the candidate's.
        floors: what the guide and we ask.
        champion: who stands to be replaced; None where there is none: then nothing is asked on later pairs.
    """
    conditions = [
        *_against_chance(figures, floors),
        *_floors(figures, floors),
        _calibrated(figures, floors),
        *_controls(figures),
        Condition(
            "loads in a clean process", figures.unusable is None, figures.unusable or "it loads and scores alone."
        ),
    ]
    if champion is not None:
        conditions += _against_champion(figures, floors, champion)
    passed = all(condition.passed for condition in conditions)
    return Verdict(
        "pass" if passed else "refused",
        tuple(conditions),
        _sentence(figures, champion, conditions, passed=passed),
        champion.version if champion is not None else None,
        figures.test_set,
        _minimums(figures),
    )


def staleness(against: int | None, champion: int | None) -> str | None:
    """Why a verdict no longer holds: the champion is another than the one it was measured against; None: it holds."""
    if against == champion:
        return None
    then, now = (f"version {number}" if number is not None else "none" for number in (against, champion))
    return f"The verdict is out of date: the champion was {then} and is {now} now; {AGAIN}."


def _against_chance(figures: GateInputs, floors: Floors) -> list[Condition]:
    accuracy, newer = figures.pair_accuracy_micro, figures.above_newer
    enough = figures.n_channels >= floors.channels
    return [
        Condition(
            "enough channels",
            enough,
            f"{figures.n_channels} unseen channels are enough: {floors.channels} are asked."
            if enough
            else f"{figures.n_channels} unseen channels are too few: below {floors.channels} the interval is too narrow to decide on.",
            figures.n_channels,
            floors.channels,
        ),
        Condition(
            "beats a coin",
            accuracy.low > 0.5,
            f"the lower bound of its pair accuracy is {accuracy.low:.3f}; 0.5 is a coin.",
            accuracy.low,
            0.5,
        ),
        Condition(
            "beats the clock",
            newer.low > 0,
            f"against `newer wins` it is {_signed(newer)}, and the whole interval must lie above 0.",
            newer.low,
            0.0,
        ),
        *(
            Condition(
                f"not below {name}",
                gap.high >= 0,
                f"against {name} it is {_signed(gap)}, and the whole interval must not lie below 0.",
                gap.high,
                0.0,
            )
            for name, gap in figures.above_linear.items()
        ),
    ]


def _floors(figures: GateInputs, floors: Floors) -> list[Condition]:
    asked = floors.of(figures.phase)
    return [
        _floor("pair_auc_pooled", figures.pair_auc_pooled, asked.pair_auc_pooled, figures.phase),
        _floor(
            "spearman_within_channel", figures.spearman_within_channel, asked.spearman_within_channel, figures.phase
        ),
        _click_through(figures, asked.ctr_rank_correlation),
    ]


def _floor(name: str, found: Interval, floor: float, phase: Phase) -> Condition:
    says = f"{name} is {_between(found)}; phase {phase} asks {floor:g}."
    return Condition(f"reaches {name}", found.value >= floor, says, found.value, floor)


def _click_through(figures: GateInputs, floor: float) -> Condition:
    name = "reaches ctr_rank_correlation"
    if not figures.ctr_correlations:
        passed = figures.phase == 1
        rest = "phase 1 does without." if passed else f"phase {figures.phase} asks {floor:g} of every owner."
        there = (
            "those that are there are of too few unseen videos" if figures.owners_unmeasured else "no owner's are there"
        )
        return Condition(name, passed, f"no data on click-through rates: {there}, and {rest}", floor=floor)
    # No count of owners that reach it: one such sentence would be a figure over several owners, or the only one's.
    passed = all(correlation >= floor for correlation in figures.ctr_correlations)
    says = f"the score's rank correlation with real click-through rates must reach {floor:g} for every owner that it could be had of"
    return Condition(name, passed, f"{says}, and it {'does' if passed else 'does not'}.", floor=floor)


def _calibrated(figures: GateInputs, floors: Floors) -> Condition:
    name = "calibrated"
    if figures.ece is None:
        return Condition(name, False, "its calibration could not be measured.", floor=floors.ece)
    says = f"its calibration error (ECE) after the temperature is {_between(figures.ece)}; {floors.ece:g} is the most."
    return Condition(name, figures.ece.value <= floors.ece, says, figures.ece.value, floors.ece)


def _controls(figures: GateInputs) -> list[Condition]:
    return [
        _control(
            "memoriser finds nothing", "the ID memoriser", figures.memoriser, "something of unseen channels leaks."
        ),
        _control(
            "shuffled labels teach nothing",
            "the model against shuffled labels",
            figures.shuffled,
            "the measure is off.",
        ),
    ]


def _control(name: str, who: str, found: Interval, otherwise: str) -> Condition:
    passed = found.low <= 0.5 + SLACK and found.high >= 0.5 - SLACK
    says = f"{who} gets {_between(found)} on unseen channels, and it must hold 0.5, give or take {SLACK:g}"
    return Condition(name, passed, says + ("." if passed else f": {otherwise}"), found.value, 0.5)


def _against_champion(figures: GateInputs, floors: Floors, champion: Champion) -> list[Condition]:
    same = champion.test_set == figures.test_set
    return [
        Condition(
            "same test set",
            same,
            f"the champion (version {champion.version}) was measured on "
            + (
                "the same later pairs."
                if same
                else f"other later pairs, so the two cannot be compared ({champion.mute or 'the pairs changed meanwhile'}): {AGAIN}."
            ),
        ),
        Condition(
            "enough later channels",
            figures.n_channels_later >= floors.channels,
            f"{figures.n_channels_later} unseen channels have later pairs; {floors.channels} are asked to decide on.",
            figures.n_channels_later,
            floors.channels,
        ),
        Condition(
            "covers the champion's niches",
            not champion.lost_niches,
            f"the champion (version {champion.version}) also covers {', '.join(champion.lost_niches)}."
            if champion.lost_niches
            else f"it learnt every niche of the champion (version {champion.version}).",
        ),
        _above(
            "beats the champion",
            f"the champion (version {champion.version})",
            champion.lead,
            figures,
            champion.mute or "these pairs have no vectors of its encoders",
        ),
        _above(
            "beats ridge on both, later", "ridge on both", figures.above_ridge_later, figures, "it was not measured"
        ),
        _no_slice_lost(floors, champion),
    ]


def _above(name: str, whom: str, lead: Interval | None, figures: GateInputs, otherwise: str) -> Condition:
    if lead is None:
        reason = otherwise if figures.n_channels_later else "there are no pairs later than its training"
        return Condition(name, False, f"against {whom} it is not comparable: {reason}.", floor=0.0)
    says = (
        f"against {whom} it is {_signed(lead)} on the later pairs of {figures.n_channels_later} channels, and the whole "
        "interval must lie above 0."
    )
    return Condition(name, lead.low > 0, says, lead.low, 0.0)


def _no_slice_lost(floors: Floors, champion: Champion) -> Condition:
    name = "no slice lost"
    looked_at = [part for part in champion.slices if part.n_channels >= floors.slice_channels]
    lost = [part for part in looked_at if part.lead.value < -floors.slice_loss and part.lead.high < 0]
    asked = f"{floors.slice_loss * 100:g} points"
    if not lost:
        says = f"none of {len(looked_at)} slices of {floors.slice_channels} channels or more lost over {asked} beyond its interval."
        return Condition(name, True, says)
    which = "; ".join(f"{part.by} ({part.name}) {_signed(part.lead)}, {part.n_channels} channels" for part in lost)
    says = f"against the champion (version {champion.version}) it lost over {asked} in {which}."
    worst = min(part.lead.value for part in lost)
    return Condition(name, False, says, worst, -floors.slice_loss)


def _minimums(figures: GateInputs) -> tuple[Size, ...]:
    have: dict[Unit, int] = {
        "thumbnails": figures.data.thumbnails,
        "channels": figures.data.channels,
        "pairs": figures.data.pairs,
        "videos with real CTR": figures.data.ctr_videos,
    }
    stages = ("minimum" if figures.phase == 1 else "recommended", f"phase {figures.phase}")
    return tuple(Size(need, have[need.unit]) for need in NEEDS if need.stage in stages)


def _sentence(figures: GateInputs, champion: Champion | None, conditions: Sequence[Condition], *, passed: bool) -> str:
    accuracy = figures.pair_accuracy_micro
    interval = (
        f"95 % interval {accuracy.low:.1%} to {accuracy.high:.1%}"
        if math.isfinite(accuracy.low)
        else "no interval of so few channels"
    )
    figure = f"{accuracy.value:.1%} of {figures.n_pairs:,} pairs ranked right in {figures.n_channels} unseen channels ({interval})"
    if not passed:
        failed = [condition for condition in conditions if not condition.passed]
        return f"Not deployed: {figure}; {failed[0].says}"
    better = "" if champion is None else f", and better than the champion (version {champion.version}) on later pairs"
    return f"Earned its deployment: {figure}, above a coin and the clock, and not below any linear model{better}."


def _signed(gap: Interval) -> str:
    return f"{gap.value:+.3f} ({gap.low:+.3f} to {gap.high:+.3f})"


def _between(found: Interval) -> str:
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
