"""Reading a request of the Data API: parameters, parts, ids and pages. What it gets lies in `answers` and `search`."""

from base64 import urlsafe_b64decode
from binascii import Error
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from thumbrank_core.simulator import api_errors
from thumbrank_core.simulator.fields import Selection
from thumbrank_core.simulator.ids import base64url, digest

MAX_IDS = 50
MAX_RESULTS = 50
DEFAULT_RESULTS = 5

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class Query:
    """The parameters of one request; a repeated parameter keeps all its values."""

    values: Mapping[str, Sequence[str]]
    host: str
    """Where the caller reached us, such as "http://127.0.0.1:8080": pictures are linked there."""
    number: int = 0
    """Which request to the Data API this is, from 0."""
    selection: Selection | None = None
    """What the `fields` parameter selects; None is everything."""
    owner: str | None = None
    """The channel whose owner's token came with the request."""

    def get(self, name: str) -> str | None:
        """The last value, or None where it is absent or empty."""
        values = self.values.get(name)
        return values[-1] or None if values else None

    def all(self, name: str) -> list[str]:
        """Every value, whether repeated or separated by commas."""
        return [item.strip() for value in self.values.get(name, ()) for item in value.split(",") if item.strip()]

    def parts(self, known: Sequence[str]) -> set[str]:
        """The parts asked for; 400 where none is or one is unknown."""
        asked = self.all("part")
        if not asked:
            raise api_errors.missing_parameter("part")
        for part in asked:
            if part not in known:
                raise api_errors.unknown_part(part)
        return set(asked)

    @property
    def items_selection(self) -> Selection | None:
        """What `fields` selects of each item; None is everything."""
        return None if self.selection is None else self.selection.get("items", {})

    def ids(self, name: str = "id") -> list[str]:
        """The identifiers, each once, in their order; 400 for more than 50."""
        asked = self.all(name)
        if len(asked) > MAX_IDS:
            raise api_errors.invalid_filters()
        return list(dict.fromkeys(asked))

    def integer(self, name: str, lowest: int, highest: int) -> int | None:
        """A whole number, None where it is absent; 400 with the range where it lies outside."""
        text = self.get(name)
        if text is None:
            return None
        value = int(text) if text.isascii() and text.isdigit() else -1
        if not lowest <= value <= highest:
            raise api_errors.invalid_value(name, text, f"Values must be within the range: [{lowest}, {highest}]")
        return value

    def time(self, name: str) -> datetime | None:
        """An RFC 3339 time; 400 where it is not one."""
        text = self.get(name)
        if text is None:
            return None
        try:
            when = datetime.fromisoformat(text)
        except ValueError as error:
            raise api_errors.invalid_value(name, text) from error
        if when.tzinfo is None:
            raise api_errors.invalid_value(name, text)
        return when


@dataclass(frozen=True)
class Page(Generic[T]):
    """A piece of a list and the tokens of its neighbours."""

    items: Sequence[T]
    size: int
    next_token: str | None
    previous_token: str | None

    def holding(self, items: Sequence[U]) -> "Page[U]":
        """The same page with what was made of its items."""
        return Page(items, self.size, self.next_token, self.previous_token)


def page(query: Query, items: Sequence[T], of: str) -> Page[T]:
    """The page that `maxResults` and `pageToken` ask for; `of` names the list, for tokens belong to one list only."""
    asked = query.integer("maxResults", 0, MAX_RESULTS)
    size = DEFAULT_RESULTS if asked is None else asked
    token = query.get("pageToken")
    start = 0 if token is None else _offset(token, of)
    end = start + size
    return Page(
        items=items[start:end],
        size=size,
        next_token=_token(end, of) if size and end < len(items) else None,
        previous_token=_token(max(0, start - size), of) if start else None,
    )


def _token(offset: int, of: str) -> str:
    """Six bytes that say nothing to a reader: the offset, masked, and a mark that proves we wrote it."""
    mark = digest(4, "page", of, offset)
    masked = offset ^ int.from_bytes(mark[:2])
    return "C" + base64url(masked.to_bytes(2) + mark)


def _offset(token: str, of: str) -> int:
    try:
        data = urlsafe_b64decode(token[1:] + "=" * (-len(token[1:]) % 4))
    except (Error, ValueError) as error:
        raise api_errors.invalid_page_token() from error
    if len(data) != 6:
        raise api_errors.invalid_page_token()
    offset = int.from_bytes(data[:2]) ^ int.from_bytes(data[2:4])
    if token != _token(offset, of):
        raise api_errors.invalid_page_token()
    return offset
