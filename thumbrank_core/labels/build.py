"""A niche's labels and pairs, from criteria-marked videos to indexed rows, in the caller's one transaction."""

from dataclasses import dataclass

import psycopg
from psycopg.types.json import Jsonb

from thumbrank_core.labels.duplicates import drop_cross_split
from thumbrank_core.labels.labelling import Labelled, replace_labels
from thumbrank_core.labels.pairs import PairSummary, replace_pairs
from thumbrank_core.labels.splits import time_cut
from thumbrank_core.policy import Policy


@dataclass(frozen=True)
class Built:
    """What was made. `left_out`: videos that count and are not compared, by reason."""

    labels: Labelled
    pairs: PairSummary
    left_out: dict[str, int]


def build_pairs(connection: psycopg.Connection, niche: str, policy: Policy) -> Built:
    """Replace the niche's growth curve, labels and pairs; no other niche's row is touched."""
    labels = replace_labels(connection, niche, policy.labels)
    crossing = {reason: count for reason, count in drop_cross_split(connection, niche).items() if count}
    left_out = labels.left_out | crossing
    pairs = replace_pairs(connection, niche, policy.pairs)
    connection.execute("delete from thumbrank.pair_builds where niche = %s", (niche,))
    connection.execute(
        "insert into thumbrank.pair_builds (niche, label, policy, as_of, cut, left_out) values (%s, %s, %s, %s, %s, %s)",
        (
            niche,
            policy.labels.label,
            Jsonb({"labels": policy.labels.model_dump(), "pairs": policy.pairs.model_dump()}),
            labels.as_of,
            time_cut(labels.as_of) if labels.as_of else None,
            Jsonb(left_out),
        ),
    )
    return Built(labels, pairs, left_out)
