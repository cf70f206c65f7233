"""What a video's counters say by the clock. The world knows them at `as_of`; from then on they grow as its niche does."""

from datetime import datetime

from thumbrank_core.simulator.clock import Clock
from thumbrank_core.simulator.growth import growth_of
from thumbrank_core.simulator.world import Video

FIRST_SHARE = 0.01
"""What a new upload is given at once of the views that it will have in the end."""


class Counts:
    """Views, likes and comments now; none of them ever falls, and at `as_of` they are the world's own."""

    def __init__(self, as_of: datetime, clock: Clock) -> None:
        self._as_of = as_of
        self._clock = clock
        self._last: tuple[Video | None, datetime, float] = (None, as_of, 1.0)

    def views(self, video: Video) -> int:
        """Its views."""
        return int(video.views * self._times(video))

    def likes(self, video: Video) -> int | None:
        """Its likes, in proportion to its views; None where the owner hides them."""
        return None if video.likes is None else int(video.likes * self._times(video))

    def comments(self, video: Video) -> int | None:
        """Its comments, in proportion to its views; None where the owner has disabled them."""
        return None if video.comments is None else int(video.comments * self._times(video))

    def _times(self, video: Video) -> float:
        """How many times as many as at `as_of`; at least 1."""
        now = self._clock.now
        if now == self._as_of:
            return 1.0
        last, moment, times = self._last
        # The three counts of a video are asked for one after the other.
        if last is video and moment is now:
            return times
        published, growth = video.published_at, growth_of(video.channel.niche)
        then = FIRST_SHARE
        if published < self._as_of:
            then = max(then, growth.share_at((self._as_of - published).total_seconds() / 86400))
        times = max(1.0, growth.share_at((now - published).total_seconds() / 86400) / then)
        self._last = video, now, times
        return times
