"""The daily quotas: three buckets that empty with every request and are full again at midnight, Pacific time.

Only counting. What a refused caller is told is in `api_errors`; which method draws on which bucket is in `methods`.
"""

from collections import Counter
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from thumbrank_core.simulator.behaviour import Behaviour

Bucket = Literal["search", "stats_batch", "default"]
BUCKETS: tuple[Bucket, ...] = ("search", "stats_batch", "default")
PACIFIC = ZoneInfo("America/Los_Angeles")


class Quota:
    """Every attempt since the start, by Pacific day and bucket. Refused and faulted attempts count too."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._limits: dict[Bucket, int] = {
            "search": behaviour.quota_search,
            "stats_batch": behaviour.quota_stats_batch,
            "default": behaviour.quota_default,
        }
        self._days: dict[str, Counter[Bucket]] = {}

    def charge(self, bucket: Bucket, now: datetime) -> bool:
        """Count one attempt; False where the day's quota was already spent."""
        counts = self._days.setdefault(now.astimezone(PACIFIC).date().isoformat(), Counter())
        counts[bucket] += 1
        return counts[bucket] <= self._limits[bucket]

    def by_day(self) -> dict[str, dict[str, int]]:
        """Attempts by Pacific date (ISO) and bucket."""
        return {day: {bucket: counts[bucket] for bucket in BUCKETS} for day, counts in self._days.items()}

    def total(self) -> dict[str, int]:
        """Attempts by bucket, all days together."""
        return {bucket: sum(counts[bucket] for counts in self._days.values()) for bucket in BUCKETS}
