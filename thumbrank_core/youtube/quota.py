"""The quota ledger: three daily buckets in Postgres, charged for every attempt before it is sent.

What belongs here: what may still be spent and by whom. What a collection is going to spend is forecast.py. There is no
usage endpoint, so the ledger is all there is; when YouTube says that a bucket is spent, the ledger believes it.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal, Protocol
from zoneinfo import ZoneInfo

import psycopg

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.niches import NICHES
from thumbrank_core.policy import QuotaPolicy
from thumbrank_core.store.database import Database

Bucket = Literal["search", "stats_batch", "default"]
BUCKETS: tuple[Bucket, ...] = ("search", "stats_batch", "default")
PACIFIC = ZoneInfo("America/Los_Angeles")
SHARE = len(NICHES)
"""A niche may reserve one part in so many of a bucket's day."""
LEASE = timedelta(minutes=10)
"""A collection that has not charged anything for so long is taken for dead, and its share is free."""


AFTER_MIDNIGHT = timedelta(minutes=10)
"""So long after midnight Pacific a refusal may still be about the day before."""


class BudgetSpentError(ThumbrankError):
    """Nothing more may be sent for now. `resumes_at` is when it may again."""

    def __init__(self, bucket: Bucket, message: str, resumes_at: datetime) -> None:
        super().__init__(message)
        self.bucket, self.resumes_at = bucket, resumes_at


class Meter(Protocol):
    """Whoever has to agree before an attempt is sent."""

    def attempt(self, bucket: Bucket) -> None:
        """One attempt is about to be sent.

        Raises:
            BudgetSpentError: it must not be.
        """
        ...


def pacific_date(now: datetime) -> date:
    """The day a unit spent at `now` belongs to: quota resets at midnight Pacific, so days have 23 to 25 hours."""
    return now.astimezone(PACIFIC).date()


def _day_began(now: datetime) -> datetime:
    return datetime.combine(pacific_date(now), time(), PACIFIC).astimezone(UTC)


def next_reset(now: datetime) -> datetime:
    """The next midnight Pacific, in UTC."""
    tomorrow = pacific_date(now) + timedelta(days=1)
    return datetime.combine(tomorrow, time(), PACIFIC).astimezone(UTC)


@dataclass(frozen=True)
class QuotaStatus:
    """One bucket of one day, seen by one niche. Units."""

    limit: int
    spent: int
    """By every niche."""
    kept_for_others: int
    exhausted: bool
    """YouTube itself said that it is spent."""

    @property
    def left(self) -> int:
        """What this niche may still spend."""
        return 0 if self.exhausted else max(0, self.limit - self.spent - self.kept_for_others)


class QuotaLedger:
    """One collection's account. Safe to share between threads and, through Postgres, between processes.

    Args:
        database: where the ledger is.
        limits: units a day.
        niche: who spends.
        clock: the server's time, which decides the Pacific day.
    """

    def __init__(self, database: Database, limits: QuotaPolicy, niche: str, clock: Callable[[], datetime]) -> None:
        self._database, self._limits, self._niche, self._clock = database, limits, niche, clock
        self._lock = threading.Lock()
        self._prepaid: dict[Bucket, int] = dict.fromkeys(BUCKETS, 0)
        self._caps: dict[Bucket, int] | None = None
        self._reserved_day: date | None = None
        self.spent: dict[Bucket, int] = dict.fromkeys(BUCKETS, 0)
        """What this collection has charged."""

    def cap(self, units: Mapping[Bucket, int]) -> None:
        """From here on spend at most so many units per bucket, whatever the day would allow."""
        self._caps = {bucket: self.spent[bucket] + units.get(bucket, 0) for bucket in BUCKETS}

    def status(self, connection: psycopg.Connection, bucket: Bucket) -> QuotaStatus:
        """How the bucket stands today."""
        return quota_status(connection, self._limits, self._niche, bucket, self._clock())

    def reserve(self) -> None:
        """Keep this niche's share of every bucket's day while the collection runs, also into the next day."""
        with self._database.connection() as connection:
            self._reserve(connection, pacific_date(self._clock()))

    def _reserve(self, connection: psycopg.Connection, day: date) -> None:
        self._reserved_day = day
        for bucket in BUCKETS:
            connection.execute(
                "insert into thumbrank.quota_ledger (pacific_date, bucket, niche, reserved, renewed_at) "
                "values (%s, %s, %s, %s, now()) on conflict (pacific_date, bucket, niche) "
                "do update set reserved = excluded.reserved, renewed_at = excluded.renewed_at",
                (day, bucket, self._niche, self._limit(bucket) // SHARE),
            )

    def release(self) -> None:
        """Give back what was kept and not spent."""
        with self._database.connection() as connection:
            connection.execute(
                "update thumbrank.quota_ledger set reserved = 0, renewed_at = null where niche = %s and reserved > 0",
                (self._niche,),
            )

    def prepay(self, connection: psycopg.Connection, bucket: Bucket, wanted: int) -> int:
        """Charge up to `wanted` attempts as part of the caller's transaction; returns how many were granted.

        The caller sends only after its commit. Call it last in the transaction: until the commit every other niche
        waits here.
        """
        with self._lock:
            granted = self._charge(connection, bucket, wanted)
            self._prepaid[bucket] += granted
            return granted

    def attempt(self, bucket: Bucket) -> None:
        """Use a prepaid attempt, or charge one now (a retry).

        Raises:
            BudgetSpentError: there is none left.
        """
        with self._lock:
            if self._prepaid[bucket]:
                self._prepaid[bucket] -= 1
                return
            with self._database.connection() as connection:
                granted = self._charge(connection, bucket, 1)
        if not granted:
            raise self.why_not(bucket)

    def exhaust(self, bucket: Bucket) -> BudgetSpentError:
        """YouTube says that the bucket is spent today: believe it, and say when it is worth asking again.

        Not in the first minutes of a day: the answer may be to a request of the day before, or the reset a little late.
        """
        now = self._clock()
        if now - _day_began(now) < AFTER_MIDNIGHT:
            return BudgetSpentError(bucket, "YouTube has not reset the day's quota yet.", now + AFTER_MIDNIGHT)
        with self._database.connection() as connection:
            connection.execute(
                "insert into thumbrank.quota_ledger (pacific_date, bucket, niche, exhausted_at) values (%s, %s, %s, %s) "
                "on conflict (pacific_date, bucket, niche) do update set exhausted_at = excluded.exhausted_at",
                (pacific_date(now), bucket, self._niche, now),
            )
        return self.why_not(bucket)

    def why_not(self, bucket: Bucket) -> BudgetSpentError:
        """The sentence for a refused attempt, and when it may be sent."""
        now = self._clock()
        if self._caps is not None and self.spent[bucket] >= self._caps[bucket]:
            return BudgetSpentError(
                bucket,
                f"This collection has spent the {self._caps[bucket]:,} units of the {bucket} bucket that were planned for it.",
                now,
            )
        with self._database.connection() as connection:
            found = self.status(connection, bucket)
        if found.exhausted:
            said = f"YouTube says that the {bucket} bucket is spent today"
        elif found.kept_for_others and found.spent < found.limit:
            said = f"The rest of today's {bucket} bucket ({found.kept_for_others:,} units) is kept for other niches' running collections"
        else:
            said = f"Today's {found.limit:,} units of the {bucket} bucket are spent"
        return BudgetSpentError(bucket, f"{said}.", next_reset(now))

    def _limit(self, bucket: Bucket) -> int:
        return int(getattr(self._limits, bucket))

    def _charge(self, connection: psycopg.Connection, bucket: Bucket, wanted: int) -> int:
        now = self._clock()
        day = pacific_date(now)
        # One charge at a time per bucket and day; released at the transaction's end, so it also works behind a pooler.
        connection.execute("select pg_advisory_xact_lock(hashtext(%s))", (f"thumbrank quota {day} {bucket}",))
        left = quota_status(connection, self._limits, self._niche, bucket, now).left
        if self._caps is not None:
            left = min(left, self._caps[bucket] - self.spent[bucket])
        granted = max(0, min(wanted, left))
        if granted:
            connection.execute(
                "insert into thumbrank.quota_ledger (pacific_date, bucket, niche, spent, renewed_at) values (%s, %s, %s, %s, now()) "
                "on conflict (pacific_date, bucket, niche) do update set spent = quota_ledger.spent + excluded.spent, "
                "renewed_at = excluded.renewed_at",
                (day, bucket, self._niche, granted),
            )
            self.spent[bucket] += granted
            if self._reserved_day is not None and day != self._reserved_day:
                self._reserve(connection, day)
            connection.execute(
                "update thumbrank.quota_ledger set renewed_at = now() where niche = %s and pacific_date = %s and reserved > 0",
                (self._niche, day),
            )
        return granted


def quota_status(
    connection: psycopg.Connection[Any], limits: QuotaPolicy, niche: str, bucket: Bucket, now: datetime
) -> QuotaStatus:
    """How a bucket stands on the Pacific day of `now` for one niche."""
    row = connection.execute(
        "select coalesce(sum(spent), 0)::int, "
        "coalesce(sum(greatest(reserved - spent, 0)) filter (where niche <> %s and renewed_at > now() - %s), 0)::int, "
        "coalesce(bool_or(exhausted_at is not null), false) "
        "from thumbrank.quota_ledger where pacific_date = %s and bucket = %s",
        (niche, LEASE, pacific_date(now), bucket),
    ).fetchone()
    assert row is not None, "an aggregate without group by returns one row"
    return QuotaStatus(int(getattr(limits, bucket)), int(row[0]), int(row[1]), bool(row[2]))
