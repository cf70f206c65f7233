"""Every table and what a removal does to it. A new table is one entry here; a test fails until it has one.

Conditions are SQL over `r`, a row of the table. They may read the sets that cascade.py fills (temporary tables):
`removal_videos` and `removal_channels`, the items that go; `removal_content (video_key)`, videos whose row stays without
what it shows; `removal_labels (video_key)`, videos whose labels lost what they were derived from. Conditions on age also
have the parameters of expiry.Ages.
"""

from dataclasses import dataclass
from typing import LiteralString

OF_VIDEO: LiteralString = "r.video_key in (select video_key from removal_videos)"


@dataclass(frozen=True)
class Rows:
    """Rows that name a video or a channel.

    `with_items`: which rows go with the items of a removal. `by_age`: which rows go by their own age. `pictures`: the
    column sha256 names picture files. `only_forgotten`: expiry leaves the rows, because a collection that stands there
    is about to read the items again.
    """

    table: str
    with_items: LiteralString
    by_age: LiteralString | None = None
    pictures: bool = False
    only_forgotten: bool = False


@dataclass(frozen=True)
class Addressed:
    """Rows whose column sha256 is the digest of a picture or a title; they go when nothing stored has that digest.

    The conditions say which rows are of a picture and which of a title.
    """

    table: str
    of_pictures: LiteralString | None = None
    of_titles: LiteralString | None = None


@dataclass(frozen=True)
class Stays:
    """A table that no removal touches, and why that is right."""

    table: str
    because: str


# Rows of the API say when they expire; should a writer forget to, its source tells. A team's own rows never expire.
_OF_API_VIDEO: LiteralString = (
    "(r.expires_at is not null or exists (select from thumbrank.thumbnails t "
    "where t.video_key = r.video_key and t.source = 'youtube_api'))"
)
_ABANDONED: LiteralString = (
    "exists (select from thumbrank.collection_runs c where c.niche = r.niche and c.state <> 'complete' "
    "and c.started_at <= %(content)s)"
)
_UNCONFIRMED: LiteralString = (
    "not exists (select from thumbrank.reach_owners o where o.owner_id = r.owner_id and o.checked_at > %(content)s)"
)

TABLES: tuple[Rows | Addressed | Stays, ...] = (
    # Derived first, observed after them, what others refer to last.
    Rows(
        "training_pairs",
        "r.a_key in (select video_key from removal_labels) or r.b_key in (select video_key from removal_labels)",
    ),
    # A label is as old as the counts it was made of; expiry.py puts old ones among removal_labels, with their pairs.
    Rows("video_labels", "r.video_key in (select video_key from removal_labels)"),
    Rows(
        "channel_baselines",
        "r.channel_key in (select t.channel_key from removal_labels join thumbrank.thumbnails t using (video_key)) "
        "or r.channel_key in (select channel_key from removal_channels)",
    ),
    Rows(
        "view_snapshots",
        OF_VIDEO,
        by_age="(r.expires_at <= %(now)s or r.observed_at <= %(statistics)s) and " + _OF_API_VIDEO,
    ),
    Rows(
        "picture_versions",
        "r.video_key in (select video_key from removal_videos union all select video_key from removal_content)",
        by_age="(r.expires_at <= %(now)s or r.last_seen_at <= %(content)s) and " + _OF_API_VIDEO,
        pictures=True,
    ),
    Rows(
        "discoveries",
        "r.channel_id in (select channel_id from removal_channels)",
        by_age="r.expires_at <= %(now)s or (r.expires_at is not null and r.discovered_at <= %(content)s)",
    ),
    Rows(
        "misses",
        "(r.kind = 'channel' and r.item_id in (select channel_id from removal_channels)) or "
        "(r.kind in ('video', 'picture', 'embedding') and r.item_id in (select video_id from removal_videos))",
        by_age="r.expires_at <= %(now)s or (r.expires_at is not null and r.missed_at <= %(content)s)",
    ),
    Rows(
        "collection_queue",
        "r.video_id in (select video_id from removal_videos)",
        by_age=_ABANDONED,
        only_forgotten=True,
    ),
    Rows(
        "collection_progress",
        # `vet` has the channel's id, `list` the id, a slash and the uploads playlist.
        "split_part(r.item, '/', 1) in (select channel_id from removal_channels)",
        by_age=_ABANDONED,
        only_forgotten=True,
    ),
    Rows(
        "collection_runs",
        "false",
        # Last of the three: without its row the next collection starts from the beginning.
        by_age="r.state <> 'complete' and r.started_at <= %(content)s",
    ),
    # What an owner brought has no date. What the Reporting API gave stays while the owner's consent is confirmed (`reach
    # sync`): policy III.E.4.b. All of it goes with the video, the channel, `reach logout` or a withdrawn consent.
    Rows(
        "reach_daily",
        "r.video_id in (select video_id from removal_videos) or r.owner_id in (select channel_id from removal_channels)",
        by_age="r.source = 'reporting_api' and " + _UNCONFIRMED,
        only_forgotten=True,
    ),
    # Reports that were read go with their rows, so that a later sync reads them again; owners after both.
    Rows(
        "reach_reports",
        "r.owner_id in (select channel_id from removal_channels)",
        by_age=_UNCONFIRMED,
        only_forgotten=True,
    ),
    Rows(
        "reach_owners",
        "r.owner_id in (select channel_id from removal_channels)",
        by_age="r.checked_at <= %(content)s",
        only_forgotten=True,
    ),
    # A team's own tests, by the same rule.
    Rows(
        "ab_variants",
        "exists (select from thumbrank.ab_outcomes o "
        "where o.owner_id = r.owner_id and o.test_id = r.test_id and "
        "(o.video_id in (select video_id from removal_videos) or o.owner_id in (select channel_id from removal_channels)))",
        pictures=True,
        only_forgotten=True,
    ),
    Rows(
        "ab_outcomes",
        "r.video_id in (select video_id from removal_videos) or r.owner_id in (select channel_id from removal_channels)",
        only_forgotten=True,
    ),
    Rows("thumbnails", OF_VIDEO),
    Rows("channels", "r.channel_key in (select channel_key from removal_channels)"),
    Addressed(
        "embeddings",
        of_pictures="r.encoder_key in (select encoder_key from thumbrank.encoders where modality = 'image')",
        of_titles="r.encoder_key in (select encoder_key from thumbrank.encoders where modality = 'title')",
    ),
    Addressed("sub_score_signals", of_pictures="true"),
    Stays("growth_curves", "a curve over many channels"),
    Stays("pair_builds", "settings and counts of a niche"),
    Stays("encoders", "names of models, nothing of a video"),
    Stays("measures", "names of measures, nothing of a video"),
    Stays("embedding_runs", "a sketch over at least 50 pictures of a niche"),
    Stays("model_evaluations", "figures over many channels; models and metrics stay"),
    Stays("promotions", "which model served when and by which figures over many channels; no owner's own"),
    Stays("training_months", "which month was trained and why, nothing of a video"),
    Stays("drift_readings", "figures over the pictures of a niche, at least 50"),
    Stays("monthly_digests", "counts and figures over niches, no title and no name"),
    Stays("quota_ledger", "units spent, nothing of an item"),
    Stays("tombstones", "what keeps a removed item removed; an id, no content"),
    Stays("retention_audit", "the evidence of removals: counts, no content"),
    Stays("schema_migrations", "which files of sql/migrations were applied"),
)
