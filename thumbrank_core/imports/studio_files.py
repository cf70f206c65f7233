"""The table inside a file of YouTube Studio: a .csv in whatever encoding and with whatever delimiter, or Studio's .zip.

What belongs here: bytes in, rows of text out. Which column is which is studio_columns.py. Nothing is unpacked to disk, and
no more than MAX_BYTES of a file or of a member is ever read.
"""

import csv
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from thumbrank_core.imports.readers import UnreadableFileError
from thumbrank_core.imports.studio_columns import Ours, is_table_file, recognised

MAX_BYTES = 64 * 2**20
MAX_MEMBERS = 50
TEXT_ENDINGS = (".csv", ".tsv", ".txt")
# After UTF-8 the code pages in which spreadsheets save: Western, Japanese, Korean. The one whose header reads best wins.
_ENCODINGS = ("utf-8-sig", "cp1252", "cp932", "cp949")
_DELIMITERS = ",;\t"
_NEEDED: frozenset[Ours] = frozenset({"video_id", "impressions", "click_rate"})
_HEADER_WITHIN = 10
"""A report's own title may stand above the header."""


@dataclass(frozen=True)
class StudioRow:
    """A row of cells; `number` counts from 1, with the header, as a spreadsheet shows it."""

    number: int
    cells: list[str]


@dataclass(frozen=True)
class StudioTable:
    """A header and the rows below it, blank rows left out.

    `names`: the names that may carry the period, nearest first: the file, the folder or the .zip it lay in. `notes`: lines
    above the header.
    """

    name: str
    names: list[str]
    header: list[str]
    rows: list[StudioRow]
    notes: int = field(default=0)


def read_table(path: Path, mapping: Mapping[str, str]) -> StudioTable:
    """Read the table of a file.

    Args:
        path: a .csv, .tsv or .txt, or a .zip as Studio gives it.
        mapping: theirs -> ours, as given with --map: such a column also tells which row is the header.

    Raises:
        UnreadableFileError: it is missing, too large, not what its name says, or holds no table. The sentence begins
            with the name of the file.
    """
    ending = path.suffix.lower()
    if ending not in (*TEXT_ENDINGS, ".zip"):
        raise UnreadableFileError(
            f"{path.name}: it is neither a .csv nor Studio's .zip; export it again, or correct its ending."
        )
    if not path.is_file():
        raise UnreadableFileError(f"{path}: there is no such file; check the path.")
    if path.stat().st_size > MAX_BYTES:
        raise UnreadableFileError(f"{path.name}: it is larger than {MAX_BYTES // 2**20} MiB; export a shorter period.")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableFileError(f"{path.name}: it cannot be read ({error.strerror or error}).") from None
    if ending == ".zip":
        return _from_zip(path, data, mapping)
    return _table(path.name, [path.stem, path.resolve().parent.name], data, mapping)


def _from_zip(path: Path, data: bytes, mapping: Mapping[str, str]) -> StudioTable:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if len(members) > MAX_MEMBERS:
                raise UnreadableFileError(
                    f"{path.name}: it holds more than {MAX_MEMBERS} files; give it as Studio made it."
                )
            tables = [m for m in members if not m.is_dir() and m.filename.lower().endswith(".csv")]
            named = [m for m in tables if is_table_file(m.filename.rpartition("/")[2])]
            if len(named) != 1:
                # A name that Studio has changed, or that the .zip does not say in UTF-8: the columns tell.
                named = [m for m in named or tables if _looks_right(_content(path, archive, m), mapping)]
            if len(named) != 1:
                inside = ", ".join(f"'{m.filename}'" for m in members[:6]) or "nothing"
                raise UnreadableFileError(
                    f"{path.name}: it does not hold one table of videos with impressions and click rate (it holds {inside}); "
                    "export the tab Content, or unpack it and name the .csv."
                )
            content = _content(path, archive, named[0])
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError):
        raise UnreadableFileError(f"{path.name}: it is not a readable .zip; export it again.") from None
    folder, _, member = named[0].filename.rpartition("/")
    return _table(f"{path.name}/{member}", [path.stem, folder.rpartition("/")[2]], content, mapping)


def _content(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    if member.flag_bits & 0x1:
        raise UnreadableFileError(f"{path.name}: it is locked with a password; unpack it and name the .csv.")
    with archive.open(member) as file:
        data = file.read(MAX_BYTES + 1)  # what the .zip says about its sizes need not be true
    if len(data) > MAX_BYTES:
        raise UnreadableFileError(
            f"{path.name}: it holds a file larger than {MAX_BYTES // 2**20} MiB; export a shorter period."
        )
    return data


def _looks_right(data: bytes, mapping: Mapping[str, str]) -> bool:
    return any(found.columns >= _NEEDED for found in _readings(data, mapping))


@dataclass(frozen=True)
class _Reading:
    """One way to read the bytes: where the header is, and which of our columns it names."""

    text: str
    delimiter: str
    header_at: int
    columns: frozenset[Ours]
    width: int

    @property
    def rank(self) -> tuple[int, int]:
        return len(self.columns), self.width


def _table(name: str, names: list[str], data: bytes, mapping: Mapping[str, str]) -> StudioTable:
    readings = list(_readings(data, mapping))
    if not readings:
        raise UnreadableFileError(f"{name}: it holds no rows of text; export it again.")
    best = max(readings, key=lambda found: found.rank)  # of equals the first: UTF-8, comma
    try:
        rows = [
            StudioRow(n, cells)
            for n, cells in enumerate(_rows(best.text, best.delimiter), 1)
            if any(map(str.strip, cells))
        ]
    except csv.Error as error:
        raise UnreadableFileError(f"{name}: it is not CSV ({error}); export it again.") from None
    header = next(row for row in rows if row.number == best.header_at)
    above = sum(row.number < best.header_at for row in rows)
    return StudioTable(name, names, header.cells, [row for row in rows if row.number > best.header_at], above)


def _readings(data: bytes, mapping: Mapping[str, str]) -> Iterator[_Reading]:
    for text in _texts(data):
        for delimiter in _DELIMITERS:
            found = _header_of(text, delimiter, mapping)
            if found is not None:
                yield found


def _header_of(text: str, delimiter: str, mapping: Mapping[str, str]) -> _Reading | None:
    best: _Reading | None = None
    try:
        for number, cells in enumerate(_rows(text, delimiter), 1):
            width = sum(1 for cell in cells if cell.strip())
            found = _Reading(text, delimiter, number, recognised(cells, mapping), width)
            if width and (best is None or found.rank > best.rank):
                best = found
            if number == _HEADER_WITHIN:
                break
    except csv.Error:
        return None  # not with this delimiter; if with none, the file is refused
    return best


def _texts(data: bytes) -> Iterator[str]:
    """The text of the file in every encoding in which it is text, the likeliest first."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encodings: tuple[str, ...] = ("utf-16",)
    elif b"\x00" in data[:400]:
        encodings = ("utf-16-le",) if data[1:400:2].count(0) > data[:400:2].count(0) else ("utf-16-be",)
    else:
        encodings = _ENCODINGS
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue  # not this one; if none, the file is refused
        if "\x00" not in text:
            yield text
        if encoding == "utf-8-sig":
            return  # what is UTF-8 is nothing else


def _rows(text: str, delimiter: str) -> Iterator[list[str]]:
    return iter(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
