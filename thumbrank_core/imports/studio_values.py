"""Cells of a Studio export as numbers and days, however a language or a spreadsheet wrote them.

What belongs here: text in, values out. The decimal mark and the order of day and month are decided once for a whole file
from all of its cells, and where the cells do not tell, the file is refused: 1.234 is a thousand times 1,234.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from thumbrank_core.errors import ThumbrankError

Mark = Literal[".", ","]
EMPTY = frozenset({"", "-", "\u2013", "\u2014"})
"""What stands in a cell without a value."""


class AmbiguousValuesError(ThumbrankError):
    """Cells that can be read in two ways, with two of them as evidence."""


# A number with its thousands, if any, and one decimal part, if any; 1,23,456 is how India groups. Which mark is which is
# decided by the caller: 1.234 matches as a group.
_SHAPE = re.compile(
    r"(?:(?P<lead>[1-9]\d{0,2})(?P<group>[.,' ])\d{3}(?P<more>(?:(?P=group)\d{3})*)|(?P<lakh>[1-9]\d?(?:,\d\d)+,\d{3})|\d+)"
    r"(?:(?P<mark>[.,])(?P<part>\d+))?"
)


def bare(cell: str) -> str:
    """A cell without percent sign and outer space, with ordinary spaces, figures and apostrophes; '' if it has no value."""
    text = " ".join(unicodedata.normalize("NFKC", cell).replace("\u2019", "'").replace("\u00ad", "").split())
    text = text.removeprefix("%").removesuffix("%").strip()
    return "" if text in EMPTY else text


def decimal_mark(impressions: Sequence[str], click_rates: Sequence[str], others: Iterable[Sequence[str]] = ()) -> Mark:
    """The decimal mark of a file.

    Args:
        impressions: the cells of that column; they are whole, so that 1.234 is 1234.
        click_rates: the cells of that column; none is above 100, so that 6.580 is 6.58.
        others: the cells of every other column; asked where these two do not tell, and only if all numbers.

    Raises:
        AmbiguousValuesError: the cells contradict one another.
    """
    certain: dict[Mark, str] = {}
    grouping: dict[Mark, str] = {}  # the mark of 1.234 among impressions, which cannot be the decimal one
    for cell in impressions:
        _learn(cell, certain, single=grouping)
    for cell in click_rates:
        _learn(cell, certain, single=certain)
    for column in others if not certain else ():
        if all(_SHAPE.fullmatch(bare(cell)) or not bare(cell) for cell in column):
            for cell in column:
                _learn(cell, certain, single=None)
    if len(certain) > 1 or len(grouping) > 1 or set(certain) & set(grouping):
        first, second = [*certain.values(), *grouping.values()][:2]
        raise AmbiguousValuesError(
            f"its numbers contradict one another ('{first}' and '{second}'), so that it cannot be told which mark is the "
            "decimal one: save it with one way of writing numbers, as Studio exported it."
        )
    if certain:
        return next(iter(certain))
    return "," if "." in grouping else "."


def _learn(cell: str, certain: dict[Mark, str], *, single: dict[Mark, str] | None) -> None:
    """Note what a cell says about the decimal mark; `single` takes the mark of a number such as 1.234."""
    shape, shown = _SHAPE.fullmatch(bare(cell)), " ".join(cell.split())
    if shape is None:
        return
    group = "," if shape["lakh"] else shape["group"]
    if shape["mark"] is not None and shape["mark"] != group:
        certain.setdefault("." if shape["mark"] == "." else ",", shown)
    elif group in (".", ",") and shape["mark"] is None:
        if shape["more"] or shape["lakh"]:
            certain.setdefault("," if group == "." else ".", shown)
        elif single is not None:
            single.setdefault("." if group == "." else ",", shown)


def _read(text: str, mark: Mark) -> float | None:
    whole, _, part = text.partition(mark)
    group = r"[ '" + ("," if mark == "." else ".") + "]"
    grouped = re.fullmatch(rf"[0-9]+|[1-9][0-9]{{0,2}}({group})[0-9]{{3}}(?:\1[0-9]{{3}})*", whole)
    lakh = mark == "." and re.fullmatch(r"[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}", whole)
    if not (grouped or lakh) or (mark in text and not re.fullmatch(r"[0-9]+", part)):
        return None
    return float(re.sub(r"[^0-9]", "", whole) + "." + (part or "0"))


def number_of(cell: str, mark: Mark) -> float | None:
    """A cell as a number of 0 or more; None if it has no value.

    Raises:
        ValueError: it is not a number with this decimal mark.
    """
    text = bare(cell)
    number = _read(text, mark) if text else None
    if text and number is None:
        raise ValueError(f"'{cell.strip()[:40]}' is not a number")
    return number


def count_of(cell: str, mark: Mark) -> int | None:
    """A cell as a whole number of 0 or more; None if it has no value.

    Raises:
        ValueError: it is not one.
    """
    number = number_of(cell, mark)
    if number is None:
        return None
    if number != int(number) or number >= 2**53:
        raise ValueError(f"'{cell.strip()[:40]}' is not a whole number")
    return int(number)


def is_percent(cells: Sequence[str], mark: Mark, header_says_so: bool) -> bool:
    """Whether the click rates are percentages; always so in Studio's own files.

    Raises:
        AmbiguousValuesError: neither the header nor a value says so, and none is above 1.
    """
    if header_says_so or any("%" in unicodedata.normalize("NFKC", cell) for cell in cells):
        return True
    values = [number for cell in cells if (number := _read(bare(cell), mark)) is not None]
    if values and 0 < max(values) <= 1:
        raise AmbiguousValuesError(
            "it does not say whether its click rates are percentages, and none is above 1: write (%) into the column's name and "
            "its values in percent."
        )
    return True


_MONTHS = {
    **{"jan": 1, "ene": 1, "feb": 2, "fev": 2, "mar": 3, "mrz": 3, "apr": 4, "abr": 4, "avr": 4, "mai": 5, "may": 5},
    **{"jun": 6, "juin": 6, "jul": 7, "juil": 7, "aug": 8, "aou": 8, "ago": 8, "sep": 9, "set": 9, "oct": 10},
    **{"okt": 10, "out": 10, "nov": 11, "dec": 12, "dez": 12, "dic": 12},
}
"""The beginnings of the names of months in the languages that name them, without accents."""
_YEAR_FIRST = re.compile(r"(\d{4})\s*[-/.年년]\s*(\d{1,2})\s*[-/.月월]\s*(\d{1,2})\s*[日일.]?|(\d{4})(\d\d)(\d\d)")
_DAY_MONTH = re.compile(r"(\d{1,2})[ .-]+(?:de )?([^\W\d_]{3,})\.?[ ,.-]+(?:de )?(\d{4}|\d{2})")
_MONTH_DAY = re.compile(r"([^\W\d_]{3,})\.? (\d{1,2}),? (\d{4})")
_FIGURES = re.compile(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4}|\d{2})")


@dataclass(frozen=True)
class _Order:
    """Whether the day stands first in 31/1/2026, by separator."""

    day_first: dict[str, bool]


def days_of(cells: Sequence[str]) -> list[date | None]:
    """The cells of a column of dates; None where a cell is none.

    Raises:
        AmbiguousValuesError: dates such as 4/5/26, and no cell tells whether the day or the month is first.
    """
    texts = [" ".join(unicodedata.normalize("NFKC", cell).replace("\u00ad", "").casefold().split()) for cell in cells]
    order = _order_of(texts)
    return [_day(text, order) for text in texts]


def _order_of(texts: Sequence[str]) -> _Order:
    day_first: dict[str, bool] = {".": True}  # with points the day is first in every language that writes points
    undecided: dict[str, str] = {}
    for text in texts:
        match = _FIGURES.fullmatch(text)
        if match is None or match[2] == ".":
            continue
        first, second = int(match[1]), int(match[3])
        if first > 12 or second > 12:
            says = first > 12
            if day_first.setdefault(match[2], says) != says:
                raise AmbiguousValuesError(
                    f"its dates mix two orders of day and month ('{text}' is the other one): write them as 2026-01-31."
                )
        elif first != second:
            undecided.setdefault(match[2], text)
    for separator, text in undecided.items():
        if separator not in day_first:
            raise AmbiguousValuesError(
                f"it cannot be told whether the day or the month is first in its dates ('{text}'): write them as 2026-01-31."
            )
    return _Order(day_first)


def _day(text: str, order: _Order) -> date | None:
    found = _parts(text, order)
    if found is None:
        return None
    year, month, day = found
    try:
        return date(year + 2000 if year < 100 else year, month, day)
    except ValueError:
        return None


def _parts(text: str, order: _Order) -> tuple[int, int, int] | None:
    """Year, month and day as they stand there; they need not be a date."""
    if match := _YEAR_FIRST.fullmatch(text):
        year, month, day = [part for part in match.groups() if part is not None]
        return int(year), int(month), int(day)
    if match := _FIGURES.fullmatch(text):
        first, second = int(match[1]), int(match[3])
        day, month = (first, second) if order.day_first.get(match[2], True) else (second, first)
        return int(match[4]), month, day
    if match := _DAY_MONTH.fullmatch(text):
        name, day, year = match[2], match[1], match[3]
    elif match := _MONTH_DAY.fullmatch(text):
        name, day, year = match[1], match[2], match[3]
    else:
        return None
    letters = unicodedata.normalize("NFD", name)
    letters = "".join(letter for letter in letters if not unicodedata.combining(letter))
    month = _MONTHS.get(letters[:4]) or _MONTHS.get(letters[:3])
    return None if month is None else (int(year), month, int(day))
