"""What a row of docs/guide.md is, and the register of the functions that run them: the other guide_rows*.py fill it.

What belongs here: reading the page, and `row`. A function takes what it needs by name, as tests do: fixtures, or `row`, its own
row. It fails by an assertion where the page says what is not so.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "guide.md"
SEED = ROOT.parent / "shared" / "seed" / "training-pipeline-guide.md"
"""The guide itself is its author's and no part of the project; `make test-real` finds it beside the project."""

_ROW = re.compile(r"^\| (?P<id>[A-Z]\d*\.\d+) \|")
_QUOTE = re.compile("`([^`]+)`|\u201c([^\u201d]+)\u201d")


@dataclass(frozen=True)
class Row:
    """One row of the page, its cells as they are written there."""

    id: str
    guide: str
    here: str
    verdict: str
    test: str

    @property
    def quotes(self) -> list[str]:
        """What it takes from the guide, word by word."""
        return [code or words for code, words in _QUOTE.findall(self.guide)]


@dataclass(frozen=True)
class Test:
    """The function that runs a row. `slow`: it takes more than some seconds."""

    run: Callable[..., None]
    slow: bool


TESTS: dict[str, Test] = {}


def row(*ids: str, slow: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function for one row, or for several that say the same of different numbers."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        for name in ids:
            assert name not in TESTS, f"row {name} has two tests"
            TESTS[name] = Test(function, slow)
        return function

    return register


def rows() -> list[Row]:
    """The rows of the page, in its order."""
    return list(_rows(PAGE.read_text(encoding="utf-8").splitlines()))


def _rows(lines: list[str]) -> Iterator[Row]:
    for line in lines:
        if not _ROW.match(line):
            continue
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        assert len(cells) == 5, f"five cells, not {len(cells)}: {line}"
        cells[4] = cells[4].strip("`")
        yield Row(*cells)


def squeezed(text: str) -> str:
    """Words alone: without the Markdown around them, and with one space for many."""
    return " ".join(re.sub(r"\*\*|`", "", text).split())


def number_in(text: str, unit: str) -> float:
    """The one number before `unit`, such as 3.2 of "3.2 h"."""
    [found] = re.findall(rf"([\d.,]*\d) {re.escape(unit)}(?!\w)", text)
    return float(found.replace(",", ""))


def json_of(done: Any) -> Any:
    """What a command printed with --json."""
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)
