"""From an answer's contents to the bytes that are sent: envelope, etags, and what `fields` leaves of the envelope.

The items come written (`shapes`). An etag is a digest of what was written: it costs a microsecond and changes exactly when
the contents do.
"""

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from thumbrank_core.simulator.api_errors import Json
from thumbrank_core.simulator.fields import Selection, project
from thumbrank_core.simulator.ids import base64url, digest
from thumbrank_core.simulator.requests import Page

GZIP_ABOVE = 1024
"""Smaller bodies are sent as they are."""

_GZIP_WINDOW = 31
"""zlib's word for a gzip header around 32 kB of window."""

_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True)
class Answer:
    """The contents of one answer, still without etags."""

    kind: str
    head: Json = field(default_factory=dict[str, object])
    """What stands before the items."""
    items: Sequence[str] | None = None
    """JSON objects without kind and etag; None where the answer has no list, or leaves it out."""
    item_kind: str = ""
    tail: Json = field(default_factory=dict[str, object])
    """What stands after the items."""
    salt: str = ""
    """Makes the etag differ where the contents do not: search etags change with every call."""


def listing(name: str, page: Page[str], total: int, *, region: str | None = None, salt: str = "") -> Answer:
    """The answer that holds a page of `youtube#<name>` items (a search has results)."""
    head: Json = {}
    if page.next_token is not None:
        head["nextPageToken"] = page.next_token
    if page.previous_token is not None:
        head["prevPageToken"] = page.previous_token
    if region is not None:
        head["regionCode"] = region
    head["pageInfo"] = {"totalResults": total, "resultsPerPage": page.size}
    item_kind = "searchResult" if name == "search" else name
    return Answer(f"youtube#{name}ListResponse", head, page.items, f"youtube#{item_kind}", salt=salt)


def render(answer: Answer, selection: Selection | None = None) -> tuple[bytes, str]:
    """The JSON in UTF-8 and the etag of the whole; `selection` is what `fields` asks for."""
    items = "" if answer.items is None else _items(answer.items, answer.item_kind, selection)
    head, tail = _ENCODER.encode(answer.head), _ENCODER.encode(answer.tail)
    whole = _etag(f"{answer.kind}{head}{items}{tail}{answer.salt}")
    first = _selected({"kind": answer.kind, "etag": whole, **answer.head}, selection)
    pieces = [_ENCODER.encode(first)[1:-1]] if first else []
    if answer.items is not None and (selection is None or "items" in selection):
        pieces.append(f'"items":[{items}]')
    last = _selected(answer.tail, selection)
    if last:
        pieces.append(_ENCODER.encode(last)[1:-1])
    return f"{{{','.join(pieces)}}}".encode(), whole


def table(name: str, bodies: Sequence[Json], selection: Selection | None) -> Answer:
    """The answer that holds a whole table of `youtube#<name>` items; the service sends these without pageInfo."""
    below: Selection | None = None if selection is None else selection.get("items", {})
    items = [_ENCODER.encode(project(body, below)) for body in bodies]
    return Answer(f"youtube#{name}ListResponse", items=items, item_kind=f"youtube#{name}")


def encode(body: Json) -> bytes:
    """Any JSON object in UTF-8."""
    return _ENCODER.encode(body).encode()


def compressed(body: bytes) -> bytes:
    """The body in gzip, quickly rather than tightly."""
    packer = zlib.compressobj(1, zlib.DEFLATED, _GZIP_WINDOW)
    return packer.compress(body) + packer.flush()


def _items(items: Sequence[str], kind: str, selection: Selection | None) -> str:
    """The items with commas between them, each with its kind and etag in front where they are selected."""
    below: Selection | None = None if selection is None else selection.get("items", {})
    shows_kind = below is None or "kind" in below
    shows_etag = below is None or "etag" in below
    if not shows_kind and not shows_etag:
        return ",".join(items)
    front = f'"kind":"{kind}"' if shows_kind else ""
    texts: list[str] = []
    for item in items:
        known = [front] if front else []
        if shows_etag:
            known.append(f'"etag":"{_etag(item)}"')
        if item != "{}":
            known.append(item[1:-1])
        texts.append(f"{{{','.join(known)}}}")
    return ",".join(texts)


def _selected(body: Json, selection: Selection | None) -> Json:
    return (
        body
        if selection is None
        else {key: project(value, selection[key]) for key, value in body.items() if key in selection}
    )


def _etag(text: str) -> str:
    return base64url(digest(20, "etag", text))
