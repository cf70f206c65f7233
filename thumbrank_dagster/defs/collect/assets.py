"""Collection: what the API says of a niche, and its pictures. Observed tables only; nothing is judged here."""

import dagster as dg
from pydantic import Field

from thumbrank_dagster.metadata import counts, one_sentence
from thumbrank_dagster.partitions import NICHE_PARTITIONS
from thumbrank_dagster.resources.state import StateResource
from thumbrank_dagster.resources.youtube import YouTubeResource

GROUP = "collect"


class CollectionConfig(dg.Config):
    """What one run of a collection may do."""

    budget: int | None = Field(
        default=None, ge=0, description="Units of the common API bucket to spend at most; empty: the forecast's upper."
    )


@dg.asset(
    partitions_def=NICHE_PARTITIONS,
    group_name=GROUP,
    kinds={"youtube", "postgres"},
    owners=["team:data"],
    code_version="1",
    pool="youtube_api",
    check_specs=[
        dg.AssetCheckSpec(
            "has_videos", asset="raw_videos", blocking=True, description="The niche holds videos with view counts."
        ),
        dg.AssetCheckSpec(
            "complete",
            asset="raw_videos",
            description="The collection is complete; a partial one says when it can go on, and the next run continues it.",
        ),
    ],
)
def raw_videos(
    context: dg.AssetExecutionContext, config: CollectionConfig, state: StateResource, youtube: YouTubeResource
) -> dg.MaterializeResult:
    """Channels, videos and view counts of a niche from the YouTube Data API.

    Discovers channels by the queries in `config/niches.yaml`, vets them, lists their uploads, reads every public video and
    appends a snapshot of its counts. It spends what the day's quota allows and stops there: then it is partial, says when it
    can go on, and the next run continues. Rows are upserted: running it again loses nothing.
    """
    from thumbrank_core.exclusions import load_exclusions
    from thumbrank_core.niches import load_niches
    from thumbrank_core.policy import load_policy
    from thumbrank_core.store.versions import data_version, stored_videos
    from thumbrank_core.youtube.collect import collect_niche

    niche = context.partition_key
    with one_sentence():
        collected = collect_niche(
            state.database,
            youtube.client(),
            niche,
            load_niches()[niche],
            load_policy(profile=state.settings.profile),
            youtube.source,
            load_exclusions(),
            budget=config.budget,
        )
        with state.database.connection() as connection:
            version, stored = data_version(connection, "videos", niche), stored_videos(connection, niche)
    return dg.MaterializeResult(
        metadata={"collection": collected.headline}
        | counts(
            collected,
            state=None,  # both are in the headline
            reason=None,
            niche=niche,
            **{"dagster/partition_row_count": stored.videos, "with_views": stored.with_views},
        ),
        data_version=dg.DataVersion(version),
        check_results=[
            dg.AssetCheckResult(
                check_name="has_videos",
                passed=stored.with_views > 0,
                metadata={"niche": niche, "with_views": stored.with_views},
            ),
            dg.AssetCheckResult(
                check_name="complete",
                passed=collected.state == "complete",
                severity=dg.AssetCheckSeverity.WARN,
                metadata={"niche": niche, "collection": collected.headline},
            ),
        ],
    )


@dg.asset(
    partitions_def=NICHE_PARTITIONS,
    deps=[raw_videos],
    group_name=GROUP,
    kinds={"python"},
    owners=["team:data"],
    code_version="1",
    check_specs=[
        dg.AssetCheckSpec(
            "coverage",
            asset="thumbnail_images",
            blocking=True,
            description="At least 90 % of the listed pictures are stored.",
        )
    ],
)
def thumbnail_images(context: dg.AssetExecutionContext, state: StateResource) -> dg.MaterializeResult:
    """The thumbnails themselves, content-addressed in THUMBRANK_IMAGES.

    Fetches what is listed and not stored yet, and again what was last seen long ago; a changed picture is a new version.
    A picture that cannot be had is a row in `misses` with its reason.
    """
    from thumbrank_core.exclusions import load_exclusions
    from thumbrank_core.policy import load_policy
    from thumbrank_core.store.versions import data_version, stored_pictures
    from thumbrank_core.youtube.pictures import fetch_pictures

    niche = context.partition_key
    with one_sentence():
        policy = load_policy(profile=state.settings.profile)
        fetched = fetch_pictures(state.database, state.images, niche, policy, load_exclusions())
        with state.database.connection() as connection:
            version, stored = data_version(connection, "pictures", niche), stored_pictures(connection, niche)
    coverage = stored.stored / stored.listed if stored.listed else 0.0
    return dg.MaterializeResult(
        metadata=counts(fetched, niche=niche, coverage=coverage, **{"dagster/partition_row_count": stored.stored}),
        data_version=dg.DataVersion(version),
        check_results=[
            dg.AssetCheckResult(
                check_name="coverage",
                passed=coverage >= 0.9,
                metadata={"niche": niche, "coverage": coverage, "listed": stored.listed, "misses": fetched.misses},
            )
        ],
    )
