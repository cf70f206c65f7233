"""Rows of a CSV, Parquet or JSON lines file, one at a time, as plain mappings. A row that cannot be read is a `BrokenRow`;
the rows around it are.
"""

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thumbrank_core.errors import ThumbrankError

MAX_FIELD = 2**20
MOST_LEVELS = 64
"""Of lists and objects within one another: more than any export has, and fewer than Python's own recursion bears."""


class UnreadableFileError(ThumbrankError):
    """A file that is not there, or not what its name says."""


@dataclass(frozen=True)
class Row:
    """A row that could be read; `number` counts from 1 and matches what an editor or a spreadsheet shows."""

    number: int
    values: dict[str, Any]


@dataclass(frozen=True)
class BrokenRow:
    """A row that could not be read, and why."""

    number: int
    why: str


@dataclass(frozen=True)
class Table:
    """The columns of a file and a way to read its rows, as often as needed."""

    columns: list[str]
    rows: Callable[[], Iterator[Row | BrokenRow]]


def open_table(path: Path) -> Table:
    """Open a data file by its ending.

    Raises:
        UnreadableFileError: it is missing, empty, of another kind, or not readable as what its name says.
    """
    readers = {".csv": _csv, ".parquet": _parquet, ".jsonl": _json_lines, ".ndjson": _json_lines}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UnreadableFileError(
            f"{path.name} is not a .csv, .parquet or .jsonl file: convert it, or correct its ending."
        )
    if not path.is_file():
        raise UnreadableFileError(f"{path} does not exist: check the path.")
    try:
        table = reader(path)
    except csv.Error as error:
        raise UnreadableFileError(f"{path.name} is not CSV ({error}): check the file.") from None
    except OSError as error:
        raise UnreadableFileError(f"{path.name} cannot be read ({error.strerror or error}): check the file.") from None
    if not table.columns:
        raise UnreadableFileError(f"{path.name} has no rows: export it again.")
    return table


def _csv(path: Path) -> Table:
    csv.field_size_limit(MAX_FIELD)
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        columns = next(csv.reader(file), [])
    if any("\ufffd" in name or "\x00" in name for name in columns):
        raise UnreadableFileError(f"{path.name} is not UTF-8 text: save it as UTF-8.")

    def rows() -> Iterator[Row | BrokenRow]:
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            reader = csv.reader(file)
            next(reader, None)
            number = 1
            while True:
                number += 1
                try:
                    fields = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield BrokenRow(number, str(error))
                    continue
                if not fields:
                    continue
                if len(fields) != len(columns):
                    yield BrokenRow(number, f"it has {len(fields)} fields where the header has {len(columns)}")
                elif any("\ufffd" in field for field in fields):
                    yield BrokenRow(number, "it is not UTF-8 text")
                else:
                    yield Row(number, dict(zip(columns, fields, strict=True)))

    return Table(columns, rows)


def _parquet(path: Path) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        columns = list(pq.read_schema(path).names)
    except pa.ArrowException:
        raise UnreadableFileError(f"{path.name} is not a Parquet file: check the file.") from None

    def batches() -> Iterator[list[dict[str, Any]]]:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=2000):
                yield batch.to_pylist()

    def rows() -> Iterator[Row | BrokenRow]:
        number, rest = 0, batches()
        while True:
            try:
                batch = next(rest, None)
            # Damaged, or a value that Python cannot hold.
            except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
                raise UnreadableFileError(
                    f"{path.name} cannot be read after row {number:,} ({_one_line(error)}): export it again."
                ) from None
            if batch is None:
                return
            for values in batch:
                number += 1
                yield Row(number, values)

    return Table(columns, rows)


def _json_lines(path: Path) -> Table:
    def rows() -> Iterator[Row | BrokenRow]:
        with path.open(encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                try:
                    parsed = json.loads(line)
                    too_deep = _too_deep(parsed)
                except ValueError as error:
                    yield BrokenRow(number, f"it is not JSON ({error})")
                    continue
                except RecursionError:
                    too_deep = parsed = True
                if too_deep:
                    yield BrokenRow(number, f"it has more than {MOST_LEVELS} levels of lists and objects")
                elif isinstance(parsed, dict):
                    yield Row(number, _flat(parsed))
                else:
                    yield BrokenRow(number, "it is not a JSON object")

    columns: dict[str, None] = {}
    for row in rows():
        if isinstance(row, Row):
            columns.update(dict.fromkeys(row.values))
    return Table(list(columns), rows)


def _too_deep(value: Any, levels: int = MOST_LEVELS) -> bool:
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return False
    return levels == 0 or any(_too_deep(each, levels - 1) for each in value if isinstance(each, dict | list))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


def _flat(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"snippet": {"title": x}}` -> `{"snippet.title": x}`; lists stay as they are."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat
