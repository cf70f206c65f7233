"""The world as it stands now: what `world` built, and what has been uploaded, removed and redrawn since.

The built world never changes, for it is also the truth that results are measured against.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from thumbrank_core.simulator import ids, traits
from thumbrank_core.simulator.channels import Channel
from thumbrank_core.simulator.clock import Clock
from thumbrank_core.simulator.counts import FIRST_SHARE, Counts
from thumbrank_core.simulator.qualities import sample_qualities
from thumbrank_core.simulator.titles import write_titles
from thumbrank_core.simulator.world import Video, World, removed, stream

UPLOADS_LIMIT = 20_000
"""A playlist never shows more."""


@dataclass(frozen=True)
class Totals:
    """What channels.list says of all public videos of a channel together."""

    videos: int
    views: int


class LiveWorld:
    """Channels and videos now. `revision` grows with every change."""

    def __init__(self, world: World, clock: Clock, suspended: float = 0.0) -> None:
        self.world = world
        self.clock = clock
        self.counts = Counts(world.settings.as_of, clock)
        self.channels = world.channels
        self.revision = 0
        self._suspended = suspended
        self._changed: dict[str, Video] = {}
        self._uploads: dict[str, tuple[Video, ...]] = {}
        self._added: dict[str, list[str]] = {}
        self._pictures: dict[str, int] = {}
        self._totals: dict[str, Totals] = {}
        self._totals_at = clock.now
        self._handles = {channel.handle: channel for channel in world.channels}
        self._of_niche: dict[str, list[Video]] = {}
        for video in world.videos:
            self._of_niche.setdefault(video.channel.niche, []).append(video)

    @property
    def niches(self) -> tuple[str, ...]:
        """The niches that have videos, in the order of the world."""
        return tuple(self._of_niche)

    def find_video(self, video_id: str) -> Video | None:
        """The video, deleted and private ones included; None where there never was one."""
        return self._changed.get(video_id) or self.world.find_video(video_id)

    def shown_video(self, video_id: str) -> Video | None:
        """The video if videos.list answers for it: neither deleted nor private, and its channel not suspended."""
        video = self.find_video(video_id)
        if video is None or not video.is_listed or self.is_suspended(video.channel.id):
            return None
        return video

    def find_channel(self, channel_id: str) -> Channel | None:
        """The channel, or None."""
        return self.world.find_channel(channel_id)

    def channel_of_handle(self, handle: str) -> Channel | None:
        """The channel with this handle, with or without its "@"."""
        return self._handles.get("@" + handle.removeprefix("@").lower())

    def is_suspended(self, channel_id: str) -> bool:
        """Whether the channel was taken down."""
        return self._suspended > 0 and traits.is_suspended(channel_id, self._suspended)

    def uploads(self, channel_id: str) -> tuple[Video, ...]:
        """A channel's videos, last uploaded first."""
        return self._uploads.get(channel_id) or self.world.uploads(channel_id)

    def totals(self, channel_id: str) -> Totals:
        """The sums over a channel's public videos, now."""
        if self._totals_at != self.clock.now:
            self._totals.clear()
            self._totals_at = self.clock.now
        known = self._totals.get(channel_id)
        if known is None:
            public = [self.counts.views(video) for video in self.uploads(channel_id) if video.is_listed]
            known = self._totals[channel_id] = Totals(len(public), sum(public))
        return known

    def videos_of(self, niche: str) -> Iterator[Video]:
        """Every video of a niche; those added last come first."""
        for video_id in reversed(self._added.get(niche, ())):
            yield self._changed[video_id]
        if self._changed:
            for video in self._of_niche.get(niche, ()):
                yield self._changed.get(video.id, video)
        else:
            yield from self._of_niche.get(niche, ())

    def picture_version(self, video_id: str) -> int:
        """How often the video's picture was swapped."""
        return self._pictures.get(video_id, 0)

    def add_upload(self, channel_id: str) -> Video:
        """A new public video at the top of the channel's uploads, published now; KeyError for an unknown channel."""
        channel = self.find_channel(channel_id)
        if channel is None:
            raise KeyError(channel_id)
        before = self.uploads(channel_id)
        number = min((video.number for video in before), default=0) - 1
        seed, niche = self.world.settings.seed, channel.niche
        rng = stream(seed, niche, f"upload {channel.number} {number}")
        qualities = sample_qualities(rng, 1, 1)
        title = write_titles(rng, niche, qualities.title[0], qualities.picture[0], self.world.settings.title_mentions)
        now = self.clock.now.replace(microsecond=0)
        views = int(channel.views_per_video * np.exp(rng.standard_normal()) * FIRST_SHARE)
        video = Video(
            id=ids.video_id(seed, niche, channel.number, number),
            channel=channel,
            number=number,
            title=title[0].text,
            topic=title[0].topic,
            published_at=now,
            added_at=now,
            state="public",
            duration_seconds=int(rng.integers(120, 1200)),
            views=views,
            likes=views // 30,
            comments=views // 300,
            qualities=tuple(qualities.picture[0, 0].tolist()),
            large_pictures=False,
        )
        self._changed[video.id] = video
        self._added.setdefault(niche, []).append(video.id)
        self._uploads[channel_id] = (video, *before)
        self._changed_now()
        return video

    def remove(self, video_ids: Sequence[str]) -> None:
        """Videos become deleted; KeyError, and nothing removed, where one does not exist."""
        found = [self.find_video(video_id) for video_id in video_ids]
        videos = [video for video in found if video is not None]
        if len(videos) < len(found):
            raise KeyError(video_ids[found.index(None)])
        for video in videos:
            self._changed[video.id] = removed(video)
        for channel_id in {video.channel.id for video in videos}:
            self._uploads[channel_id] = tuple(self._changed.get(video.id, video) for video in self.uploads(channel_id))
        self._changed_now()

    def _changed_now(self) -> None:
        self.revision += 1
        self._totals.clear()

    def swap_pictures(self, video_ids: Sequence[str]) -> None:
        """Videos get another picture at the same address; KeyError, and nothing swapped, where one does not exist."""
        for video_id in video_ids:
            if self.find_video(video_id) is None:
                raise KeyError(video_id)
        for video_id in video_ids:
            self._pictures[video_id] = self.picture_version(video_id) + 1
