"""What a file of YouTube Studio says: impressions and click-through rate of videos, by period or by day.

What belongs here: from rows of cells to rows with a meaning. No database: studio_store.py. Nothing is guessed: what cannot
be told for sure is an error, and a row that cannot be used is named with a reason.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.imports.columns import ColumnError
from thumbrank_core.imports.studio_columns import Columns, is_total, plain, resolve_studio
from thumbrank_core.imports.studio_files import StudioRow, StudioTable, read_table
from thumbrank_core.imports.studio_values import (
    AmbiguousValuesError,
    Mark,
    count_of,
    days_of,
    decimal_mark,
    is_percent,
    number_of,
)

_VIDEO_ID = re.compile(r"[A-Za-z0-9_-]{11}")
_PERIOD_IN_NAME = re.compile(r"(?<!\d)(\d{4}-\d{2}-\d{2})_(\d{4}-\d{2}-\d{2})(?!\d)")


class StudioError(ThumbrankError):
    """A file that cannot be used as a whole; the sentence begins with its name."""


@dataclass(frozen=True)
class Period:
    """Days from first to last, both included; Studio's days are Pacific days."""

    first_day: date
    last_day: date

    def __str__(self) -> str:
        return f"{self.first_day}..{self.last_day}"


@dataclass(frozen=True)
class Reach:
    """One video in one period. `click_rate`: clicks / impressions in 0..1, None without impressions; `number`: its row."""

    number: int
    video_id: str
    period: Period
    impressions: int
    click_rate: float | None


@dataclass(frozen=True)
class Rejected:
    """A row that is not stored: `reason` to count by, `sentence` for a person."""

    number: int
    reason: str
    sentence: str


@dataclass(frozen=True)
class Export:
    """What a file says. `rows_read` = rows + totals + footers + rejected; `columns`: ours -> their header."""

    name: str
    rows: list[Reach]
    rejected: list[Rejected]
    rows_read: int
    totals: int
    footers: int
    columns: dict[str, str]


def parse_period(text: str) -> Period:
    """Read `2026-01-01..2026-03-31`, both days included.

    Raises:
        StudioError: it is not a period.
    """
    first, separator, last = text.partition("..")
    try:
        period = Period(date.fromisoformat(first.strip()), date.fromisoformat(last.strip()))
    except ValueError:
        period = None
    if not separator or period is None or period.last_day < period.first_day:
        raise StudioError(f"'{text}' is not a period: write it as 2026-01-01..2026-03-31, both days included.")
    return period


def period_in(name: str) -> Period | None:
    """The period in a name that Studio gave, such as `Content 2026-01-01_2026-04-01 My channel.zip`; None if there is none.

    The second day is the one after the last: Studio calls an export of one day 2026-01-01_2026-01-02, and one of 28 days
    ends 28 days after it begins.
    """
    match = _PERIOD_IN_NAME.search(name)
    if match is None:
        return None
    try:
        first, end = date.fromisoformat(match[1]), date.fromisoformat(match[2])
    except ValueError:
        return None
    return Period(first, end - timedelta(days=1)) if end > first else None


def read_export(path: Path, mapping: Mapping[str, str], period: Period | None = None) -> Export:
    """Read a file of Studio.

    Args:
        path: .csv or .zip.
        mapping: theirs -> ours, as given with --map.
        period: the days that a table without dates is about; without it, the name of the file, of its folder or of
            the .zip tells.

    Raises:
        StudioError: a column, the period or the way numbers are written cannot be told for sure.
        UnreadableFileError: the file is not readable as one.
    """
    table = read_table(path, mapping)
    try:
        columns = resolve_studio(table.header, mapping)
        return _read(table, columns, _period_of(table, columns, period))
    except (ColumnError, AmbiguousValuesError) as error:
        raise StudioError(f"{table.name}: {error}") from None


def _period_of(table: StudioTable, columns: Columns, given: Period | None) -> Period | None:
    """The period of every row; None if each has its own date."""
    if columns.date is not None:
        if given is not None:
            raise StudioError(
                f"{table.name}: it has a date in every row ('{table.header[columns.date].strip()}'); leave out --period."
            )
        return None
    period = given or next((found for name in table.names if (found := period_in(name))), None)
    if period is None:
        raise StudioError(
            f"{table.name}: it does not say which days it is about, and neither does its name; add --period "
            "2026-01-01..2026-03-31, both days included."
        )
    return period


def _read(table: StudioTable, columns: Columns, period: Period | None) -> Export:
    width = len(table.header)
    footers = _footers(table.rows)
    body = table.rows[: len(table.rows) - footers]
    whole, rejected = list[StudioRow](), list[Rejected]()
    for row in body:
        cells = row.cells[:width] + [""] * (width - len(row.cells))
        if any(cell.strip() for cell in row.cells[width:]):
            rejected.append(
                rejected_row(row.number, "broken_row", f"it has {len(row.cells)} fields where the header has {width}")
            )
        else:
            whole.append(StudioRow(row.number, cells))
    first = body[0].number if body else 0
    totals = [row for row in whole if _is_total_row(row, columns, is_first=row.number == first)]
    summed = {row.number for row in totals}
    videos = [row for row in whole if row.number not in summed]
    reader = _Reader.of(whole, columns)
    days = days_of([row.cells[columns.date] for row in videos]) if columns.date is not None else [None] * len(videos)
    rows = list[Reach]()
    for row, day in zip(videos, days, strict=True):
        try:
            rows.append(reader.reach(row, period or _one_day(row, columns, day)))
        except _RowError as error:
            rejected.append(rejected_row(row.number, error.reason, str(error)))
    rows, repeated = _without_repeats(rows)
    return Export(
        name=table.name,
        rows=rows,
        rejected=sorted([*rejected, *repeated], key=lambda entry: entry.number),
        rows_read=len(table.rows) + table.notes,
        totals=len(totals),
        footers=footers + table.notes,
        columns={
            "video_id": table.header[columns.video_id].strip(),
            "impressions": table.header[columns.impressions].strip(),
            "click_rate": table.header[columns.click_rate].strip(),
        }
        | ({} if columns.date is None else {"date": table.header[columns.date].strip()}),
    )


class _RowError(Exception):
    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True)
class _Reader:
    """How this file writes its values."""

    columns: Columns
    mark: Mark

    @classmethod
    def of(cls, rows: Sequence[StudioRow], columns: Columns) -> "_Reader":
        def cells(place: int) -> list[str]:
            return [row.cells[place] for row in rows]

        rates = cells(columns.click_rate)
        ours = {columns.video_id, columns.impressions, columns.click_rate, columns.date, columns.title}
        width = len(rows[0].cells) if rows else 0
        mark = decimal_mark(cells(columns.impressions), rates, (cells(i) for i in range(width) if i not in ours))
        is_percent(rates, mark, columns.in_percent)
        return cls(columns, mark)

    def reach(self, row: StudioRow, period: Period) -> Reach:
        """The figures of one video.

        Raises:
            _RowError: something needed is missing or malformed.
        """
        video_id = _video_id(row.cells[self.columns.video_id])
        impressions = self._impressions(row)
        percent = self._percent(row)
        if impressions == 0 and percent:
            raise _RowError("rate_without_impressions", f"video {video_id} has a click rate without impressions")
        if impressions and percent is None:
            raise _RowError("no_click_rate", f"video {video_id} has impressions without a click rate")
        rate = percent / 100 if impressions and percent is not None else None
        return Reach(row.number, video_id, period, impressions, rate)

    def _impressions(self, row: StudioRow) -> int:
        try:
            count = count_of(row.cells[self.columns.impressions], self.mark)
        except ValueError as error:
            raise _RowError("bad_impressions", f"its impressions {error}") from None
        if count is None:
            raise _RowError("no_impressions", "it has no impressions")
        return count

    def _percent(self, row: StudioRow) -> float | None:
        try:
            percent = number_of(row.cells[self.columns.click_rate], self.mark)
        except ValueError as error:
            raise _RowError("bad_click_rate", f"its click rate {error}") from None
        if percent is not None and percent > 100:
            raise _RowError(
                "bad_click_rate", f"its click rate '{row.cells[self.columns.click_rate].strip()}' is above 100 %"
            )
        return percent


def _video_id(cell: str) -> str:
    text = _unprotected(cell)
    if not text:
        raise _RowError("no_video_id", "it has no video id")
    if not _VIDEO_ID.fullmatch(text):
        raise _RowError("bad_video_id", f"'{cell.strip()[:40]}' is not a video id (11 letters, figures, '-' and '_')")
    return text


def _unprotected(cell: str) -> str:
    """An id without the space or the apostrophe that keeps a spreadsheet from taking -Vabc… for a formula."""
    return cell.replace("\u00ad", "").strip().removeprefix("'").strip()


def _one_day(row: StudioRow, columns: Columns, day: date | None) -> Period:
    if day is None:
        cell = row.cells[columns.date].strip() if columns.date is not None else ""
        raise _RowError("bad_date", f"its date '{cell[:40]}' is not a day")
    return Period(day, day)


def _footers(rows: Sequence[StudioRow]) -> int:
    """How many lines at the end are no rows but a remark, such as that only the first 500 are shown."""
    count = 0
    for row in reversed(rows):
        filled = [cell.strip() for cell in row.cells if cell.strip()]
        if len(filled) != 1 or _VIDEO_ID.fullmatch(_unprotected(filled[0])) or is_total(filled[0]):
            break
        count += 1
    return count


def _is_total_row(row: StudioRow, columns: Columns, *, is_first: bool) -> bool:
    """A row that sums up: by its label, or the first one without a video id, a title of its own and an error's '#'."""
    label = row.cells[columns.video_id].strip()
    day = "" if columns.date is None else row.cells[columns.date].strip()
    if is_total(label) or is_total(day):
        return True
    title = "" if columns.title is None else row.cells[columns.title].strip()
    has_id = _VIDEO_ID.fullmatch(_unprotected(label)) is not None
    return is_first and not has_id and not label.startswith("#") and plain(title) in ("", plain(label))


def _without_repeats(rows: Sequence[Reach]) -> tuple[list[Reach], list[Rejected]]:
    """A video stands once a period. One that stands twice with different figures is not to be had: which is right?"""
    groups: dict[tuple[str, Period], list[Reach]] = {}
    for row in rows:
        groups.setdefault((row.video_id, row.period), []).append(row)
    kept, rejected = list[Reach](), list[Rejected]()
    for (video_id, period), group in groups.items():
        first, *others = group
        if all((other.impressions, other.click_rate) == (first.impressions, first.click_rate) for other in others):
            kept.append(first)
            rejected += [
                rejected_row(row.number, "repeated", f"it says the same of video {video_id} as row {first.number}")
                for row in others
            ]
        else:
            lines = ", ".join(str(row.number) for row in group)
            why = (
                f"rows {lines} say different things of video {video_id} in {period}; export without a further breakdown"
            )
            rejected += [rejected_row(row.number, "contradictory", why) for row in group]
    return kept, rejected


def rejected_row(number: int, reason: str, why: str) -> Rejected:
    """A rejected row with its one sentence."""
    return Rejected(number, reason, f"Row {number}: {why}.")
