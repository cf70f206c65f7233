"""Everything that one running simulator holds: the world as it stands, the clock, the quotas, the faults, the counters."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from thumbrank_core.simulator.behaviour import Behaviour
from thumbrank_core.simulator.clock import Clock
from thumbrank_core.simulator.connections import Connections
from thumbrank_core.simulator.faults import Faults
from thumbrank_core.simulator.live import LiveWorld
from thumbrank_core.simulator.oauth_grants import Grants
from thumbrank_core.simulator.picture_cache import PictureCache
from thumbrank_core.simulator.quota import Quota
from thumbrank_core.simulator.search_cache import SearchCache
from thumbrank_core.simulator.world import World


class Simulation:
    """The state that the routes share. One event loop uses it: nothing here locks."""

    def __init__(
        self, world: World, clock: Clock, behaviour: Behaviour, connections: Connections | None = None
    ) -> None:
        self.clock = clock
        self.behaviour = behaviour
        self.live = LiveWorld(world, clock, behaviour.suspended)
        self.grants = Grants(clock)
        self.quota = Quota(behaviour)
        self.faults = Faults(behaviour.faults, behaviour.fault_seed)
        self.connections = connections or Connections()
        self.pictures = PictureCache(self.live)
        self.searches = SearchCache(self.live, behaviour)
        self.served: Counter[str] = Counter()
        """Answers with contents (200 and 304) by method, such as "videos.list"; pictures as "picture"."""
        self.writers: dict[tuple[object, ...], Any] = {}
        """What writes items, by resource, host, parts and fields."""
        self.requests = 0
        self.picture_requests = 0
        self._date = _date(clock.now)

    @property
    def date(self) -> bytes:
        """The clock's time as a Date header."""
        if self._date[0] != self.clock.now:
            self._date = _date(self.clock.now)
        return self._date[1]

    def advance(self, seconds: float) -> datetime:
        """Move the clock forward; ValueError for a step backwards."""
        return self.clock.advance(timedelta(seconds=seconds))


def _date(now: datetime) -> tuple[datetime, bytes]:
    return now, format_datetime(now.astimezone(UTC), usegmt=True).encode()
