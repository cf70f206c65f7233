"""Channels: their names, sizes and visual habits. What their videos are lies in `world`."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from thumbrank_core.simulator import ids
from thumbrank_core.simulator.titles import TOPICS

SMALLEST = 2_000
"""Subscribers of the smallest channel: large enough that few of its videos fall below the criterion of 1,000 views, which
selects on what is to be predicted."""

VIEWS_PER_SUBSCRIBER = 0.8

MEDIAN_SUBSCRIBERS = 40_000
SUBSCRIBER_SPREAD = 1.8
"""Standard deviation of log subscribers: the largest of 500 channels has some thousand times the smallest's."""

EMPTY_EVERY = 40
EMPTY_AT = 17
"""In each niche, channels 17, 57, 97, ... exist but have never uploaded anything."""

_GIVEN = (
    "Mia",
    "Leo",
    "Nora",
    "Sam",
    "Ivy",
    "Max",
    "Zoe",
    "Kai",
    "Ada",
    "Ben",
    "Lou",
    "Eli",
    "Ana",
    "Tom",
    "Uma",
    "Rex",
)
_PLACE = ("Studio", "Lab", "Daily", "Corner", "Show", "Club", "Works", "Media", "TV", "HQ", "Room", "Channel")
_COUNTRIES = ("US", "GB", "CA", "AU", "IN", "IE")


@dataclass(frozen=True, slots=True)
class Style:
    """What a channel's pictures have in common, whatever they show."""

    background_hue: float
    accent_hue: float
    skin: int
    """Index into the drawing's skin tones."""
    subject_on_left: bool
    text_on_top: bool
    hat: bool


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel, with what YouTube shows and with what only the world knows."""

    id: str
    niche: str
    number: int
    """Its place in the niche."""
    title: str
    handle: str
    created_at: datetime
    country: str | None
    subscribers: int
    hides_subscribers: bool
    has_no_uploads: bool
    views_per_video: float
    """What an average video of this channel earns in the long run."""
    style: Style


def sample_channels(rng: np.random.Generator, niche: str, *, seed: int, count: int, as_of: datetime) -> list[Channel]:
    """The channels of one niche; the first ones do not depend on how many follow."""
    normals = rng.standard_normal((count, 2))
    # A second generator, because normals take an irregular share of a stream and the rows must stay aligned.
    chance = rng.spawn(1)[0].random((count, 13))
    subscribers = np.maximum(SMALLEST, MEDIAN_SUBSCRIBERS * np.exp(SUBSCRIBER_SPREAD * normals[:, 0])).astype(int)
    views = subscribers * VIEWS_PER_SUBSCRIBER * np.exp(0.6 * normals[:, 1])
    channels: list[Channel] = []
    for number in range(count):
        u = chance[number].tolist()
        topics = TOPICS[niche]
        name = (
            f"{_GIVEN[int(u[0] * len(_GIVEN))]}'s {topics[int(u[1] * len(topics))]} {_PLACE[int(u[2] * len(_PLACE))]}"
        )
        channels.append(
            Channel(
                id=ids.channel_id(seed, niche, number),
                niche=niche,
                number=number,
                title=name,
                handle="@" + "".join(letter for letter in name.lower() if letter.isalnum()) + str(number),
                created_at=(as_of - timedelta(days=400 + int(4000 * u[3]))).replace(microsecond=0),
                country=_COUNTRIES[int(u[4] * len(_COUNTRIES))] if u[5] < 0.85 else None,
                subscribers=int(subscribers[number]),
                hides_subscribers=u[6] < 0.04,
                has_no_uploads=number % EMPTY_EVERY == EMPTY_AT,
                views_per_video=float(views[number]),
                style=Style(
                    background_hue=u[7],
                    accent_hue=(u[7] + 0.25 + 0.5 * u[8]) % 1.0,
                    skin=int(4 * u[9]),
                    subject_on_left=u[10] < 0.5,
                    text_on_top=u[11] < 0.5,
                    hat=u[12] < 0.3,
                ),
            )
        )
    return channels
