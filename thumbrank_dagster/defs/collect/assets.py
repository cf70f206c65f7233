"""Collection: what the API says of a niche, and its pictures. Observed tables only; nothing is judged here."""

from datetime import datetime
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from thumbrank_dagster.failures import one_sentence, try_again
from thumbrank_dagster.metadata import counts, figure, picture, table
from thumbrank_dagster.partitions import NICHE_PARTITIONS
from thumbrank_dagster.resources.state import StateResource
from thumbrank_dagster.resources.youtube import YouTubeResource

if TYPE_CHECKING:
    from thumbrank_core.youtube.collect import Collected

GROUP = "collect"
LEAST_PICTURES = 0.9


class CollectionConfig(dg.Config):
    """What one run of a collection may do."""

    budget: int | None = Field(
        default=None,
        ge=0,
        description="Units of the common API bucket that this run may spend at most. Unset: the forecast's upper figure, which "
        "`thumbrank collect --dry-run` prints.",
    )


@dg.asset(
    partitions_def=NICHE_PARTITIONS,
    group_name=GROUP,
    kinds={"youtube", "postgres"},
    owners=["team:data"],
    tags={"layer": "observed", "reads": "youtube_api"},
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
    """Channels, videos and view counts of one niche, as the YouTube Data API gives them.

    Searches channels by the queries in `config/niches.yaml`, lists their uploads, reads every public video and appends what its
    counts were at that moment: counts are never overwritten, and running it again loses nothing. Each request costs units of a
    daily quota. Where the day's quota ends, the run ends well and is partial: `collection` says when it can go on, and the
    next run continues there. Needs YOUTUBE_API_KEY.
    """
    from thumbrank_core.evaluation.plots.stored import by_week
    from thumbrank_core.exclusions import load_exclusions
    from thumbrank_core.niches import load_niches
    from thumbrank_core.policy import load_policy
    from thumbrank_core.store.overview import overview, videos_by_week
    from thumbrank_core.store.versions import data_version, stored_videos
    from thumbrank_core.youtube.collect import collect_niche

    niche = context.partition_key
    with one_sentence():
        api = youtube.client()
        collected = collect_niche(
            state.database,
            api,
            niche,
            load_niches()[niche],
            load_policy(profile=state.settings.profile),
            youtube.source,
            load_exclusions(),
            budget=config.budget,
        )
        if config.budget is None and _only_disturbed(collected, api.now):
            try_again(f"{niche}: the collection is {collected.headline}.")
        with state.database.connection() as connection:
            version, stored = data_version(connection, "videos", niche), stored_videos(connection, niche)
            rows, weeks = overview(connection, "videos", niche), videos_by_week(connection, niche)
    return dg.MaterializeResult(
        metadata={"collection": collected.headline}
        | counts(
            collected,
            state=None,  # both are in the headline
            reason=None,
            niche=niche,
            with_views=stored.with_views,
            published=picture(by_week(weeks), "videos by the week in which they were published"),
        )
        | table(rows),
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


def _only_disturbed(collected: "Collected", now: datetime) -> bool:
    """Whether nothing but a disturbance ended the run: it could go on at once, and has not spent what was planned for it.

    A spent quota says a later time, and a spent plan is not spent twice by one run.
    """
    if collected.resumes_at is None or collected.resumes_at > now:
        return False
    return all(collected.units.get(bucket, 0) < upper for bucket, upper in collected.forecast_upper.items())


@dg.asset(
    partitions_def=NICHE_PARTITIONS,
    deps=[raw_videos],
    group_name=GROUP,
    kinds={"file", "postgres"},
    owners=["team:data"],
    tags={"layer": "observed", "reads": "youtube_pictures"},
    code_version="1",
    check_specs=[
        dg.AssetCheckSpec(
            "coverage",
            asset="thumbnail_images",
            blocking=True,
            description="At least 90 % of the listed pictures are stored; misses are counted by reason.",
        )
    ],
)
def thumbnail_images(context: dg.AssetExecutionContext, state: StateResource) -> dg.MaterializeResult:
    """The thumbnails themselves: one file per picture in THUMBRANK_IMAGES, and a row for each picture that a video ever showed.

    Fetches what is listed and not stored yet, and again what was last seen long ago: a picture that was exchanged meanwhile is a
    new version beside the old one. A picture that cannot be had is a row in `misses` with its reason. Costs no quota.
    """
    from thumbrank_core.exclusions import load_exclusions
    from thumbrank_core.policy import load_policy
    from thumbrank_core.store.overview import overview
    from thumbrank_core.store.versions import data_version, stored_pictures
    from thumbrank_core.youtube.download import may_pass
    from thumbrank_core.youtube.pictures import fetch_pictures

    niche = context.partition_key
    with one_sentence():
        policy = load_policy(profile=state.settings.profile)
        fetched = fetch_pictures(state.database, state.images, niche, policy, load_exclusions())
        with state.database.connection() as connection:
            version, stored = data_version(connection, "pictures", niche), stored_pictures(connection, niche)
            rows = overview(connection, "pictures", niche)
        coverage = stored.stored / stored.listed if stored.listed else 0.0
        passing = sum(count for reason, count in fetched.misses.items() if may_pass(reason))
        if coverage < LEAST_PICTURES and passing:
            try_again(f"{niche}: {passing:,} pictures could not be had because their host did not answer well.")
    return dg.MaterializeResult(
        metadata=counts(
            fetched, niche=niche, coverage=coverage, listed=stored.listed, videos_with_a_picture=stored.stored
        )
        | table(rows)
        | _misses(fetched.misses),
        data_version=dg.DataVersion(version),
        check_results=[
            dg.AssetCheckResult(
                check_name="coverage",
                passed=coverage >= LEAST_PICTURES,
                metadata={
                    "niche": niche,
                    "coverage": figure(coverage),
                    "listed": stored.listed,
                    "misses": fetched.misses,
                },
            )
        ],
    )


def _misses(by_reason: dict[str, int]) -> dict[str, dg.MarkdownMetadataValue]:
    """A plot where there is something to compare."""
    from thumbrank_core.evaluation.plots.stored import reason_bars

    if len(by_reason) < 2:
        return {}
    return {"misses_plot": picture(reason_bars(by_reason, "pictures missed"), "missed pictures by reason")}
