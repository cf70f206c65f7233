"""What an evaluation found, as plain records: every figure with its n and its interval. How it is found is evaluate.py; what
is shown of it is report.py, what it is worth is gate.py.
"""

from dataclasses import dataclass, field

import numpy as np

from thumbrank_core.array_types import Floats
from thumbrank_core.bootstrap import FEW_CHANNELS, Interval
from thumbrank_core.evaluation.leak_alarm import LeakAlarm
from thumbrank_core.policy import LabelName
from thumbrank_core.training.dataset import Pairs

MODEL, CEILING, CHAMPION = "model", "ceiling", "champion"
"""Names of scorers that are no reference models."""

METRICS = (
    "pair_accuracy_micro",
    "pair_accuracy_macro",
    "pair_auc_pooled",
    "spearman_within_channel",
    "kendall_within_channel",
    "top_1_of_3",
    "regret_of_3",
)

DEFINITIONS = {
    "pair_accuracy_micro": "Share of pairs of one channel whose order is right, over all pairs; ties count one half.",
    "pair_accuracy_macro": "The same share, first within each channel, then averaged over channels.",
    "pair_auc_pooled": "ROC-AUC of the score difference over the pooled pairs, both orders present. Above accuracy for the same model.",
    "spearman_within_channel": "Spearman rank correlation of score and label within a channel, averaged over channels of 5 or more videos.",
    "kendall_within_channel": "Kendall's tau-b of score and label within a channel, averaged over channels of 5 or more videos.",
    "top_1_of_3": "Of three uploads of a channel in a row, how often the highest score has the highest label; a third is chance.",
    "regret_of_3": "Of three uploads in a row, the share of the best one's label that the highest score gives away. Less is better.",
    "brier": "Mean squared error of P(a beats b) against who won.",
    "ece": "Expected calibration error: how far the share of right calls lies from the confidence, over 15 bins of equal size, "
    "less what chance alone makes of it in each bin.",
}


@dataclass(frozen=True)
class Scored:
    """One scorer's figures on one set of pairs. `above_model` is scorer minus model in micro accuracy, paired."""

    name: str
    is_reference: bool
    metrics: dict[str, Interval]
    above_model: Interval


@dataclass(frozen=True)
class EvaluatedPairs:
    """A set of pairs and what every scorer gets on it. `effective_channels`: as many channels of equal size would tell as much."""

    name: str
    n_pairs: int
    n_channels: int
    effective_channels: float
    scorers: dict[str, Scored]


@dataclass(frozen=True)
class Slice:
    """Some of the unseen channels' pairs. `accuracy`: micro, by scorer, of those that a slice is looked at for (`LOOKED_AT`).

    `lead`: model minus champion, paired; None where there is no champion.
    """

    by: str
    name: str
    n_pairs: int
    n_channels: int
    accuracy: dict[str, Interval]
    lead: Interval | None


@dataclass(frozen=True)
class Bin:
    """Pairs of about one confidence: mean confidence and share of right calls."""

    confidence: float
    right: float
    n_pairs: int


@dataclass(frozen=True)
class Calibration:
    """Whether P(a beats b) means what it says, at temperature 1 (`before`) and at the bundle's."""

    temperature: float
    brier_before: Interval
    brier: Interval
    ece_before: Interval
    ece: Interval
    bins_before: list[Bin]
    bins: list[Bin]


@dataclass(frozen=True)
class Covered:
    """Micro accuracy where the model abstains on all but the `share` of pairs that it is surest of."""

    share: float
    accuracy: Interval
    n_pairs: int


@dataclass(frozen=True)
class OwnerFigures:
    """Scores against one owner's real click-through rates; that owner's alone, in memory only. `spearman`: weighted by
    impressions, of the videos that training did not see; None where they are too few."""

    owner_id: str
    n_videos: int
    spearman: float | None


@dataclass(frozen=True)
class AbSet:
    """A/B tests of several owners: the winner against each other variant of its test.

    `accuracy`: by scorer, the share of these pairs that it ranks right, ties one half.
    """

    name: str
    n_tests: int
    n_pairs: int
    n_channels: int
    accuracy: dict[str, Interval]


@dataclass(frozen=True)
class AbFigures:
    """What A/B tests say of the scorers. No verdict hangs on it.

    `n_tests`, `n_pairs`, `n_channels`: of the tests that are measured, `n_seen` of them of channels that the model learnt from;
    `n_ctr` of them decided by click rate. `n_same`: tests in which nothing won. `left_out`: tests with a winner that are not
    measured, by reason. `sets`: every test, and apart from one another those of unseen and of seen channels; none where it would
    be the figure of a single owner.
    """

    n_tests: int
    n_pairs: int
    n_channels: int
    n_seen: int
    n_ctr: int
    n_same: int
    left_out: dict[str, int]
    sets: list[AbSet]


@dataclass(frozen=True)
class SubScores:
    """The six heads on unseen channels, ordered as SIGNALS. `agreement`: Spearman of each with its own weak signal, None
    where fewer than three are known, over `n`; `correlation` (6, 6): Spearman of the heads with each other."""

    agreement: dict[str, float | None]
    n: dict[str, int]
    correlation: Floats

    @property
    def mean_off_diagonal(self) -> float:
        """Of the absolute correlations; near 1 the heads are copies of each other."""
        return float(np.abs(self.correlation[~np.eye(len(self.correlation), dtype=bool)]).mean())


@dataclass(frozen=True)
class AllPairs:
    """The pairs of every split together. `newer_wins` is the pair accuracy of the clock, which needs no training."""

    n_pairs: int
    n_channels: int
    newer_wins: Interval


@dataclass(frozen=True)
class Evaluation:
    """Everything measured of one model.

    `unseen`: test channels, all their pairs. `later`: test channels, both videos published after the time cut up to which
    the model was trained, and the champion, and after that of the data; what promotion is decided on. `seen_later`: training
    channels after it, a creator's own use.
    None where there is no pair. `slices` are of `unseen`, `later_slices` of `later`. `scores` (n,) by scorer, `test`: the pairs
    of `unseen`. `test_set`: a digest of the pairs of `later` and who won them. `ab`: None where no A/B test is stored.
    """

    label: LabelName
    all_pairs: AllPairs
    unseen: EvaluatedPairs
    later: EvaluatedPairs | None
    seen_later: EvaluatedPairs | None
    slices: list[Slice]
    calibration: Calibration
    covered: list[Covered]
    owners: list[OwnerFigures]
    sub_scores: SubScores | None
    leak: LeakAlarm
    scores: dict[str, Floats]
    test: Pairs
    test_set: str
    later_slices: list[Slice] = field(default_factory=list[Slice])
    ab: AbFigures | None = None

    @property
    def proper_slices(self) -> list[Slice]:
        """The slices that are less than `unseen`: one that holds all its pairs says what the whole says, and is not shown."""
        return [part for part in self.slices if part.n_pairs < self.unseen.n_pairs]

    @property
    def model(self) -> Scored:
        """The model's own figures on unseen channels."""
        return self.unseen.scorers[MODEL]

    @property
    def references(self) -> list[Scored]:
        """The reference models' figures on unseen channels, in their fixed order."""
        return [scored for scored in self.unseen.scorers.values() if scored.is_reference]

    @property
    def too_few_channels(self) -> bool:
        """Whether the intervals are known to be too narrow."""
        return self.unseen.n_channels < FEW_CHANNELS
