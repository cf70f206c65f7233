"""Searches already made: the later pages of one, and a search that finds something else each time."""

from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime

from thumbrank_core.simulator.behaviour import Behaviour
from thumbrank_core.simulator.live import LiveWorld
from thumbrank_core.simulator.lots import Lots
from thumbrank_core.simulator.requests import Query
from thumbrank_core.simulator.search import Found, searched

KEPT_SEARCHES = 64
LOST_SHARE = 0.2
"""How much of its results a search that varies leaves out."""

_NOT_THE_SEARCH = frozenset(
    ("$.xgafv", "callback", "fields", "key", "maxResults", "pageToken", "part", "prettyPrint", "quotaUser")
)


class SearchCache:
    """Results by query, for the world as it stands now."""

    def __init__(self, live: LiveWorld, behaviour: Behaviour) -> None:
        self._live = live
        self._behaviour = behaviour
        self._kept: OrderedDict[tuple[int, datetime, str], list[Found]] = OrderedDict()
        self.calls = 0

    def results(self, query: Query) -> tuple[Sequence[Found], str]:
        """What a query finds, and the name of the list to which its page tokens belong."""
        self.calls += 1
        identity = "search/" + "/".join(
            f"{name}={sorted(query.all(name))}" for name in sorted(query.values) if name not in _NOT_THE_SEARCH
        )
        key = (self._live.revision, self._live.clock.now, identity)
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = searched(self._live, query)
            if len(self._kept) > KEPT_SEARCHES:
                self._kept.popitem(last=False)
        if not self._behaviour.search_varies:
            return found, identity
        lots = Lots(f"search/{self._behaviour.fault_seed}/{self.calls}")
        return [it for it in found if lots.share(it.id) >= LOST_SHARE], identity
