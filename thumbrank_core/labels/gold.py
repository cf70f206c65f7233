"""Gold pairs: variants of one video that YouTube showed at random to viewers of the same days.

For evaluation, never for training: they are few, and the only pairs in which nothing but thumbnail and title differ. A test
holds that no file of training/ reads them.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Any, LiteralString

import psycopg

from thumbrank_core.labels.splits import Split

# A test of titles has one picture, and a test of pictures one title: those of the video itself. A channel's niche and split are
# those of the owner's channel: the video itself need not be stored.
_VARIANTS: LiteralString = """
select o.owner_id, o.test_id, o.video_id, o.metric, o.outcome, c.niche::text, c.split, v.label, v.is_winner,
       coalesce(v.sha256, p.sha256), coalesce(v.title, t.title)
from thumbrank.ab_outcomes o
join thumbrank.ab_variants v using (owner_id, test_id)
left join thumbrank.thumbnails t on t.video_id = o.video_id
left join thumbrank.current_pictures p on p.video_key = t.video_key
left join thumbrank.channels c on c.channel_id = o.owner_id
where o.outcome <> 'inconclusive'
order by o.owner_id, o.test_id, v.label
"""


@dataclass(frozen=True)
class GoldVariant:
    """A variant. `picture`: sha256 in the picture store; `title`. None: neither the test nor the stored video has one."""

    label: str
    picture: bytes | None
    title: str | None


@dataclass(frozen=True)
class GoldPair:
    """Two variants of one test. `outcome`: 1.0: a won, 0.5: they performed the same.

    `niche`: of the owner's channel, None where that is not stored; `split`: the channel's, None also before labels were made.
    """

    owner_id: str
    test_id: str
    video_id: str
    metric: str
    niche: str | None
    split: Split | None
    a: GoldVariant
    b: GoldVariant
    outcome: float


def gold_pairs(connection: psycopg.Connection[tuple[Any, ...]]) -> list[GoldPair]:
    """Every gold pair, for evaluation, never for training.

    A winner beats each other variant (1.0; nothing is said of the others among themselves), variants that performed the
    same tie pairwise (0.5), an inconclusive test says nothing. Ordered by owner, test and label.
    """
    tests: dict[tuple[str, str, str, str, str, str | None, Split | None], list[tuple[bool, GoldVariant]]] = {}
    for *test, label, won, picture, title in connection.execute(_VARIANTS):
        variant = GoldVariant(label, None if picture is None else bytes(picture), title)
        owner, name, video, metric, outcome, niche, split = test
        tests.setdefault((owner, name, video, metric, outcome, niche, split), []).append((won, variant))
    pairs: list[GoldPair] = []
    for (owner, name, video, metric, outcome, niche, split), entries in tests.items():
        if outcome == "winner":
            winners = [variant for won, variant in entries if won]
            sides = [(winner, variant) for winner in winners for won, variant in entries if not won]
        else:
            sides = list(combinations([variant for _, variant in entries], 2))
        result = 1.0 if outcome == "winner" else 0.5
        pairs += [GoldPair(owner, name, video, metric, niche, split, a, b, result) for a, b in sides]
    return pairs
