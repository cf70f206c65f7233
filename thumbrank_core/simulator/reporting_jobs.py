"""Reporting jobs, and which of their reports exist at a time. What a report says lies in `reporting_reach`.

A report covers one Pacific day. It is made on the morning of the day after next, and never before a job is 48 hours
old; a new job also gets the 30 days before it. Reports vanish 60 days after they were made, those of days before their
job after 30.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from thumbrank_core.simulator.ids import digest

REACH_BASIC = "channel_reach_basic_a1"
REACH_COMBINED = "channel_reach_combined_a1"
REPORT_TYPES: dict[str, str] = {
    "channel_basic_a3": "User activity",
    "channel_demographics_a1": "Demographics",
    "channel_device_os_a3": "Device and OS",
    REACH_BASIC: "Reach basic",
    REACH_COMBINED: "Reach combined",
    "channel_traffic_source_a3": "Traffic sources",
}
"""Identifier to name. Jobs can be made of each, but this world writes reports of the two reach types only."""

PACIFIC = ZoneInfo("America/Los_Angeles")
LATENCY_DAYS = 2
READY_AT = time(10)
"""Pacific time of day at which the numbers of LATENCY_DAYS ago are ready; the real hour varies."""

FIRST_REPORT_AFTER = timedelta(hours=48)
BACKFILL_DAYS = 30
KEPT = timedelta(days=60)
KEPT_HISTORICAL = timedelta(days=30)

REISSUE_EVERY = 30
"""Days: any 30 in a row hold exactly one that is reissued, and so does every backfill."""
REISSUE_AFTER = timedelta(days=3)

_OLDEST_DAYS = KEPT.days + REISSUE_AFTER.days + LATENCY_DAYS + 2
"""No report of an older day can still exist: bounds the work of listing a job that is years old."""


@dataclass(frozen=True, slots=True)
class Job:
    """A standing order for one type of report about one channel."""

    id: str
    channel_id: str
    report_type: str
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Report:
    """One edition of one day's report."""

    id: str
    day: date
    """The Pacific day it covers."""
    is_preliminary: bool
    """Whether a later edition corrects it. Only the world knows; a reader sees the newer `created_at`."""
    created_at: datetime
    expires_at: datetime

    @property
    def start(self) -> datetime:
        """The first moment it covers."""
        return pacific_midnight(self.day)

    @property
    def end(self) -> datetime:
        """The first moment that it no longer covers: 23 to 25 hours after `start`."""
        return pacific_midnight(self.day + timedelta(days=1))


class JobStore:
    """All jobs of one simulator, in memory. A channel has at most one per type."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._made: Counter[tuple[str, str]] = Counter()

    def of(self, channel_id: str) -> list[Job]:
        """A channel's jobs, oldest first."""
        return [job for job in self._jobs.values() if job.channel_id == channel_id]

    def find(self, channel_id: str, job_id: str) -> Job | None:
        """The job, or None where this channel has none of that id."""
        job = self._jobs.get(job_id)
        return job if job is not None and job.channel_id == channel_id else None

    def add(self, channel_id: str, report_type: str, name: str, now: datetime) -> Job | None:
        """A new job, or None where the channel already has one of this type."""
        if any(job.report_type == report_type for job in self.of(channel_id)):
            return None
        # Counted by channel and type, so that an id does not depend on what other owners do.
        number = self._made[channel_id, report_type]
        self._made[channel_id, report_type] += 1
        identity = str(UUID(bytes=digest(16, "job", channel_id, report_type, number)))
        job = Job(identity, channel_id, report_type, name, now)
        self._jobs[identity] = job
        return job

    def remove(self, job: Job) -> None:
        """Forget a job; its reports go with it."""
        del self._jobs[job.id]


def reports(job: Job, now: datetime) -> list[Report]:
    """The reports of a job that exist at `now`, newest first: by when they were made, then by day."""
    if job.report_type not in (REACH_BASIC, REACH_COMBINED):
        return []
    first_day, today = pacific_day(job.created_at), pacific_day(now)
    oldest = max(first_day - timedelta(days=BACKFILL_DAYS), today - timedelta(days=_OLDEST_DAYS))
    found: list[Report] = []
    for ordinal in range(oldest.toordinal(), today.toordinal() + 1):
        day = date.fromordinal(ordinal)
        made = max(ready_at(day), job.created_at + FIRST_REPORT_AFTER)
        kept = KEPT_HISTORICAL if day < first_day else KEPT
        editions = 2 if is_reissued(job.channel_id, day) else 1
        for edition in range(editions):
            created_at = made + edition * REISSUE_AFTER
            if created_at <= now < created_at + kept:
                found.append(
                    Report(
                        id=str(10**9 + int.from_bytes(digest(4, "report", job.id, day, edition))),
                        day=day,
                        is_preliminary=edition < editions - 1,
                        created_at=created_at,
                        expires_at=created_at + kept,
                    )
                )
    return sorted(found, key=lambda report: (report.created_at, report.day), reverse=True)


def is_reissued(channel_id: str, day: date) -> bool:
    """Whether the first report of this day is wrong and a second one follows."""
    return (day.toordinal() + digest(1, "reissue", channel_id)[0]) % REISSUE_EVERY == 0


def ready_at(day: date) -> datetime:
    """When the numbers of a Pacific day become known."""
    return datetime.combine(day + timedelta(days=LATENCY_DAYS), READY_AT, PACIFIC).astimezone(UTC)


def last_ready_day(now: datetime) -> date:
    """The newest Pacific day whose numbers are known: two to three days back."""
    day = pacific_day(now) - timedelta(days=LATENCY_DAYS)
    return day if ready_at(day) <= now else day - timedelta(days=1)


def pacific_day(when: datetime) -> date:
    """The Pacific day in which a moment lies."""
    return when.astimezone(PACIFIC).date()


def pacific_midnight(day: date) -> datetime:
    """The first moment of a Pacific day, in UTC: 07:00 in summer and 08:00 in winter."""
    return datetime.combine(day, time(), PACIFIC).astimezone(UTC)
