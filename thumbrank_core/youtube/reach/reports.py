"""What a reach report says: which issues to read, and the rows of one. Pure functions.

Columns are found by their names: their order is not promised, and reports with more dimensions have more rows a video,
which are added up here. Source: Reporting API, channel_reach_basic_a1 (2026-01-15).
"""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from thumbrank_core.youtube.quota import pacific_date
from thumbrank_core.youtube.reach.errors import ReportUnreadableError

DAY, CHANNEL, VIDEO = "date", "channel_id", "video_id"
IMPRESSIONS, CLICK_RATE = "video_thumbnail_impressions", "video_thumbnail_impressions_ctr"
COLUMNS = (DAY, CHANNEL, VIDEO, IMPRESSIONS, CLICK_RATE)


@dataclass(frozen=True)
class Report:
    """One issue of one period's report. `url`: where its rows are; it opens nothing without the owner's token."""

    report_id: str
    starts_at: datetime
    ends_at: datetime
    issued_at: datetime
    url: str

    @property
    def first_day(self) -> date:
        """The first Pacific day it covers."""
        return pacific_date(self.starts_at)

    @property
    def last_day(self) -> date:
        """The last Pacific day it covers; as a rule the first."""
        return pacific_date(self.ends_at - timedelta(microseconds=1))


@dataclass(frozen=True)
class ReachRow:
    """One video on one Pacific day. `click_rate`: clicks / impressions, 0..1; None without impressions."""

    day: date
    video_id: str
    impressions: int
    click_rate: float | None


@dataclass(frozen=True)
class ReachTable:
    """The rows of a report, at most one a video and day; `without_video`: how many rows named none."""

    rows: tuple[ReachRow, ...]
    without_video: int


def newest_issues(reports: Iterable[Report]) -> list[Report]:
    """Of each period the issue that was made last, oldest issue first."""
    newest: dict[tuple[datetime, datetime], Report] = {}
    for report in reports:
        period = (report.starts_at, report.ends_at)
        if period not in newest or report.issued_at > newest[period].issued_at:
            newest[period] = report
    return sorted(newest.values(), key=lambda report: (report.issued_at, report.starts_at, report.report_id))


def parse_report(body: bytes, report: Report, owner_id: str) -> ReachTable:
    """The rows of an unpacked report.

    Raises:
        ReportUnreadableError: a column is missing, a value is none of its kind, or a row is about another channel or day.
    """
    try:
        lines = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
        header = [name.strip() for name in next(lines, [])]
        places = _places(header, report)
        cells: dict[tuple[date, str], tuple[int, float]] = {}
        without_video = 0
        for number, line in enumerate(lines, start=2):
            if not line:
                continue
            try:
                video_id, row = _row([line[place] for place in places], report, owner_id)
            except (ValueError, IndexError) as error:
                reason = str(error) if isinstance(error, ValueError) else "it has too few columns"
                raise ReportUnreadableError(
                    "report_line", f"{_name(report)} cannot be read in line {number}: {reason}."
                ) from None
            if not video_id:
                without_video += 1
                continue
            impressions, clicks = cells.get((row[0], video_id), (0, 0.0))
            cells[row[0], video_id] = (impressions + row[1], clicks + row[2])
    except UnicodeDecodeError:
        raise ReportUnreadableError("report_unreadable", f"{_name(report)} cannot be read: it is not UTF-8.") from None
    except csv.Error as error:
        raise ReportUnreadableError("report_unreadable", f"{_name(report)} cannot be read: {error}.") from None
    rows = (
        ReachRow(day, video_id, impressions, min(1.0, clicks / impressions) if impressions else None)
        for (day, video_id), (impressions, clicks) in cells.items()
    )
    return ReachTable(tuple(rows), without_video)


def _places(header: list[str], report: Report) -> list[int]:
    """Where each of COLUMNS is."""
    missing = [name for name in COLUMNS if header.count(name) != 1]
    if missing:
        raise ReportUnreadableError(
            "report_unreadable",
            f"{_name(report)} cannot be read: it has not exactly one column {missing[0]} (it has: {', '.join(header)[:200]}).",
        )
    return [header.index(name) for name in COLUMNS]


def _row(cells: list[str], report: Report, owner_id: str) -> tuple[str, tuple[date, int, float]]:
    """Video id; day, impressions, clicks. ValueError with a reason for a person."""
    day_text, channel_id, video_id, impressions_text, rate_text = (cell.strip() for cell in cells)
    if channel_id != owner_id:
        raise ValueError("it is about another channel")
    try:
        day = date.fromisoformat(day_text)  # YYYYMMDD and YYYY-MM-DD
    except ValueError:
        raise ValueError(f"'{day_text[:30]}' is not a date") from None
    if not report.first_day <= day <= report.last_day:
        raise ValueError(f"{day} is not a day of this report")
    if not (impressions_text.isascii() and impressions_text.isdigit() and len(impressions_text) <= 18):
        raise ValueError(f"'{impressions_text[:30]}' is not a number of impressions")
    impressions = int(impressions_text)
    if impressions == 0:
        return video_id, (day, 0, 0.0)
    try:
        rate = float(rate_text)
    except ValueError:
        raise ValueError(f"'{rate_text[:30]}' is not a click-through rate") from None
    if not 0 <= rate <= 1:  # also NaN
        raise ValueError(f"the click-through rate {rate:g} does not lie between 0 and 1")
    return video_id, (day, impressions, impressions * rate)


def _name(report: Report) -> str:
    return f"Report {report.report_id} of {report.first_day}"
