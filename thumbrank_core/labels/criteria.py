"""Which videos count: one table of criteria. Each writes `exclusion_reason`, deletes nothing, and is counted by name.

A video is marked with the first criterion, in this order, that leaves it out. A team's own data set skips the criteria
that need what a data set seldom has (subscriber counts, every upload of the window); the import says so.
"""

from dataclasses import dataclass
from typing import LiteralString

import psycopg
from psycopg import sql

from thumbrank_core.policy import CriteriaPolicy


@dataclass(frozen=True)
class Criterion:
    """A named reason to leave a video out. `leaves_out` is SQL over the columns of `facts` and the policy's parameters."""

    name: str
    says: str
    leaves_out: LiteralString
    applies_to_imports: bool = True


CRITERIA: tuple[Criterion, ...] = (
    Criterion("expired", "its title and picture expired and were removed", "has_expired"),
    Criterion("no_views", "no view count was ever shown", "view_count is null"),
    Criterion("not_public_yet", "the counts are older than the publication", "observed_at <= published_at"),
    Criterion("live", "live or upcoming when last seen", "live_broadcast <> 'none'"),
    Criterion(
        "made_for_kids", "made for kids, which policy.yaml excludes", "%(made_for_kids)s = 'exclude' and made_for_kids"
    ),
    Criterion("training_refused", "its creator does not let everybody train on it", "trainability <> 'all'"),
    Criterion("no_picture", "no usable picture is stored", "not has_picture"),
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
)

_FACTS: LiteralString = """
    select t.video_key, t.published_at, t.live_broadcast, t.source, t.made_for_kids, t.trainability,
           c.subscriber_count, s.view_count, s.observed_at,
           t.title is null as has_expired,
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


def skipped_for_imports() -> list[str]:
    """Names of the criteria that a team's own data set is not held to."""
    return [criterion.name for criterion in CRITERIA if not criterion.applies_to_imports]


def mark_exclusions(connection: psycopg.Connection, niche: str, policy: CriteriaPolicy) -> dict[str, int]:
    """Write `exclusion_reason` on every video of the niche; returns how many each criterion left out, by name.

    `counted` is the number that none left out.
    """
    cases = sql.SQL(" ").join(
        sql.SQL("when {condition} then {name}").format(
            condition=sql.SQL(
                c.leaves_out if c.applies_to_imports else "source <> 'import' and (" + c.leaves_out + ")"
            ),
            name=sql.Literal(c.name),
        )
        for c in CRITERIA
    )
    statement = sql.SQL(
        "with facts as ({facts}), marked as (select video_key, case {cases} end as reason from facts) "
        "update thumbrank.thumbnails t set exclusion_reason = marked.reason from marked "
        "where t.video_key = marked.video_key and t.exclusion_reason is distinct from marked.reason"
    ).format(facts=sql.SQL(_FACTS), cases=cases)
    connection.execute(statement, {"niche": niche, **policy.model_dump()})
    rows = connection.execute(
        "select coalesce(t.exclusion_reason, 'counted'), count(*)::int from thumbrank.thumbnails t "
        "join thumbrank.channels c using (channel_key) where c.niche = %s group by 1",
        (niche,),
    ).fetchall()
    return {"counted": 0} | dict(rows)
