"""Labels: which videos count, what is usual for a channel, and who beats whom. Derived tables, replaced per niche."""

import dagster as dg

from thumbrank_dagster.defs.collect.assets import thumbnail_images
from thumbrank_dagster.defs.label.checks import PAIR_CHECKS, check_pairs
from thumbrank_dagster.failures import one_sentence
from thumbrank_dagster.metadata import counts, picture, table
from thumbrank_dagster.partitions import NICHE_PARTITIONS
from thumbrank_dagster.resources.state import StateResource

GROUP = "label"


@dg.asset(
    partitions_def=NICHE_PARTITIONS,
    deps=[thumbnail_images],
    group_name=GROUP,
    kinds={"postgres"},
    owners=["team:data"],
    tags={"layer": "derived", "reads": "postgres"},
    code_version="2",
)
def channel_baselines(context: dg.AssetExecutionContext, state: StateResource) -> dg.MaterializeResult:
    """Which of the niche's videos count, and what is usual for each of its channels.

    A video is good or bad only against its own channel, so that what is usual there has to be known first: the baseline, views
    per hour of the videos that count. Writes why a video does not count into `exclusion_reason`, by the criteria of
    `config/policy.yaml`, `niches.yaml` and `exclusions.yaml` (nothing is deleted), decides once and for ever whether a new
    channel is for training, validation or test, and replaces the niche's baselines, all in one transaction. `outliers` in the
    metadata says what the guide's rule of three standard deviations takes, or would take where it is off.
    """
    from thumbrank_core.evaluation.plots.stored import reason_bars
    from thumbrank_core.labels.baselines import replace_baselines
    from thumbrank_core.labels.build import judge, load_rules
    from thumbrank_core.labels.criteria import outlier_effect
    from thumbrank_core.store.overview import overview
    from thumbrank_core.store.versions import data_version

    niche = context.partition_key
    with one_sentence(), state.database.connection() as connection:
        rules = load_rules(niche, state.settings.profile)
        left_out = judge(connection, niche, rules)
        outliers = outlier_effect(connection, niche)
        summary = replace_baselines(connection, niche)
        version = data_version(connection, "baselines", niche)
        rows = overview(connection, "baselines", niche)
    is_on = rules.policy.criteria.outlier_sd is not None
    rule = "leaves out" if is_on else "is off and would leave out"
    context.log.info(
        f"{niche}: the guide's outlier rule {rule} {outliers.left_out:,} of {outliers.videos:,} videos, "
        f"{outliers.above:,} of them above their channel's mean."
    )
    return dg.MaterializeResult(
        metadata=counts(
            summary,
            niche=niche,
            criteria=left_out,
            outliers={
                "rule_is_on": is_on,
                "videos": outliers.videos,
                "left_out": outliers.left_out,
                "of_them_above_the_mean": outliers.above,
            },
            criteria_plot=picture(
                reason_bars(left_out, "videos"), "videos by the first criterion that leaves them out"
            ),
        )
        | table(rows),
        data_version=dg.DataVersion(version),
    )


@dg.asset(
    partitions_def=NICHE_PARTITIONS,
    deps=[channel_baselines],
    group_name=GROUP,
    kinds={"postgres"},
    owners=["team:data"],
    tags={"layer": "derived", "reads": "postgres"},
    code_version="2",
    check_specs=PAIR_CHECKS,
)
def training_pairs(context: dg.AssetExecutionContext, state: StateResource) -> dg.MaterializeResult:
    """What the model learns from: two videos of one channel, published close to one another, and which of them did better.

    "Better" is the label that `config/policy.yaml` names; by default views against what is usual at that age, because an older
    video has had longer to collect them. Fits how views grow with age in the niche (training channels only), labels every video
    that counts, leaves out pictures and re-uploads that would be in two splits at once, and replaces the niche's pairs in one
    transaction. The margin is the guide's |a-b| / max(a, b); `newer_wins` says how much of the label is only the clock (0.5: none).
    """
    from thumbrank_core.evaluation.plots.curves import growth_curves
    from thumbrank_core.labels.build import build_pairs, load_rules
    from thumbrank_core.store.overview import overview
    from thumbrank_core.store.versions import data_version

    niche = context.partition_key
    with one_sentence():
        rules = load_rules(niche, state.settings.profile)
        with state.database.connection() as connection:
            built = build_pairs(connection, niche, rules)
            version = data_version(connection, "pairs", niche)
            rows = overview(connection, "pairs", niche)
        with state.database.connection() as connection:
            results = check_pairs(connection, niche, rules.policy, built)
    curve = built.labels.curve
    return dg.MaterializeResult(
        metadata=counts(
            built.pairs,
            niche=niche,
            label=rules.policy.labels.label,
            labelled_videos=built.labels.videos,
            left_out=built.left_out,
            as_of=built.labels.as_of,
            growth_fitted_on={"videos": curve.n_videos, "channels": curve.n_channels},
            growth=picture(growth_curves({niche: curve}), "how views grow with age"),
        )
        | table(rows, built.pairs.pairs),
        data_version=dg.DataVersion(version),
        check_results=results,
    )
