"""Owners, the reports that were read, and their rows in Postgres. Every write holds off removals and asks what is forgotten.

What belongs here: SQL on reach_owners, reach_reports and reach_daily. What comes from YouTube is api.py and reports.py.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

import psycopg
from psycopg.types.json import Jsonb

from thumbrank_core.policy import PolicyMode
from thumbrank_core.store.database import Database
from thumbrank_core.store.tombstones import forgotten, hold_off_removals
from thumbrank_core.youtube.reach.api import ReportingJob
from thumbrank_core.youtube.reach.errors import ReachError
from thumbrank_core.youtube.reach.reports import ReachTable, Report

SOURCE = "reporting_api"
Ending = Literal["logout", "revoked"]


@dataclass(frozen=True)
class OwnerSummary:
    """What is stored of one owner."""

    owner_id: str
    checked_at: datetime
    """When Google last confirmed the consent."""
    job_id: str | None
    job_created_at: datetime | None
    listed_until: datetime | None
    days: int
    """Days with a report that was read."""
    rows: int
    videos: int
    impressions: int
    first_day: date | None
    last_day: date | None
    issued_at: datetime | None
    """The newest issue that was read."""


@dataclass(frozen=True)
class Purged:
    """What went with a consent, or would: rows by table, and `owner_read_outs`, files beside models."""

    counts: dict[str, int]

    @property
    def rows(self) -> int:
        """Rows of figures."""
        return self.counts["reach_daily"]


@dataclass(frozen=True)
class StoredReport:
    """What one report left: `rows` stored, `impressions` in them, `forgotten` rows of forgotten videos left out."""

    rows: int
    impressions: int
    forgotten: int
    replaced: bool
    """Whether an older issue of the same period was there."""


def refuse_forgotten(connection: psycopg.Connection, owner_id: str) -> None:
    """Ask before the consent is used.

    Raises:
        ReachError: the channel was forgotten.
    """
    if forgotten(connection, "channel", [owner_id]):
        raise ReachError(
            "forgotten",
            f"{owner_id} was forgotten and is not to be read again: run `thumbrank reach logout {owner_id} --yes`.",
        )


def record_owner(connection: psycopg.Connection, owner_id: str, checked_at: datetime) -> None:
    """Google has confirmed the owner's consent.

    Raises:
        ReachError: the channel was forgotten.
    """
    refuse_forgotten(connection, owner_id)
    connection.execute(
        "insert into thumbrank.reach_owners (owner_id, checked_at) values (%s, %s) "
        "on conflict (owner_id) do update set checked_at = excluded.checked_at",
        (owner_id, checked_at),
    )


def record_job(connection: psycopg.Connection, owner_id: str, job: ReportingJob) -> datetime | None:
    """Remember the owner's job; returns until when all of its reports are read. Of another job nothing is read yet."""
    row = connection.execute(
        "update thumbrank.reach_owners set listed_until = case when job_id = %(job)s then listed_until end, "
        "job_id = %(job)s, job_created_at = %(at)s where owner_id = %(owner)s returning listed_until",
        {"job": job.job_id, "at": job.created_at, "owner": owner_id},
    ).fetchone()
    return row[0] if row else None


def record_complete(connection: psycopg.Connection, owner_id: str, listed_until: datetime) -> None:
    """Every report made until then is read."""
    connection.execute(
        "update thumbrank.reach_owners set listed_until = greatest(listed_until, %s) where owner_id = %s",
        (listed_until, owner_id),
    )


def read_issues(connection: psycopg.Connection, owner_id: str) -> dict[tuple[datetime, datetime], datetime]:
    """By period, when the issue that was read was made."""
    rows = connection.execute(
        "select starts_at, ends_at, issued_at from thumbrank.reach_reports where owner_id = %s", (owner_id,)
    )
    return {(row[0], row[1]): row[2] for row in rows}


def replace_report(database: Database, owner_id: str, report: Report, table: ReachTable) -> StoredReport | None:
    """Put a report's rows in place of what an older issue said of its days, in one transaction.

    None where the same issue or a newer one is already stored: nothing goes back.

    Raises:
        ReachError: the owner was logged out in the meantime.
    """
    with database.connection() as connection:
        gone = forgotten(connection, "video", {row.video_id for row in table.rows})
        if not _lock_owner(connection, owner_id):
            raise ReachError(
                "logged_out", f"{owner_id} was logged out while its reports were read: nothing of them is kept."
            )
        stored = _stored_issue(connection, owner_id, report)
        if stored is not None and stored >= report.issued_at:
            return None
        connection.execute(
            "delete from thumbrank.reach_daily where owner_id = %s and source = %s and first_day >= %s and last_day <= %s",
            (owner_id, SOURCE, report.first_day, report.last_day),
        )
        kept = [row for row in table.rows if row.video_id not in gone]
        connection.execute(
            "insert into thumbrank.reach_daily "
            "(owner_id, source, video_id, first_day, last_day, impressions, click_rate, issued_at) "
            "select %s, %s, video_id, day, day, impressions, click_rate, %s "
            "from unnest(%s::text[], %s::date[], %s::bigint[], %s::float8[]) r(video_id, day, impressions, click_rate)",
            (
                owner_id,
                SOURCE,
                report.issued_at,
                [row.video_id for row in kept],
                [row.day for row in kept],
                [row.impressions for row in kept],
                [row.click_rate for row in kept],
            ),
        )
        connection.execute(
            "insert into thumbrank.reach_reports "
            "(owner_id, starts_at, ends_at, report_id, issued_at, row_count, without_video) values (%s, %s, %s, %s, %s, %s, %s) "
            "on conflict (owner_id, starts_at, ends_at) do update set report_id = excluded.report_id, "
            "issued_at = excluded.issued_at, row_count = excluded.row_count, without_video = excluded.without_video",
            (
                owner_id,
                report.starts_at,
                report.ends_at,
                report.report_id,
                report.issued_at,
                len(kept),
                table.without_video,
            ),
        )
    impressions = sum(row.impressions for row in kept)
    return StoredReport(len(kept), impressions, len(table.rows) - len(kept), replaced=stored is not None)


def _lock_owner(connection: psycopg.Connection, owner_id: str) -> bool:
    """Keep a purge and other writers of this owner waiting until the transaction ends; False: there is no such owner."""
    row = connection.execute(
        "select from thumbrank.reach_owners where owner_id = %s for update", (owner_id,)
    ).fetchone()
    return row is not None


def _stored_issue(connection: psycopg.Connection, owner_id: str, report: Report) -> datetime | None:
    row = connection.execute(
        "select issued_at from thumbrank.reach_reports where owner_id = %s and starts_at = %s and ends_at = %s",
        (owner_id, report.starts_at, report.ends_at),
    ).fetchone()
    return row[0] if row else None


def purge(
    database: Database, owner_id: str, ending: Ending, mode: PolicyMode, now: datetime, *, dry_run: bool = False
) -> Purged:
    """Remove everything that an owner's consent gave, in one transaction with its audit row. Studio exports stay."""
    with database.connection() as connection, connection.transaction(force_rollback=dry_run):
        hold_off_removals(connection)
        _lock_owner(connection, owner_id)
        counts = {
            "reach_daily": connection.execute(
                "delete from thumbrank.reach_daily where owner_id = %s and source = %s", (owner_id, SOURCE)
            ).rowcount,
            "reach_reports": connection.execute(
                "delete from thumbrank.reach_reports where owner_id = %s", (owner_id,)
            ).rowcount,
            "reach_owners": connection.execute(
                "delete from thumbrank.reach_owners where owner_id = %s", (owner_id,)
            ).rowcount,
        }
        if any(counts.values()):
            connection.execute(
                "insert into thumbrank.retention_audit (done_at, action, policy_mode, subject, counts) "
                "values (%s, %s, %s, %s, %s)",
                (now, ending, mode, f"reach of {owner_id}", Jsonb(counts)),
            )
    return Purged(counts)


def owner_summaries(connection: psycopg.Connection) -> list[OwnerSummary]:
    """Every owner of whom something is stored."""
    rows = connection.execute(
        "select o.owner_id, o.checked_at, o.job_id, o.job_created_at, o.listed_until, coalesce(p.reports, 0)::int, "
        "coalesce(d.figures, 0)::int, coalesce(d.videos, 0)::int, coalesce(d.impressions, 0)::bigint, "
        "d.first_day, d.last_day, p.issued_at from thumbrank.reach_owners o "
        "left join lateral (select count(*) reports, max(issued_at) issued_at from thumbrank.reach_reports r "
        "where r.owner_id = o.owner_id) p on true "
        "left join lateral (select count(*) figures, count(distinct video_id) videos, sum(impressions) impressions, "
        "min(first_day) first_day, max(last_day) last_day from thumbrank.reach_daily r "
        "where r.owner_id = o.owner_id and r.source = %s) d on true order by o.owner_id",
        (SOURCE,),
    )
    return [OwnerSummary(*row) for row in rows]
