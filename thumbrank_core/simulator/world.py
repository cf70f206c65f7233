"""The world behind the simulated YouTube: channels, their videos, and why some are watched more than others.

Views = the channel's size x the niche's growth with age x exp(effect x quality) x noise. Everything follows from `WorldSettings`;
each concern (qualities, titles, noise, ...) draws from its own stream, so that changing `effect` changes views only and
changing `title_mentions` or `misleading` changes titles only and changing `blur` pictures only. No HTTP and no drawing here.
"""

import gc
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from thumbrank_core.niches import NICHES
from thumbrank_core.simulator import ids
from thumbrank_core.simulator.channels import Channel, sample_channels
from thumbrank_core.simulator.growth import growth_of
from thumbrank_core.simulator.lots import Lots
from thumbrank_core.simulator.qualities import picture_effect, sample_qualities, title_effect
from thumbrank_core.simulator.seeds import DEFAULT_SEED
from thumbrank_core.simulator.titles import TOPICS_PER_NICHE, write_titles

VideoState = Literal["public", "deleted", "private", "live", "upcoming"]

NOISE = 0.76
"""Standard deviation of log views that nothing explains; with it the default world's ceiling is 0.70."""

YOUNGEST = timedelta(days=7)
SPAN = timedelta(days=80)
"""Videos are YOUNGEST to YOUNGEST + SPAN old at `as_of`: inside the 90 days in which a channel has to be active."""

_STATES: tuple[tuple[VideoState, float], ...] = (
    ("deleted", 0.010),
    ("private", 0.008),
    ("live", 0.002),
    ("upcoming", 0.002),
)
_STATE_NAMES: tuple[VideoState, ...] = (*(name for name, _ in _STATES), "public")
_PREMIERE = Lots("premiere")


@dataclass(frozen=True)
class WorldSettings:
    """All that a world depends on."""

    seed: int = DEFAULT_SEED
    channels_per_niche: int = 80
    videos_per_channel: int = 20
    effect: float = 1.0
    """How strongly quality moves log views; 0 makes views independent of pictures and titles."""
    title_mentions: float = 0.12
    """The probability that a title names a given picture quality."""
    as_of: datetime = datetime(2026, 8, 1, tzinfo=UTC)
    """When the world was looked at: its views and states are those of this moment, and its clock starts here."""
    niches: tuple[str, ...] = NICHES
    """Only these are built, each as it is in a world that has all of them."""
    large_pictures: float = 0.05
    """The share of videos with standard and maxres pictures."""
    made_for_kids: float = 0.0
    """The share of channels that are made for kids."""
    blur: float = 0.0
    """How far the most blurred picture is out of focus: the Gaussian's standard deviation, in pixels of a picture 320 wide."""
    misleading: float = 0.0
    """The share of videos whose title is about another topic, and another video's picture, than what is drawn."""


@dataclass(frozen=True, slots=True)
class Video:
    """One upload, with what YouTube shows and with what only the world knows (`qualities`, `state`)."""

    id: str
    channel: Channel
    number: int
    """Its place in the channel; 0 is the newest."""
    title: str
    topic: int
    published_at: datetime
    added_at: datetime
    """When it was uploaded: the order of the uploads playlist, days before `published_at` for a scheduled video."""
    state: VideoState
    duration_seconds: int
    """0 while live or upcoming, except for a premiere, which has its length before it begins."""
    views: int
    likes: int | None
    comments: int | None
    """At `as_of`; what the service says later is in `counts`. None where the owner hides likes or has disabled comments."""
    qualities: tuple[float, ...]
    """The picture's qualities, ordered as `qualities.PICTURE_QUALITIES`."""
    large_pictures: bool
    """Whether standard and maxres exist beside default, medium and high."""
    focus: float = 1.0
    """In [0, 1]: 1 is sharp, 0 is out of focus by `WorldSettings.blur`. It has no effect on views."""
    misleading: bool = False
    """Whether the title is about something else than the picture. It has no effect on views either."""

    @property
    def is_listed(self) -> bool:
        """Whether videos.list answers for it: deleted and private videos are silently left out."""
        return self.state not in ("deleted", "private")


@dataclass(frozen=True)
class World:
    """Channels and videos as they stand at `settings.as_of`."""

    settings: WorldSettings
    channels: tuple[Channel, ...]
    videos: tuple[Video, ...]
    """Grouped by channel, newest first within each."""
    effects: NDArray[np.float64] = field(repr=False)
    """(len(videos),) effect of picture and title on log views."""
    _rows: dict[str, int] = field(repr=False)
    _channels: dict[str, Channel] = field(repr=False)
    _uploads: dict[str, tuple[Video, ...]] = field(repr=False)

    def video(self, video_id: str) -> Video:
        """The video, deleted and private ones included; KeyError where there never was one."""
        return self.videos[self._rows[video_id]]

    def find_video(self, video_id: str) -> Video | None:
        """The video, or None where there never was one."""
        row = self._rows.get(video_id)
        return None if row is None else self.videos[row]

    def find_channel(self, channel_id: str) -> Channel | None:
        """The channel, or None."""
        return self._channels.get(channel_id)

    def uploads(self, channel_id: str) -> tuple[Video, ...]:
        """A channel's videos in the order of its uploads playlist: last uploaded first."""
        return self._uploads.get(channel_id, ())

    def true_effect(self, video_ids: Sequence[str]) -> NDArray[np.float64]:
        """The effect of picture and title on log views, (len(video_ids),): the best score that anyone could give."""
        return self.effects[[self._rows[video_id] for video_id in video_ids]]


def stream(seed: int, niche: str, concern: str) -> np.random.Generator:
    """The generator for one concern of one niche."""
    return np.random.default_rng(list(ids.digest(16, "stream", seed, niche, concern)))


def build_world(settings: WorldSettings) -> World:
    """The world that the settings describe; ValueError if it would be empty or its clock has no time zone."""
    if settings.channels_per_niche < 1 or settings.videos_per_channel < 1:
        raise ValueError("A world needs at least one channel per niche and one video per channel.")
    if settings.as_of.tzinfo is None:
        raise ValueError("as_of needs a time zone, for example 2026-08-01T00:00:00Z.")
    unknown = sorted(set(settings.niches) - set(NICHES))
    if unknown or not settings.niches:
        raise ValueError(f"A world needs some of the niches {', '.join(NICHES)}, and no other.")
    with _without_garbage_collection():
        return _build(replace(settings, as_of=settings.as_of.astimezone(UTC)))


def removed(video: Video) -> Video:
    """The same video after its owner deleted it."""
    return replace(video, state="deleted")


@contextmanager
def _without_garbage_collection() -> Generator[None]:
    """Nothing that a large world allocates is garbage, and looking for it takes a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _build(settings: WorldSettings) -> World:
    channels: list[Channel] = []
    videos: list[Video] = []
    effects: list[NDArray[np.float64]] = []
    for niche in (niche for niche in NICHES if niche in settings.niches):
        of_niche = sample_channels(
            stream(settings.seed, niche, "channels"),
            niche,
            seed=settings.seed,
            count=settings.channels_per_niche,
            as_of=settings.as_of,
        )
        its_videos, its_effects = _niche_videos(settings, niche, of_niche)
        channels.extend(of_niche)
        videos.extend(its_videos)
        effects.append(its_effects)
    grouped: dict[str, list[Video]] = {}
    for video in videos:
        grouped.setdefault(video.channel.id, []).append(video)
    return World(
        settings=settings,
        channels=tuple(channels),
        videos=tuple(videos),
        effects=np.concatenate(effects),
        _rows={video.id: row for row, video in enumerate(videos)},
        _channels={channel.id: channel for channel in channels},
        _uploads={
            channel: tuple(sorted(of_channel, key=lambda video: video.added_at, reverse=True))
            for channel, of_channel in grouped.items()
        },
    )


def _niche_videos(
    settings: WorldSettings, niche: str, channels: Sequence[Channel]
) -> tuple[list[Video], NDArray[np.float64]]:
    """The videos of one niche's channels and their effects."""
    shape = (len(channels), settings.videos_per_channel)
    qualities = sample_qualities(stream(settings.seed, niche, "qualities"), *shape)
    effects = settings.effect * (picture_effect(qualities.picture) + title_effect(qualities.title))
    ages = _age_seconds(stream(settings.seed, niche, "ages"), *shape)
    noise = NOISE * stream(settings.seed, niche, "noise").standard_normal(shape)
    sizes = np.log([channel.views_per_video for channel in channels])[:, None]
    views = np.exp(sizes + np.log(growth_of(niche).share(ages / 86400)) + effects + noise).astype(np.int64)
    # Per video: state, large pictures, likes, hidden likes, comments, hidden comments, kind of length, length, upload.
    chance = stream(settings.seed, niche, "details").random((*shape, 9))
    states = np.searchsorted(np.cumsum([share for _, share in _STATES]), chance[..., 0], side="right")
    durations = _durations(chance[..., 6], chance[..., 7])
    likes = (views * (0.01 + 0.06 * chance[..., 2])).astype(np.int64)
    comments = (views * (0.0005 + 0.006 * chance[..., 4])).astype(np.int64)
    ahead = _seconds_before_publication(chance[..., 8])

    # Plain lists from here on: reading single numbers out of arrays would take half of the time.
    state_rows, age_rows, ahead_rows = states.tolist(), ages.astype(np.int64).tolist(), ahead.astype(np.int64).tolist()
    length_rows, view_rows = durations.astype(np.int64).tolist(), views.tolist()
    like_rows, comment_rows = likes.tolist(), comments.tolist()
    shows_likes, shows_comments = (chance[..., 3] >= 0.04).tolist(), (chance[..., 5] >= 0.03).tolist()
    large_rows = (chance[..., 1] < settings.large_pictures).tolist()
    focus_rows = stream(settings.seed, niche, "focus").random(shape).tolist()
    topics_aside = _topics_aside(stream(settings.seed, niche, "misleading"), settings.misleading, *shape)
    misleading_rows = (topics_aside > 0).tolist()

    videos: list[Video] = []
    kept: list[NDArray[np.float64]] = []
    for row, channel in enumerate(channels):
        titles = write_titles(
            stream(settings.seed, niche, f"titles {row}"),
            niche,
            qualities.title[row],
            qualities.picture[row],
            settings.title_mentions,
            topics_aside[row],
        )
        if channel.has_no_uploads:
            continue
        kept.append(effects[row])
        for number, video_id in enumerate(ids.video_ids(settings.seed, niche, row, settings.videos_per_channel)):
            state = _STATE_NAMES[state_rows[row][number]]
            published_at = settings.as_of - timedelta(seconds=age_rows[row][number])
            title = titles[number]
            videos.append(
                Video(
                    id=video_id,
                    channel=channel,
                    number=number,
                    title=title.text,
                    topic=title.topic,
                    published_at=published_at,
                    added_at=published_at - timedelta(seconds=ahead_rows[row][number]),
                    state=state,
                    duration_seconds=length_rows[row][number] if _has_length(video_id, state) else 0,
                    views=view_rows[row][number],
                    likes=like_rows[row][number] if shows_likes[row][number] else None,
                    comments=comment_rows[row][number] if shows_comments[row][number] else None,
                    qualities=tuple(qualities.picture[row, number].tolist()),
                    large_pictures=large_rows[row][number],
                    focus=focus_rows[row][number],
                    misleading=misleading_rows[row][number],
                )
            )
    return videos, np.concatenate(kept) if kept else np.empty(0)


def _has_length(video_id: str, state: VideoState) -> bool:
    """Whether a video's length is known: not while it is live, and of those to come only where it is a premiere."""
    return state not in ("live", "upcoming") or (state == "upcoming" and _PREMIERE.share(video_id) < 0.5)


def _age_seconds(rng: np.random.Generator, channels: int, videos: int) -> NDArray[np.float64]:
    """(C, V) ages at `as_of` in whole seconds, ascending: irregular gaps that fill SPAN."""
    gaps = rng.standard_exponential((channels, videos + 1))
    places = np.cumsum(gaps, axis=1)[:, :-1] / gaps.sum(axis=1, keepdims=True)
    return np.floor(YOUNGEST.total_seconds() + SPAN.total_seconds() * places)


def _topics_aside(rng: np.random.Generator, misleading: float, channels: int, videos: int) -> NDArray[np.int64]:
    """(C, V) how many topics further than its picture a title goes: 0 for an honest one, never back to the same topic."""
    chance = rng.random((channels, videos, 2))
    return np.where(chance[..., 0] < misleading, 1 + (chance[..., 1] * (TOPICS_PER_NICHE - 1)).astype(np.int64), 0)


def _durations(kind: NDArray[np.float64], place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Seconds: one in 25 is a Short, the rest two minutes to two hours and mostly around ten minutes."""
    short = 15 + 44 * place
    long = 120 * np.power(60.0, place**1.6)
    return np.floor(np.where(kind < 0.04, short, long))


def _seconds_before_publication(place: NDArray[np.float64]) -> NDArray[np.float64]:
    """How long before publication a video was uploaded: minutes, and up to ten days for the 3 % that were scheduled."""
    scheduled = place < 0.03
    return np.floor(np.where(scheduled, place / 0.03 * 10 * 86400, 60 + 1800 * place))
