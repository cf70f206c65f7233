"""What speaks for or against a niche's labels and pairs: the clock, leaks, reliability, staleness. Nothing here changes a row.

The checks of the Dagster assets show it, and training asks again before it trusts a niche (training/borders.py).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import psycopg

from thumbrank_core.bootstrap import FEW_CHANNELS, Interval, ratio_interval
from thumbrank_core.labels import definitions
from thumbrank_core.labels.duplicates import cross_split_duplicates
from thumbrank_core.labels.growth import GrowthCurve
from thumbrank_core.labels.pairs import newer_wins_by_channel
from thumbrank_core.labels.splits import split_of
from thumbrank_core.policy import LabelName
from thumbrank_core.store.arrays import read_all

CLOCK_LIMITS = (0.45, 0.55)
"""The newer video may win so often; outside, a label says more about time than about pictures."""

STALE_AFTER = timedelta(days=35)
"""A month and some days: a monthly refresh that was missed."""

FLIP_BUCKETS_DAYS = (0.0, 1.0, 3.0, 7.0, 14.0, 30.0, float("inf"))
MOST_FLIPS = 0.10
RELIABILITY_PAIRS = 200_000


@dataclass(frozen=True)
class Clock:
    """How often the newer video of a pair has the higher label: the AUC of publication order, symmetrised, which for a score
    of two values is the pair accuracy; ties count half. `accuracy` has its interval over channels.
    """

    accuracy: Interval
    n_pairs: int
    n_channels: int

    @property
    def few_channels(self) -> bool:
        """Whether the interval is known to be too narrow to decide on."""
        return self.n_channels < FEW_CHANNELS

    @property
    def rules(self) -> bool:
        """Whether the whole interval lies outside CLOCK_LIMITS."""
        return not self.few_channels and (self.accuracy.low > CLOCK_LIMITS[1] or self.accuracy.high < CLOCK_LIMITS[0])


@dataclass(frozen=True)
class Flips:
    """Pairs whose younger video had an age in [from_day, to_day) when first counted, and how many changed sides by the last count."""

    from_day: float
    to_day: float
    pairs: int
    flipped: int


@dataclass(frozen=True)
class Leaks:
    """What must not be there. Each is a number of rows."""

    wrong_split: int
    across_channels: int
    not_counted: int
    crossing_pictures: int

    @property
    def total(self) -> int:
        """0: nothing leaks."""
        return self.wrong_split + self.across_channels + self.not_counted + self.crossing_pictures


@dataclass(frozen=True)
class Staleness:
    """The niche's newest counts of YouTube's API. None: it has none, and its data cannot go stale."""

    newest: datetime | None
    age: timedelta | None

    @property
    def stale(self) -> bool:
        """Whether a monthly refresh was missed."""
        return self.age is not None and self.age > STALE_AFTER


def clock(connection: psycopg.Connection, niche: str) -> Clock | None:
    """How much of the niche's labels is the clock; None without pairs."""
    newer = newer_wins_by_channel(connection, niche)
    pairs = int(newer.pairs.sum())
    if pairs == 0:
        return None
    return Clock(ratio_interval(newer.wins, newer.pairs.astype(np.float64)), pairs, len(newer.pairs))


def leaks(connection: psycopg.Connection, niche: str, *, none_crosses: bool = False) -> Leaks:
    """Look for channels in a wrong split, pairs across channels, videos that do not count, and pictures that cross splits.

    Args:
        connection: a connection.
        niche: whose.
        none_crosses: it is known that no picture or upload crosses; looking for them is the dear part.
    """
    channels = connection.execute(
        "select channel_id, split from thumbrank.channels where niche = %s and split is not null", (niche,)
    ).fetchall()
    row = connection.execute(
        "select count(*) filter (where a.channel_key <> p.channel_key or b.channel_key <> p.channel_key)::int, "
        # One whose title expired is left out by whoever reads (policy mode audited), and no reason to build again.
        "count(*) filter (where a.exclusion_reason is not null and a.title is not null "
        "or b.exclusion_reason is not null and b.title is not null)::int "
        "from thumbrank.training_pairs p join thumbrank.thumbnails a on a.video_key = p.a_key "
        "join thumbrank.thumbnails b on b.video_key = p.b_key where p.niche = %s",
        (niche,),
    ).fetchone()
    assert row is not None, "an aggregate without group by returns one row"
    crossing = [] if none_crosses else cross_split_duplicates(connection, [niche])
    wrong = sum(split_of(channel) != split for channel, split in channels)
    return Leaks(wrong, row[0], row[1], len(crossing))


def staleness(connection: psycopg.Connection, niche: str, now: datetime) -> Staleness:
    """When YouTube was last asked for the niche's counts. Simulated and imported rows do not age."""
    row = connection.execute(
        "select max(s.observed_at) from thumbrank.view_snapshots s join thumbrank.thumbnails t using (video_key) "
        "join thumbrank.channels c using (channel_key) where c.niche = %s and t.source = 'youtube_api'",
        (niche,),
    ).fetchone()
    newest = row[0] if row else None
    return Staleness(newest, now - newest if newest else None)


_FLIP_ROWS = np.dtype(
    [(name, "f8") for name in ("a_age", "a_age_then", "b_age", "b_age_then")]
    + [(name, "i8") for name in ("a_views", "a_views_then", "b_views", "b_views_then")]
)


def reliability(connection: psycopg.Connection, niche: str, label: LabelName, curve: GrowthCurve) -> list[Flips]:
    """How often two counts of the same pair disagree about the winner, by the age of the younger video when first counted.

    Takes the first and the newest counts of each video, a day apart at least, and at most RELIABILITY_PAIRS pairs, chosen by a
    hash. Empty where no pair has two counts of both, and for `window_views`, whose two counts make one label.
    """
    if label == "window_views":
        return []
    rows = read_all(
        connection,
        "with seen as (select s.video_key, extract(epoch from min(s.observed_at) - t.published_at)::float8 / 86400 as age_then, "
        "extract(epoch from max(s.observed_at) - t.published_at)::float8 / 86400 as age, "
        "(array_agg(s.view_count order by s.observed_at))[1] as views_then, "
        "(array_agg(s.view_count order by s.observed_at desc))[1] as views "
        "from thumbrank.view_snapshots s join thumbrank.video_labels l using (video_key) "
        "join thumbrank.thumbnails t using (video_key) where l.niche = %(niche)s and s.observed_at > t.published_at "
        "group by s.video_key, t.published_at having max(s.observed_at) - min(s.observed_at) >= interval '1 day') "
        "select a.age, a.age_then, b.age, b.age_then, a.views, a.views_then, b.views, b.views_then "
        "from thumbrank.training_pairs p join seen a on a.video_key = p.a_key join seen b on b.video_key = p.b_key "
        "where p.niche = %(niche)s order by hashint8extended((p.a_key::int8 << 32) | p.b_key, 0) limit %(most)s",
        {"niche": niche, "most": RELIABILITY_PAIRS},
        _FLIP_ROWS,
    )
    then = _log_label(rows, "_then", label, curve)
    now = _log_label(rows, "", label, curve)
    younger = np.minimum(rows["a_age_then"], rows["b_age_then"])
    flips: list[Flips] = []
    for low, high in pairwise(FLIP_BUCKETS_DAYS):
        inside = (younger >= low) & (younger < high) & (then != 0) & (now != 0)
        if inside.any():
            flips.append(Flips(low, high, int(inside.sum()), int((np.sign(then) != np.sign(now))[inside].sum())))
    return flips


def _log_label(rows: npt.NDArray[np.void], when: str, label: LabelName, curve: GrowthCurve) -> npt.NDArray[np.float64]:
    """ln label of a minus ln label of b; the channel's own level drops out."""
    side: list[npt.NDArray[np.float64]] = []
    for name in ("a", "b"):
        age, views = rows[f"{name}_age{when}"], rows[f"{name}_views{when}"]
        if label == "views_per_hour":
            side.append(np.log(np.maximum(definitions.views_per_hour(views, age), 1e-12)))
        else:
            side.append(np.log1p(views) - curve.at(age))
    return side[0] - side[1]
