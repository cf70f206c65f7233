"""Which videos count: one table of criteria. Each writes `exclusion_reason`, deletes nothing, and is counted by name.

A video is marked with the first criterion, in this order, that leaves it out. A team's own data set skips the criteria
that need what a data set seldom has (subscriber counts, every upload of the window); the import says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

import psycopg
from psycopg import sql

from thumbrank_core.exclusions import Exclusions
from thumbrank_core.policy import CriteriaPolicy

GUIDE_OUTLIER_SD = 3.0


@dataclass(frozen=True)
class Criterion:
    """A named reason to leave a video out. `leaves_out` is SQL over the columns of `facts` and the policy's parameters.

    `among_the_rest`: judged last, on channel figures over the videos that no other criterion left out.
    """

    name: str
    says: str
    leaves_out: LiteralString
    applies_to_imports: bool = True
    among_the_rest: bool = False


CRITERIA: tuple[Criterion, ...] = (
    Criterion("expired", "its title and picture expired and were removed", "has_expired"),
    Criterion(
        "excluded",
        "config/exclusions.yaml names it or its channel",
        "video_id = any(%(excluded_videos)s) or channel_id = any(%(excluded_channels)s)",
    ),
    Criterion("removed", "YouTube no longer returns it", "is_gone"),
    Criterion("no_views", "no view count was ever shown", "view_count is null"),
    Criterion("not_public_yet", "the counts are older than the publication", "observed_at <= published_at"),
    Criterion("live", "live, upcoming or a recorded live stream", "live_broadcast <> 'none' or video_kind = 'live'"),
    Criterion("short", "a Short, which policy.yaml excludes", "%(shorts)s = 'exclude' and video_kind = 'short'"),
    Criterion("too_short", "shorter than policy.yaml asks for", "duration_seconds < %(min_minutes)s * 60"),
    Criterion("too_long", "longer than policy.yaml allows", "duration_seconds > %(max_minutes)s * 60"),
    Criterion(
        "other_language",
        "in a language that niches.yaml does not name for the niche; an unknown language counts",
        "%(languages)s::text[] <> '{}' and language is not null and lower(split_part(language, '-', 1)) <> all(%(languages)s)",
    ),
    Criterion(
        "made_for_kids", "made for kids, which policy.yaml excludes", "%(made_for_kids)s = 'exclude' and made_for_kids"
    ),
    Criterion("training_refused", "its creator does not let everybody train on it", "trainability <> 'all'"),
    Criterion("no_picture", "no usable picture is stored", "not has_picture"),
    Criterion(
        "too_old",
        "published longer before its counts than policy.yaml asks for",
        "published_at < observed_at - make_interval(secs => %(published_within_days)s * 86400.0)",
    ),
    Criterion("few_views", "fewer views than policy.yaml asks for", "view_count < %(min_views)s"),
    Criterion(
        "few_subscribers",
        "the channel has fewer subscribers than policy.yaml asks for",
        "subscriber_count < %(min_subscribers)s",
        applies_to_imports=False,
    ),
    Criterion(
        "inactive_channel",
        "the channel published less in the window than policy.yaml asks for",
        "recent_videos < %(active_min_videos)s",
        applies_to_imports=False,
    ),
    Criterion(
        "outlier",
        "further from its channel's mean views per hour than policy.yaml allows, in standard deviations",
        "abs(vph - mean_vph) > %(outlier_sd)s * sd_vph",
        among_the_rest=True,
    ),
)

# Views of an hour at least: a rate over minutes is noise.
_FACTS: LiteralString = """
    select t.video_key, t.video_id, t.channel_key, c.channel_id, t.published_at, t.live_broadcast, t.video_kind, t.source,
           t.made_for_kids, t.trainability, t.duration_seconds, t.language,
           c.subscriber_count, s.view_count, s.observed_at,
           t.title is null as has_expired,
           s.view_count / greatest(extract(epoch from s.observed_at - t.published_at) / 3600.0, 1)::float8 as vph,
           exists (select from thumbrank.misses m where m.kind = 'video' and m.niche = c.niche and m.item_id = t.video_id
                   and m.reason = 'not_returned') as is_gone,
           exists (select from thumbrank.picture_versions p where p.video_key = t.video_key) as has_picture,
           count(*) filter (where t.published_at >= seen.last_seen - make_interval(days => %(active_window_days)s))
               over (partition by t.channel_key) as recent_videos
    from thumbrank.thumbnails t
    join thumbrank.channels c using (channel_key)
    left join thumbrank.latest_snapshots s using (video_key)
    cross join (select max(t2.fetched_at) as last_seen
                from thumbrank.thumbnails t2 join thumbrank.channels c2 using (channel_key)
                where c2.niche = %(niche)s) seen
    where c.niche = %(niche)s
"""
_AMONG_THE_REST: LiteralString = """
    select *, avg(vph) filter (where reason is null) over (partition by channel_key) as mean_vph,
           stddev_samp(vph) filter (where reason is null) over (partition by channel_key) as sd_vph
    from judged
"""


@dataclass(frozen=True)
class OutlierEffect:
    """What the guide's rule leaves out of the videos that count: it selects on what is to be predicted.

    `above`: of the videos left out, how many have more views per hour than their channel's mean.
    """

    videos: int
    left_out: int
    above: int


def skipped_for_imports() -> list[str]:
    """Names of the criteria that a team's own data set is not held to."""
    return [criterion.name for criterion in CRITERIA if not criterion.applies_to_imports]


def mark_exclusions(
    connection: psycopg.Connection,
    niche: str,
    policy: CriteriaPolicy,
    languages: Sequence[str],
    exclusions: Exclusions,
) -> dict[str, int]:
    """Write `exclusion_reason` on every video of the niche; returns how many each criterion left out, by name.

    `counted` is the number that none left out.
    """
    statement = sql.SQL(
        "with facts as ({facts}), judged as (select *, case {first} end as reason from facts), "
        "rest as ({rest}), marked as (select video_key, coalesce(reason, case {then} end) as reason from rest) "
        "update thumbrank.thumbnails t set exclusion_reason = marked.reason from marked "
        "where t.video_key = marked.video_key and t.exclusion_reason is distinct from marked.reason"
    ).format(
        facts=sql.SQL(_FACTS),
        first=_cases([c for c in CRITERIA if not c.among_the_rest]),
        rest=sql.SQL(_AMONG_THE_REST),
        then=_cases([c for c in CRITERIA if c.among_the_rest]),
    )
    connection.execute(
        statement,
        {
            "niche": niche,
            **policy.model_dump(),
            "languages": [language.lower() for language in languages],
            "excluded_videos": sorted(exclusions.videos),
            "excluded_channels": sorted(exclusions.channels),
        },
    )
    rows = connection.execute(
        "select coalesce(t.exclusion_reason, 'counted'), count(*)::int from thumbrank.thumbnails t "
        "join thumbrank.channels c using (channel_key) where c.niche = %s group by 1",
        (niche,),
    ).fetchall()
    return {"counted": 0} | dict(rows)


def outlier_effect(connection: psycopg.Connection, niche: str) -> OutlierEffect:
    """What the guide's outlier rule takes, or where it is off would take, from the niche's marked videos."""
    statement = sql.SQL(
        "with judged as (select f.*, case when t.exclusion_reason <> 'outlier' then t.exclusion_reason end as reason "
        "from ({facts}) f join thumbrank.thumbnails t using (video_key)), rest as ({rest}) "
        "select count(*)::int, count(*) filter (where abs(vph - mean_vph) > %(sd)s * sd_vph)::int, "
        "count(*) filter (where vph - mean_vph > %(sd)s * sd_vph)::int from rest where reason is null"
    ).format(facts=sql.SQL(_FACTS), rest=sql.SQL(_AMONG_THE_REST))
    row = connection.execute(statement, {"niche": niche, "sd": GUIDE_OUTLIER_SD, "active_window_days": 1}).fetchone()
    assert row is not None, "an aggregate without group by returns one row"
    return OutlierEffect(*row)


def _cases(criteria: Sequence[Criterion]) -> sql.Composed:
    return sql.SQL(" ").join(
        sql.SQL("when {condition} then {name}").format(
            condition=sql.SQL(
                c.leaves_out if c.applies_to_imports else "source <> 'import' and (" + c.leaves_out + ")"
            ),
            name=sql.Literal(c.name),
        )
        for c in criteria
    )
