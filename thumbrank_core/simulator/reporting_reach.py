"""How often thumbnails were seen and clicked on a day, and the reach reports that say so. Pure functions of a world.

Views follow the channel's size, its niche's growth and luck. Clicks on a thumbnail are a share of them, and impressions
are what it takes to get these clicks at the video's click-through rate. So the rate says what picture and title are
worth without the luck that views have, and the two agree only in part. Every number is drawn from a generator of its
own video and day, and depends neither on the order of requests nor on the clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import product

import numpy as np
from numpy.typing import NDArray

from thumbrank_core.simulator.growth import shares
from thumbrank_core.simulator.ids import digest
from thumbrank_core.simulator.reporting_jobs import REACH_BASIC, REACH_COMBINED, pacific_midnight
from thumbrank_core.simulator.world import Video, World

LOWEST_BASE, HIGHEST_BASE = 0.025, 0.08
"""Click-through rates of an average video; where a channel lies between them is its own."""

SLOPE = 0.5
"""Effect on log views to log odds of a click. The rest of the effect is that what is clicked is shown more often."""

AUDIENCE_NOISE = 0.1
"""Standard deviation of the log odds that a video's audience adds, whatever its picture."""

LEAST_SHARE, MOST_SHARE = 0.5, 0.9
"""The share of a video's views that began with a click on its thumbnail."""

DAY_NOISE = 0.2
"""Standard deviation of a day's log impressions."""

PRELIMINARY_SHARE = 0.8
"""What a report that is corrected later had counted at first."""

MOST_VIDEOS = 500
"""A report covers this many of the last uploads: bounds a download whatever the size of the world."""

_SUBSCRIBED = {"subscribed": 0.3, "not_subscribed": 0.7}
_COUNTRIES = {"US": 0.55, "GB": 0.25, "IN": 0.2}
_TRAFFIC_SOURCES = {"3": 0.45, "4": 0.05, "5": 0.2, "7": 0.3}
"""Codes of the surfaces that show thumbnails: browse, channel pages, search, suggested. Recalled, not verified."""

BASIC_DIMENSIONS: tuple[str, ...] = ()
COMBINED_DIMENSIONS: tuple[str, ...] = (
    "live_or_on_demand",
    "subscribed_status",
    "country_code",
    "traffic_source_type",
)
"""After one third-party fixture; the exact list is unverified, so that a reader must go by the header."""

_Cells = Mapping[tuple[str, ...], float]
_BASIC_CELLS: _Cells = {(): 1.0}
_COMBINED_CELLS: _Cells = {
    (subscribed, country, source): _SUBSCRIBED[subscribed] * _COUNTRIES[country] * _TRAFFIC_SOURCES[source]
    for subscribed, country, source in product(_SUBSCRIBED, _COUNTRIES, _TRAFFIC_SOURCES)
}


@dataclass(frozen=True, slots=True)
class Reach:
    """What happened to one video's thumbnail on one day."""

    video: Video
    impressions: int
    clicks: int


def reported_videos(world: World, channel_id: str) -> tuple[Video, ...]:
    """The videos of a channel that reports count, deleted and private ones included, last uploaded first."""
    return tuple(video for video in world.uploads(channel_id) if video.state != "upcoming")[:MOST_VIDEOS]


def views_at(world: World, videos: Sequence[Video], when: Sequence[datetime]) -> NDArray[np.float64]:
    """(V, T) views that V videos have at T moments, 0 before they were published."""
    published = np.array([video.published_at.timestamp() for video in videos])
    moments = np.array([moment.timestamp() for moment in when])
    niches = [video.channel.niche for video in videos]
    then = shares(niches, (world.settings.as_of.timestamp() - published) / 86400)
    by_moment = shares(niches, np.maximum(0.0, (moments[None, :] - published[:, None]) / 86400))
    return np.array([video.views for video in videos])[:, None] * (by_moment / then[:, None])


def expected_click_through_rate(world: World, videos: Sequence[Video]) -> NDArray[np.float64]:
    """(V,) probability that an impression of each video's thumbnail is clicked."""
    low, high = _log_odds(LOWEST_BASE), _log_odds(HIGHEST_BASE)
    seed = world.settings.seed
    base = np.array([low + (high - low) * _uniform("base", seed, video.channel.id) for video in videos])
    audience = np.array([_generator("audience", seed, video.id).standard_normal() for video in videos])
    odds = base + SLOPE * world.true_effect([video.id for video in videos]) + AUDIENCE_NOISE * audience
    return 1 / (1 + np.exp(-odds))


def reach_of_day(world: World, channel_id: str, day: date, *, preliminary: bool = False) -> list[Reach]:
    """A channel's videos on a Pacific day, those without an impression left out."""
    videos = reported_videos(world, channel_id)
    if not videos:
        return []
    views = views_at(world, videos, [pacific_midnight(day), pacific_midnight(day + timedelta(days=1))])
    rates = expected_click_through_rate(world, videos)
    found: list[Reach] = []
    for video, gained, rate in zip(videos, np.diff(views, axis=1)[:, 0], rates, strict=True):
        share = LEAST_SHARE + (MOST_SHARE - LEAST_SHARE) * _uniform("share", world.settings.seed, video.id)
        rng = _generator("reach", world.settings.seed, video.id, day)
        expected = gained * share / rate * np.exp(DAY_NOISE * rng.standard_normal())
        impressions = int(rng.poisson(expected))
        clicks = int(rng.binomial(impressions, rate))
        if preliminary:
            impressions, clicks = int(PRELIMINARY_SHARE * impressions), int(PRELIMINARY_SHARE * clicks)
        if impressions:
            found.append(Reach(video, impressions, clicks))
    return found


def reach_csv(world: World, report_type: str, channel_id: str, day: date, *, preliminary: bool) -> str:
    """A reach report: a header, then one row per video and cell of the dimensions, without all-zero rows or totals.

    What was deleted or made private is counted together under an empty video id.
    """
    dimensions, cells = {
        REACH_BASIC: (BASIC_DIMENSIONS, _BASIC_CELLS),
        REACH_COMBINED: (COMBINED_DIMENSIONS, _COMBINED_CELLS),
    }[report_type]
    counts: dict[tuple[str, ...], tuple[int, int]] = {}
    for reach in reach_of_day(world, channel_id, day, preliminary=preliminary):
        video_id = reach.video.id if reach.video.is_listed else ""
        broadcast = ("live" if reach.video.state == "live" else "on_demand",) if dimensions else ()
        rng = _generator("cells", world.settings.seed, reach.video.id, day)
        for cell, impressions, clicks in _split(rng, reach, cells):
            key = (video_id, *broadcast, *cell)
            before = counts.get(key, (0, 0))
            counts[key] = (before[0] + impressions, before[1] + clicks)
    metrics = ("video_thumbnail_impressions", "video_thumbnail_impressions_ctr")
    lines = [",".join(("date", "channel_id", "video_id", *dimensions, *metrics))]
    lines += [
        f"{day:%Y%m%d},{channel_id},{','.join(key)},{impressions},{_ratio(clicks, impressions)}"
        for key, (impressions, clicks) in counts.items()
        if impressions
    ]
    return "\n".join(lines) + "\n"


def _split(rng: np.random.Generator, reach: Reach, cells: _Cells) -> list[tuple[tuple[str, ...], int, int]]:
    """Impressions and clicks per cell; both add up to the whole, and no cell has more clicks than impressions."""
    impressions = rng.multinomial(reach.impressions, list(cells.values()))
    parts: list[tuple[tuple[str, ...], int, int]] = []
    seen = 0
    for cell, count in zip(cells, impressions.tolist(), strict=True):
        # Rounding the running total instead of each part keeps the sum exact.
        clicks = reach.clicks * (seen + count) // reach.impressions - reach.clicks * seen // reach.impressions
        seen += count
        parts.append((cell, count, clicks))
    return parts


def _ratio(clicks: int, impressions: int) -> str:
    """The click-through rate between 0 and 1 in full precision, never in scientific notation."""
    return np.format_float_positional(clicks / impressions, trim="0")


def _generator(*parts: object) -> np.random.Generator:
    return np.random.default_rng(list(digest(16, "reach", *parts)))


def _uniform(*parts: object) -> float:
    """A number in [0, 1) that depends on the parts only."""
    return int.from_bytes(digest(4, "reach", *parts)) / 2**32


def _log_odds(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))
