"""Collection: what the API says of a niche, and its pictures. Observed tables only; nothing is judged here."""

import dagster as dg

from thumbrank_dagster.metadata import counts, one_sentence
from thumbrank_dagster.partitions import NICHE_PARTITIONS
from thumbrank_dagster.resources.state import StateResource
from thumbrank_dagster.resources.youtube import YouTubeResource

GROUP = "collect"


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
        )
    ],
)
def raw_videos(
    context: dg.AssetExecutionContext, state: StateResource, youtube: YouTubeResource
) -> dg.MaterializeResult:
    """Channels, videos and view counts of a niche from the YouTube Data API.

    Discovers channels by the queries in `config/niches.yaml`, lists their uploads and reads every public video. Rows are
    upserted and counts appended: running it again adds a snapshot and loses nothing.
    """
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
            load_policy(profile=state.settings.profile).collection,
            youtube.source,
        )
        with state.database.connection() as connection:
            version, stored = data_version(connection, "videos", niche), stored_videos(connection, niche)
    return dg.MaterializeResult(
        metadata=counts(
            collected, niche=niche, **{"dagster/partition_row_count": stored.videos, "with_views": stored.with_views}
        ),
        data_version=dg.DataVersion(version),
        check_results=[
            dg.AssetCheckResult(
                check_name="has_videos",
                passed=stored.with_views > 0,
                metadata={"niche": niche, "with_views": stored.with_views},
            )
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
    """The thumbnails themselves, content-addressed below THUMBRANK_HOME/images.

    Fetches what is listed and not stored yet. A picture that cannot be had is a row in `misses` with its reason.
    """
    from thumbrank_core.policy import load_policy
    from thumbrank_core.store.versions import data_version, stored_pictures
    from thumbrank_core.youtube.pictures import fetch_pictures

    niche = context.partition_key
    with one_sentence():
        fetched = fetch_pictures(
            state.database, state.images, niche, load_policy(profile=state.settings.profile).collection.downloads
        )
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
