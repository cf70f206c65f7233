"""The gate: a pure function from an evaluation to a verdict with its reasons. It decides; registry.py carries it out."""

from dataclasses import dataclass
from typing import Literal

from thumbrank_core.bootstrap import FEW_CHANNELS, Interval
from thumbrank_core.evaluation.evaluate import Evaluation
from thumbrank_core.evaluation.references import LINEAR

Status = Literal["pass", "refused"]


@dataclass(frozen=True)
class Champion:
    """Who stands to be replaced. `lead` is candidate minus champion in micro pair accuracy, paired on the same pairs; None
    where the champion cannot score them. `lost_niches` are those that only the champion covers."""

    version: int
    lost_niches: tuple[str, ...]
    lead: Interval | None


@dataclass(frozen=True)
class Condition:
    """One thing the model must show, and whether it did."""

    name: str
    passed: bool
    says: str


@dataclass(frozen=True)
class Verdict:
    """Whether the model earned its deployment. `sentence` stands first in the report."""

    status: Status
    conditions: tuple[Condition, ...]
    sentence: str

    @property
    def refusals(self) -> list[str]:
        """What was not shown."""
        return [condition.says for condition in self.conditions if not condition.passed]


def decide(evaluation: Evaluation, champion: Champion | None = None) -> Verdict:
    """Decide on unseen test channels.

    Args:
        evaluation: the candidate's figures.
        champion: who stands to be replaced; None where there is none.
    """
    accuracy = evaluation.model.metrics["pair_accuracy_micro"]
    newer = evaluation.overall.scorers["newer wins"]
    conditions = [
        Condition(
            "enough channels",
            not evaluation.too_few_channels,
            f"{evaluation.overall.n_channels} test channels are too few: below {FEW_CHANNELS} the interval is too narrow to decide on.",
        ),
        Condition(
            "beats a coin",
            accuracy.low > 0.5,
            f"the lower bound of its pair accuracy is {accuracy.low:.3f}; 0.5 is a coin.",
        ),
        Condition(
            "beats the clock",
            newer.above_model.high < 0,
            f"`newer wins` is {_signed(newer.above_model)} against it, and the whole interval must lie below 0.",
        ),
    ]
    for name in LINEAR:
        gap = evaluation.overall.scorers[name].above_model
        conditions.append(
            Condition(f"not below {name}", gap.low <= 0, f"{name} is {_signed(gap)} against it, beyond the interval.")
        )
    if champion is not None:
        conditions += _against(champion)
    passed = all(condition.passed for condition in conditions)
    return Verdict("pass" if passed else "refused", tuple(conditions), _sentence(evaluation, conditions, passed=passed))


def _against(champion: Champion) -> list[Condition]:
    lead = champion.lead
    return [
        Condition(
            "covers the champion's niches",
            not champion.lost_niches,
            f"the champion (version {champion.version}) also covers {', '.join(champion.lost_niches) or 'nothing else'}.",
        ),
        Condition(
            "beats the champion",
            lead is not None and lead.low > 0,
            f"against the champion (version {champion.version}) it is "
            + (
                "not comparable: these pairs have no vectors of its encoders."
                if lead is None
                else f"{_signed(lead)}, and the whole interval must lie above 0."
            ),
        ),
    ]


def _sentence(evaluation: Evaluation, conditions: list[Condition], *, passed: bool) -> str:
    accuracy = evaluation.model.metrics["pair_accuracy_micro"]
    figure = (
        f"{accuracy.value:.1%} of {evaluation.overall.n_pairs:,} pairs ranked right in {evaluation.overall.n_channels} unseen "
        f"channels (95 % interval {accuracy.low:.1%} to {accuracy.high:.1%})"
    )
    if passed:
        return f"Earned its deployment: {figure}, above a coin and the clock, and not below any linear model."
    failed = [condition for condition in conditions if not condition.passed]
    return f"Not deployed: {figure}; {failed[0].says}"


def _signed(gap: Interval) -> str:
    return f"{gap.value:+.3f} ({gap.low:+.3f} to {gap.high:+.3f})"
