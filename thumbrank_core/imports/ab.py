"""Outcomes of A/B tests of thumbnails and titles, from a team's own file: one row a variant. What a file says, checked.

What belongs here: from rows to tests. No database and no pictures: ab_store.py. YouTube's "Test & compare" shows at most
three variants and decides by their shares of watch time: a winner, "performed same" or "inconclusive".
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.imports.readers import BrokenRow, Row, open_table
from thumbrank_core.imports.studio_columns import plain
from thumbrank_core.imports.studio_values import AmbiguousValuesError, Mark, decimal_mark, number_of

Metric = Literal["watch_time_share", "ctr"]
Outcome = Literal["winner", "performed_same", "inconclusive"]
T = TypeVar("T")

MOST_VARIANTS = 3
SHARES_WITHIN = 0.02
"""Shares of a test are shown rounded; together they may miss 100 % by this much."""

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "test_id": ("test_id", "test", "experiment_id"),
    "video_id": ("video_id", "videoId", "video"),
    "variant": ("variant", "label", "option"),
    "picture": ("picture", "thumbnail", "image"),
    "title": ("title",),
    "value": ("value", "share", "watch_time_share", "ctr"),
    "outcome": ("outcome", "result"),
    "winner": ("winner", "is_winner"),
    "first_day": ("first_day", "start_date"),
    "last_day": ("last_day", "end_date"),
    "metric": ("metric",),
    "channel_id": ("channel_id", "channelId", "owner"),
}
_NEEDED = ("test_id", "video_id", "variant", "first_day", "last_day")
_METRICS: dict[str, Metric] = {
    "watch time share": "watch_time_share",
    "watch time": "watch_time_share",
    "share": "watch_time_share",
    "ctr": "ctr",
    "click rate": "ctr",
    "click through rate": "ctr",
}
_OUTCOMES: dict[str, Outcome] = {
    "winner": "winner",
    "performed same": "performed_same",
    "performed the same": "performed_same",
    "inconclusive": "inconclusive",
}
_YES, _NO = frozenset({"true", "1", "1.0", "yes", "x", "winner"}), frozenset({"", "false", "0", "0.0", "no"})


class AbError(ThumbrankError):
    """A file of tests that cannot be used as a whole; the sentence begins with its name."""


@dataclass(frozen=True)
class AbVariant:
    """One of the compared. `picture`: the name of its file; `value`: share or rate in 0..1, None where it is not known."""

    label: str
    picture: str | None
    title: str | None
    value: float | None
    is_winner: bool


@dataclass(frozen=True)
class AbTest:
    """A test of one video; both days are included. `channel_id`: None where the file does not say."""

    test_id: str
    video_id: str
    channel_id: str | None
    metric: Metric
    outcome: Outcome
    first_day: date
    last_day: date
    variants: tuple[AbVariant, ...]


@dataclass(frozen=True)
class RejectedTest:
    """A test that is not stored: `reason` to count by, `sentence` for a person."""

    test_id: str
    reason: str
    sentence: str


@dataclass(frozen=True)
class AbFile:
    """What a file says. `columns`: ours -> theirs."""

    name: str
    rows_read: int
    tests: list[AbTest]
    rejected: list[RejectedTest]
    columns: dict[str, str]


class AbTestError(Exception):
    """A test that cannot be used: `reason` to count by, the text for a person."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def rejected_test(test_id: str, error: AbTestError) -> RejectedTest:
    """A rejected test with its one sentence."""
    return RejectedTest(test_id, error.reason, f"Test {test_id[:60]}: {error}.")


def read_tests(path: Path) -> AbFile:
    """Read a file of tests: .csv, .jsonl or .parquet, one row a variant.

    Raises:
        UnreadableFileError: the file is not readable as one.
        AbError: a column is missing or stands there twice, or a row is broken: its test would lack a variant.
    """
    table = open_table(path)
    columns = _resolve(path.name, table.columns)
    rows: list[Row] = []
    for row in table.rows():
        if isinstance(row, BrokenRow):
            raise AbError(
                f"{path.name}: row {row.number} cannot be read ({row.why}), and its test would lack it; mend the row."
            )
        rows.append(Row(row.number, {ours: row.values.get(theirs) for ours, theirs in columns.items()}))
    try:
        mark = decimal_mark([], [_text(row, "value") for row in rows])
    except AmbiguousValuesError as error:
        raise AbError(f"{path.name}: {error}") from None
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(_text(row, "test_id"), []).append(row)
    by_name: Metric = "ctr" if columns.get("value") == "ctr" else "watch_time_share"
    tests, rejected = list[AbTest](), list[RejectedTest]()
    for test_id, group in groups.items():
        try:
            tests.append(_test(test_id, group, mark, by_name))
        except AbTestError as error:
            rejected.append(rejected_test(test_id or f"without an id (row {group[0].number})", error))
    return AbFile(path.name, len(rows), tests, rejected, columns)


def _resolve(name: str, present: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for ours, names in COLUMNS.items():
        known = {plain(one) for one in names}
        theirs = [column for column in present if plain(column) in known]
        if len(theirs) > 1:
            raise AbError(
                f"{name}: it has {len(theirs)} columns that may be {ours} ({', '.join(theirs)}); leave one of them."
            )
        if theirs:
            found[ours] = theirs[0]
    missing = [ours for ours in _NEEDED if ours not in found]
    missing += [] if "picture" in found or "title" in found else ["picture or title"]
    missing += [] if "outcome" in found or "winner" in found else ["outcome or winner"]
    if missing:
        raise AbError(
            f"{name}: it has no column {', '.join(missing)} (it has {', '.join(present[:12])}); rename or add it."
        )
    return found


def _test(test_id: str, rows: Sequence[Row], mark: Mark, by_name: Metric) -> AbTest:
    if not test_id:
        raise AbTestError("no_test_id", "it has no test_id")
    if not 2 <= len(rows) <= MOST_VARIANTS:
        raise AbTestError("variants", f"it has {len(rows)} variant{'s' * (len(rows) != 1)} where a test has 2 or 3")
    video_id = _agreed(rows, "video_id", _needed)
    metric = _metric(_agreed(rows, "metric", plain), by_name)
    first_day, last_day = _agreed(rows, "first_day", _day), _agreed(rows, "last_day", _day)
    if last_day < first_day:
        raise AbTestError("period", f"it ends on {last_day}, before it begins on {first_day}")
    values = _values(rows, metric, mark)
    outcome, winners = _outcome(rows, metric, values)
    variants = tuple(
        AbVariant(
            _needed(_text(row, "variant")), _text(row, "picture") or None, _text(row, "title") or None, value, won
        )
        for row, value, won in zip(rows, values, winners, strict=True)
    )
    _check_variants(variants)
    channel_id = _agreed(rows, "channel_id", lambda text: text or None)
    return AbTest(test_id, video_id, channel_id, metric, outcome, first_day, last_day, variants)


def _check_variants(variants: Sequence[AbVariant]) -> None:
    if len({variant.label for variant in variants}) < len(variants):
        raise AbTestError("variants", "two of its variants have one name")
    for part in ("picture", "title"):
        given = [getattr(variant, part) is not None for variant in variants]
        if any(given) and not all(given):
            raise AbTestError("variants", f"some of its variants have a {part} and some have none")
    if variants[0].picture is None and variants[0].title is None:
        raise AbTestError("variants", "its variants have neither a picture nor a title")
    if variants[0].picture is None and len({variant.title for variant in variants}) < len(variants):
        raise AbTestError("variants", "two of its variants show the same")


def _values(rows: Sequence[Row], metric: Metric, mark: Mark) -> list[float | None]:
    cells = [_text(row, "value") for row in rows]
    if not any(cells):
        return [None] * len(rows)
    try:
        read = [number_of(cell, mark) for cell in cells]
    except ValueError as error:
        raise AbTestError("value", f"its value {error}") from None
    numbers = [number for number in read if number is not None]
    if len(numbers) < len(rows):
        raise AbTestError("value", "some of its variants have a value and some have none")
    percent = any("%" in cell for cell in cells) or (metric == "watch_time_share" and sum(numbers) > 2)
    shares: list[float | None] = [number / 100 if percent else number for number in numbers]
    total = sum(numbers) / (100 if percent else 1)
    if metric == "watch_time_share" and abs(total - 1) > SHARES_WITHIN:
        raise AbTestError("shares", f"its shares add up to {total:.1%} where they are 100 %")
    if metric == "ctr" and max(numbers) > (100 if percent else 1):
        raise AbTestError("value", "its click rates are above 1: write them as 4.5% or 0.045")
    return shares


def _outcome(rows: Sequence[Row], metric: Metric, values: Sequence[float | None]) -> tuple[Outcome, list[bool]]:
    """How it ended and which variants won. Without a column `winner` the one with the highest value did."""
    marked = [_yes(_text(row, "winner")) for row in rows]
    says = {text for row in rows if (text := _text(row, "outcome"))}
    if not says:
        if sum(marked) != 1:
            raise AbTestError(
                "outcome", "it has no outcome and not one winner: say winner, performed_same or inconclusive"
            )
        outcome: Outcome = "winner"
    else:
        words: set[Outcome] = {_OUTCOMES[_word(text, _OUTCOMES, "outcome")] for text in says}
        if len(words) > 1:
            raise AbTestError(
                "contradictory", f"its rows name {len(words)} different outcomes ({', '.join(sorted(words))})"
            )
        outcome = words.pop()
    if outcome != "winner":
        if any(marked):
            raise AbTestError("winner", f"it names a winner and ended as {outcome}")
        return outcome, marked
    best = max((value for value in values if value is not None), default=None)
    if not any(marked) and best is not None and values.count(best) == 1:
        marked = [value == best for value in values]
    if sum(marked) != 1:
        raise AbTestError("winner", f"it ended with a winner and names {sum(marked)}: exactly one variant wins")
    if metric == "watch_time_share" and best is not None and values[marked.index(True)] != best:
        raise AbTestError("winner", "its winner has not the highest share of watch time, which is what decides")
    return outcome, marked


def _agreed(rows: Sequence[Row], name: str, read: Callable[[str], T]) -> T:
    """The one thing that all rows of a test say."""
    found = [read(_text(row, name)) for row in rows]
    if any(other != found[0] for other in found):
        raise AbTestError("contradictory", f"its rows differ in {name}")
    return found[0]


def _needed(text: str) -> str:
    if not text:
        raise AbTestError("incomplete", "its rows lack a video_id or the name of a variant")
    return text


def _metric(text: str, by_name: Metric) -> Metric:
    return _METRICS[_word(text, _METRICS, "metric")] if text else by_name


def _word(text: str, known: Mapping[str, str], name: str) -> str:
    word = " ".join(plain(text).replace("_", " ").replace("-", " ").split())
    if word not in known:
        raise AbTestError(
            f"bad_{name}", f"its {name} '{text[:40]}' is none of {', '.join(sorted(set(known.values())))}"
        )
    return word


def _yes(text: str) -> bool:
    word = plain(text)
    if word not in _YES | _NO:
        raise AbTestError("winner", f"its column winner says '{text[:40]}' where it says yes or no")
    return word in _YES


def _day(text: str) -> date:
    try:
        return datetime.fromisoformat(text).date()
    except ValueError:
        raise AbTestError("period", f"its day '{text[:40]}' is not written as 2026-01-31") from None


def _text(row: Row, name: str) -> str:
    value: Any = row.values.get(name)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # a data frame makes 7.0 of test 7
    return str(value).strip()
