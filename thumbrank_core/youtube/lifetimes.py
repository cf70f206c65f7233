"""How long what an answer says may be kept: the policy's days, for API data only."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from thumbrank_core.policy import Policy
from thumbrank_core.store.catalog import Source


@dataclass(frozen=True)
class Lifetimes:
    """None: for ever (a team's own rows and the simulator's are nobody else's data)."""

    content: timedelta | None
    """Titles, tags, pictures, who is in which niche."""
    counts: timedelta | None
    """View, like and comment counts: longer in mode audited."""

    @classmethod
    def of(cls, policy: Policy, source: Source) -> Self:
        """The lifetimes of rows from `source`."""
        if source != "youtube_api":
            return cls(None, None)
        content = timedelta(days=policy.retention.days)
        audited = timedelta(days=policy.retention.audited_statistics_days)
        return cls(content, audited if policy.mode == "audited" else content)

    def content_until(self, seen_at: datetime) -> datetime | None:
        """When content seen at `seen_at` has to be refreshed or removed."""
        return None if self.content is None else seen_at + self.content

    def counts_until(self, seen_at: datetime) -> datetime | None:
        """When counts seen at `seen_at` have to be removed."""
        return None if self.counts is None else seen_at + self.counts
