"""The simulator's clock: it stands still until somebody moves it."""

from datetime import datetime, timedelta


class Clock:
    """A time that only `advance` changes."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    @property
    def now(self) -> datetime:
        """The world's time, with a time zone."""
        return self._now

    def advance(self, by: timedelta) -> datetime:
        """Move it forward; returns the new time. ValueError for a step backwards."""
        if by < timedelta(0):
            raise ValueError("The simulator's clock does not go back.")
        self._now += by
        return self._now
