"""How much data the guide asks for, over all niches together, and how much there is.

Source: the guide's tables "Data Requirements" and "Training Phases".
"""

from dataclasses import dataclass
from typing import Literal

import psycopg

Unit = Literal["thumbnails", "channels", "pairs", "videos with real CTR"]


@dataclass(frozen=True)
class Need:
    """One line of the guide's tables."""

    stage: str
    unit: Unit
    needed: int
    why: str


NEEDS: tuple[Need, ...] = (
    Need("minimum", "thumbnails", 120_000, "few pictures leave the model to memorise them"),
    Need("minimum", "channels", 500, "only unseen channels test a model, and a fifth of them is kept for that"),
    Need("minimum", "pairs", 50_000, "pairs are what it learns from"),
    Need("recommended", "thumbnails", 200_000, "few pictures leave the model to memorise them"),
    Need("recommended", "channels", 1_000, "200 test channels give an interval of about two points"),
    Need("recommended", "pairs", 150_000, "pairs are what it learns from"),
    Need("recommended", "videos with real CTR", 10_000, "views are not clicks: owners' reach or Studio exports"),
    Need("phase 1", "pairs", 120_000, "frozen CLIP"),
    Need("phase 2", "pairs", 200_000, "the last 2-4 blocks of CLIP are trained"),
    Need("phase 2", "videos with real CTR", 1, "phase 2 is judged by CTR too"),
    Need("phase 3", "pairs", 300_000, "all of CLIP is trained"),
    Need("phase 3", "videos with real CTR", 1, "phase 3 is judged by CTR too"),
)


@dataclass(frozen=True)
class Size:
    """A need beside what there is."""

    need: Need
    have: int

    @property
    def short(self) -> int:
        """How many are missing; 0 where it is met."""
        return max(self.need.needed - self.have, 0)

    def __str__(self) -> str:
        line = f"{self.need.stage}: {self.have:,} of {self.need.needed:,} {self.need.unit}"
        return f"{line}, {self.short:,} short ({self.need.why})" if self.short else line


def sizes(connection: psycopg.Connection) -> list[Size]:
    """Every need of the guide with what all niches hold together: pairs, and the thumbnails and channels in them."""
    row = connection.execute(
        "select coalesce(sum(videos), 0), coalesce(sum(channels), 0), coalesce(sum(pairs), 0), "
        "(select count(distinct (owner_id, video_id)) from thumbrank.reach_daily where impressions > 0) "
        "from thumbrank.pair_builds"
    ).fetchone()
    assert row is not None, "an aggregate without group by returns one row"
    units: tuple[Unit, ...] = ("thumbnails", "channels", "pairs", "videos with real CTR")
    have = dict(zip(units, row, strict=True))
    return [Size(need, int(have[need.unit])) for need in NEEDS]
