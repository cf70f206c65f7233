"""Resources written straight to JSON text: a shape says what a resource consists of, a writer writes what was asked for.

`part` and `fields` choose members once, when the writer is made, and not again for every item: most of what a crawl costs
the simulator would otherwise be building what nobody asked for and taking it apart again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from json.encoder import encode_basestring
from typing import Generic, TypeVar

from thumbrank_core.simulator.fields import Selection
from thumbrank_core.simulator.formats import timestamp

T = TypeVar("T")

Leaf = Callable[[T], str | None]
"""The JSON text of one member, None where the thing has no such member."""


@dataclass(frozen=True)
class Shape(Generic[T]):
    """A JSON object about a thing."""

    members: Mapping[str, "str | Leaf[T] | Shape[T]"]
    """In the order in which they are sent; a string is JSON text that is always the same."""
    exists: Callable[[T], bool] | None = None
    """Whether a thing has this object at all; None is always."""
    whole: Leaf[T] | None = None
    """A faster way to write the object where all of it is wanted."""


def writer(shape: Shape[T], selection: Selection | None) -> Callable[[T], str]:
    """Writes what `selection` leaves of a resource, which always exists; None is all of it."""
    write = _leaf(shape, selection)
    return lambda thing: write(thing) or "{}"


def _leaf(shape: Shape[T], selection: Selection | None) -> Leaf[T]:
    """The same for a part of a resource, which may be absent."""
    if selection is None and shape.whole is not None:
        return shape.whole
    pieces: list[tuple[str, Leaf[T]]] = []
    for key, member in shape.members.items():
        if selection is None or key in selection:
            if isinstance(member, str):
                pieces.append((f'"{key}":{member}', _nothing_more))
            elif isinstance(member, Shape):
                below = None if selection is None else selection[key]
                pieces.append((f'"{key}":', _leaf(member, below)))
            else:
                pieces.append((f'"{key}":', member))
    exists = shape.exists

    def write(thing: T) -> str | None:
        if exists is not None and not exists(thing):
            return None
        return f"{{{','.join([front + text for front, leaf in pieces if (text := leaf(thing)) is not None])}}}"

    return write


def _nothing_more(_thing: object) -> str:
    """What follows the key of a member that is always the same: its value stands there already."""
    return ""


def only(shape: Shape[T], names: set[str]) -> Shape[T]:
    """The shape with these members and the id, which is sent unasked."""
    return Shape({name: member for name, member in shape.members.items() if name == "id" or name in names})


def text(value: str) -> str:
    """A string as JSON."""
    return encode_basestring(value)


def count(value: int | None) -> str | None:
    """A number as the API writes counts: as a string."""
    return None if value is None else f'"{value}"'


def flag(value: bool) -> str:
    """A boolean as JSON."""
    return "true" if value else "false"


def time(when: datetime) -> str:
    """A timestamp as JSON."""
    return f'"{timestamp(when)}"'


def words(values: Sequence[str]) -> str:
    """A list of strings as JSON."""
    return f"[{','.join(map(encode_basestring, values))}]"
