"""What must hold of a niche's pairs before anything is learnt from them, and what a team should know of them.

Blocking where going on would be wrong; a warning where the data are thin or old. What is asked is thumbrank_core/labels.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from thumbrank_dagster.metadata import figure

if TYPE_CHECKING:
    import psycopg

    from thumbrank_core.labels.build import Built
    from thumbrank_core.policy import Policy

ASSET = "training_pairs"
WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR

PAIR_CHECKS = [
    dg.AssetCheckSpec(
        "has_pairs",
        asset=ASSET,
        blocking=True,
        description="The niche has pairs to learn from. Where not: collect or import its videos first; `channel_baselines` counts why "
        "those that are stored do not count.",
    ),
    dg.AssetCheckSpec(
        "balanced_orientation",
        asset=ASSET,
        blocking=True,
        description="The order of a pair tells nothing: `a` wins half of them, within 5 standard errors.",
    ),
    dg.AssetCheckSpec(
        "no_leaks",
        asset=ASSET,
        blocking=True,
        description="No channel in a wrong split, no pair across channels, no left-out video, no picture or re-upload in two splits.",
    ),
    dg.AssetCheckSpec(
        "newer_wins",
        asset=ASSET,
        blocking=True,
        description="Age is not the signal: the newer video wins 45 to 55 % of the pairs. Warns below 50 channels, and for the "
        "guide's views per hour, which is a clock and known to be one.",
    ),
    dg.AssetCheckSpec(
        "guide_sizes", asset=ASSET, description="All niches together hold as much as the guide's tables ask for."
    ),
    dg.AssetCheckSpec(
        "label_reliability",
        asset=ASSET,
        description="A later count of the same two videos seldom changes the winner (under 10 % of the pairs).",
    ),
    dg.AssetCheckSpec("counts_are_fresh", asset=ASSET, description="YouTube was asked for counts in the last 35 days."),
]


def check_pairs(
    connection: "psycopg.Connection", niche: str, policy: "Policy", built: "Built"
) -> list[dg.AssetCheckResult]:
    """The results of PAIR_CHECKS, in their order."""
    summary = built.pairs
    spread = 5 * 0.5 / max(summary.pairs - summary.ties, 1) ** 0.5
    return [
        dg.AssetCheckResult(
            check_name="has_pairs", passed=summary.pairs > 0, metadata={"niche": niche, "pairs": summary.pairs}
        ),
        dg.AssetCheckResult(
            check_name="balanced_orientation",
            passed=summary.a_wins is None or abs(summary.a_wins - 0.5) <= spread,
            metadata={"niche": niche, "a_wins": figure(summary.a_wins), "allowed": figure(spread)},
        ),
        _no_leaks(connection, niche),
        _newer_wins(connection, niche, policy),
        _guide_sizes(connection, niche),
        _label_reliability(connection, niche, policy, built),
        _counts_are_fresh(connection, niche),
    ]


def _no_leaks(connection: "psycopg.Connection", niche: str) -> dg.AssetCheckResult:
    from thumbrank_core.labels.evidence import leaks

    found = leaks(connection, niche)
    return dg.AssetCheckResult(
        check_name="no_leaks",
        passed=found.total == 0,
        metadata={
            "niche": niche,
            "channels_in_a_wrong_split": found.wrong_split,
            "pairs_across_channels": found.across_channels,
            "pairs_of_left_out_videos": found.not_counted,
            "pictures_or_reuploads_in_two_splits": found.crossing_pictures,
        },
    )


def _newer_wins(connection: "psycopg.Connection", niche: str, policy: "Policy") -> dg.AssetCheckResult:
    from thumbrank_core.labels.evidence import CLOCK_LIMITS, clock

    found = clock(connection, niche)
    if found is None:
        return dg.AssetCheckResult(check_name="newer_wins", passed=True, metadata={"niche": niche, "says": "no pairs"})
    inside = CLOCK_LIMITS[0] <= found.accuracy.value <= CLOCK_LIMITS[1]
    known_clock = policy.labels.label == "views_per_hour"
    return dg.AssetCheckResult(
        check_name="newer_wins",
        passed=inside or not (found.rules or found.few_channels or known_clock),
        severity=ERROR if found.rules and not known_clock else WARN,
        metadata={
            "niche": niche,
            "label": policy.labels.label,
            "auc": figure(found.accuracy.value),
            "ci_low": figure(found.accuracy.low),
            "ci_high": figure(found.accuracy.high),
            "n_pairs": found.n_pairs,
            "n_channels": found.n_channels,
            "says": "the interval is too narrow below 50 channels" if found.few_channels else "0.5: age tells nothing",
        },
    )


def _guide_sizes(connection: "psycopg.Connection", niche: str) -> dg.AssetCheckResult:
    from thumbrank_core.labels.sizes import sizes

    found = sizes(connection)
    return dg.AssetCheckResult(
        check_name="guide_sizes",
        passed=not any(size.short for size in found),
        severity=WARN,
        metadata={"niche": niche, "all_niches": dg.MetadataValue.md("\n".join(f"- {size}" for size in found))},
    )


def _label_reliability(
    connection: "psycopg.Connection", niche: str, policy: "Policy", built: "Built"
) -> dg.AssetCheckResult:
    from thumbrank_core.labels.evidence import MOST_FLIPS, reliability

    found = reliability(connection, niche, policy.labels.label, built.labels.curve)
    old_enough = [flips for flips in found if flips.from_day >= policy.labels.min_age_days]
    pairs, flipped = sum(flips.pairs for flips in old_enough), sum(flips.flipped for flips in old_enough)
    table = "\n".join(
        f"| {flips.from_day:g} to {flips.to_day:g} | {flips.pairs:,} | {flips.flipped / flips.pairs:.1%} |"
        for flips in found
    )
    head = "| younger video's age when first counted, days | pairs | winner changed |\n|---|---|---|\n"
    return dg.AssetCheckResult(
        check_name="label_reliability",
        passed=flipped <= MOST_FLIPS * pairs,
        severity=WARN,
        metadata={
            "niche": niche,
            "pairs": pairs,
            "flipped": flipped,
            "by_age": dg.MetadataValue.md(head + table if found else "No data: no pair was counted twice."),
        },
    )


def _counts_are_fresh(connection: "psycopg.Connection", niche: str) -> dg.AssetCheckResult:
    from thumbrank_core.labels.evidence import staleness

    found = staleness(connection, niche, datetime.now(UTC))
    newest = (
        found.newest.isoformat(timespec="seconds")
        if found.newest
        else "no counts of YouTube's API: nothing to go stale"
    )
    return dg.AssetCheckResult(
        check_name="counts_are_fresh",
        passed=not found.stale,
        severity=WARN,
        metadata={"niche": niche, "newest_counts": newest, "days_old": found.age.days if found.age else 0},
    )
