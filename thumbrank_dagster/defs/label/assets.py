"""Labels: which videos count, what is usual for a channel, and who beats whom. Derived tables, replaced per niche."""

import dagster as dg

from thumbrank_dagster.defs.collect.assets import thumbnail_images
from thumbrank_dagster.metadata import counts, one_sentence
from thumbrank_dagster.partitions import NICHE_PARTITIONS
from thumbrank_dagster.resources.state import StateResource

GROUP = "label"


@dg.asset(
    partitions_def=NICHE_PARTITIONS,
    deps=[thumbnail_images],
    group_name=GROUP,
    kinds={"postgres"},
    owners=["team:data"],
    code_version="1",
)
def channel_baselines(context: dg.AssetExecutionContext, state: StateResource) -> dg.MaterializeResult:
    """Which videos count, and what is usual for each channel of the niche.

    Marks `exclusion_reason` by the criteria of `config/policy.yaml` (nothing is deleted), freezes each new channel's split,
    and replaces the niche's baselines in one transaction.
    """
    from thumbrank_core.labels.baselines import replace_baselines
    from thumbrank_core.labels.criteria import mark_exclusions
    from thumbrank_core.labels.splits import assign_splits
    from thumbrank_core.policy import load_policy
    from thumbrank_core.store.versions import data_version

    niche = context.partition_key
    with one_sentence(), state.database.connection() as connection:
        assign_splits(connection)
        left_out = mark_exclusions(connection, niche, load_policy(profile=state.settings.profile).criteria)
        summary = replace_baselines(connection, niche)
        version = data_version(connection, "baselines", niche)
    return dg.MaterializeResult(
        metadata=counts(summary, niche=niche, criteria=left_out, **{"dagster/partition_row_count": summary.channels}),
        data_version=dg.DataVersion(version),
    )


@dg.asset(
    partitions_def=NICHE_PARTITIONS,
    deps=[channel_baselines],
    group_name=GROUP,
    kinds={"postgres"},
    owners=["team:data"],
    code_version="1",
    check_specs=[
        dg.AssetCheckSpec(
            "has_pairs", asset="training_pairs", blocking=True, description="The niche has pairs to learn from."
        ),
        dg.AssetCheckSpec(
            "balanced_orientation",
            asset="training_pairs",
            blocking=True,
            description="The order of a pair tells nothing: `a` wins half of them, within 5 standard errors.",
        ),
    ],
)
def training_pairs(context: dg.AssetExecutionContext, state: StateResource) -> dg.MaterializeResult:
    """Two videos of one channel, published within 30 days, and which has more views per hour.

    The margin is the guide's |a-b|/max(a,b). `newer_wins` in the metadata says how much of the label is only the clock.
    """
    from thumbrank_core.labels.pairs import replace_pairs
    from thumbrank_core.policy import load_policy
    from thumbrank_core.store.versions import data_version

    niche = context.partition_key
    with one_sentence(), state.database.connection() as connection:
        summary = replace_pairs(connection, niche, load_policy(profile=state.settings.profile).pairs)
        version = data_version(connection, "pairs", niche)
    spread = 5 * 0.5 / max(summary.pairs - summary.ties, 1) ** 0.5
    return dg.MaterializeResult(
        metadata=counts(summary, niche=niche, **{"dagster/partition_row_count": summary.pairs}),
        data_version=dg.DataVersion(version),
        check_results=[
            dg.AssetCheckResult(
                check_name="has_pairs", passed=summary.pairs > 0, metadata={"niche": niche, "pairs": summary.pairs}
            ),
            dg.AssetCheckResult(
                check_name="balanced_orientation",
                passed=summary.a_wins is None or abs(summary.a_wins - 0.5) <= spread,
                metadata={"niche": niche, "a_wins": summary.a_wins, "allowed": spread},
            ),
        ],
    )
