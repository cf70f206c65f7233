"""What the two label assets do, each in the caller's one transaction: judge a niche's videos, and build its labels and pairs."""

from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.types.json import Jsonb

from thumbrank_core.exclusions import Exclusions, load_exclusions
from thumbrank_core.labels.criteria import mark_exclusions
from thumbrank_core.labels.duplicates import drop_cross_split
from thumbrank_core.labels.labelling import Labelled, replace_labels
from thumbrank_core.labels.pairs import PairSummary, lock_pairs, replace_pairs
from thumbrank_core.labels.splits import assign_splits, time_cut
from thumbrank_core.niches import load_niches
from thumbrank_core.policy import Policy, load_policy
from thumbrank_core.store.tombstones import hold_off_removals


@dataclass(frozen=True)
class Rules:
    """What decides which videos count and what is learnt from them: policy.yaml, the niche's languages, exclusions.yaml."""

    policy: Policy
    languages: tuple[str, ...]
    exclusions: Exclusions


def load_rules(niche: str, profile: str) -> Rules:
    """Read them from config/.

    Raises:
        ThumbrankError: a file is malformed, or there is no such profile.
    """
    return Rules(load_policy(profile=profile), load_niches()[niche].languages, load_exclusions())


@dataclass(frozen=True)
class Built:
    """What was made. `left_out`: videos that count and are not compared, by reason."""

    labels: Labelled
    pairs: PairSummary
    left_out: dict[str, int]


def judge(connection: psycopg.Connection, niche: str, rules: Rules) -> dict[str, int]:
    """Give new channels their split and every video its `exclusion_reason`; returns the counts by criterion.

    First in its transaction: no removal starts, and no other run of this niche goes on, until it ends.
    """
    hold_off_removals(connection)
    lock_pairs(connection, niche)
    assign_splits(connection, niche)
    return mark_exclusions(connection, niche, rules.policy.criteria, rules.languages, rules.exclusions)


def build_pairs(connection: psycopg.Connection, niche: str, rules: Rules) -> Built:
    """Replace the niche's growth curve, labels and pairs; no other niche's row is touched.

    Judges again, so that what was collected since counts or not by the same rules.
    """
    judge(connection, niche, rules)
    policy = rules.policy
    labels = replace_labels(connection, niche, policy.labels)
    crossing = {reason: count for reason, count in drop_cross_split(connection, niche).items() if count}
    left_out = labels.left_out | crossing
    pairs = replace_pairs(connection, niche, policy.pairs)
    connection.execute("delete from thumbrank.pair_builds where niche = %s", (niche,))
    connection.execute(
        "insert into thumbrank.pair_builds (niche, label, policy, as_of, cut, left_out, videos, channels, pairs) "
        "values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            niche,
            policy.labels.label,
            Jsonb({"labels": policy.labels.model_dump(), "pairs": policy.pairs.model_dump()}),
            labels.as_of,
            _cut(connection, niche, labels.as_of),
            Jsonb(left_out),
            pairs.videos,
            pairs.channels,
            pairs.pairs,
        ),
    )
    return Built(labels, pairs, left_out)


def _cut(connection: psycopg.Connection, niche: str, as_of: datetime | None) -> datetime | None:
    """Where the niche's time holdout begins; None where nothing has a label."""
    row = connection.execute(
        "select min(t.published_at) from thumbrank.video_labels l join thumbrank.thumbnails t using (video_key) where l.niche = %s",
        (niche,),
    ).fetchone()
    oldest = row[0] if row is not None else None
    return None if as_of is None or oldest is None else time_cut(as_of, oldest)
