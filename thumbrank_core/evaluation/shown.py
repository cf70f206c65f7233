"""The videos that a page shows: each stands between two marks, so that it can be taken out of a page long after.

What belongs here: marking, finding and taking out. Which of them must go is retention/. Nothing heavy is imported.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from jinja2 import Environment, PackageLoader, select_autoescape

# Hexadecimal, because an id may hold `--`, which ends an HTML comment, and a title may hold anything.
_SHOWN = re.compile(rb"<!--item:([0-9a-f]+)-->.*?<!--/item-->", re.DOTALL)


@dataclass(frozen=True)
class Shown:
    """One video on a page, by digests: which title, which picture (None: the page has none of it), and when rendered."""

    video_id: str
    title_sha256: bytes
    picture_sha256: bytes | None
    rendered_at: datetime

    def mark(self) -> str:
        """What stands in the page before the video: figures and letters a to f only."""
        picture = self.picture_sha256.hex() if self.picture_sha256 is not None else None
        fields = [self.video_id, self.title_sha256.hex(), picture, self.rendered_at.isoformat()]
        return json.dumps(fields).encode().hex()


@cache
def templates() -> Environment:
    """The templates of the pages."""
    return Environment(
        loader=PackageLoader("thumbrank_core.evaluation"), autoescape=select_autoescape(default=True), trim_blocks=True
    )


def shown_on(page: bytes) -> list[Shown]:
    """Every video that a page shows, once for each place."""
    return [_shown(found.group(1)) for found in _SHOWN.finditer(page)]


def without(page: bytes, goes: Callable[[Shown], bool]) -> bytes:
    """The page with every video that `goes` rendered as removed: no picture, title, figure or id of it is left."""
    removed = templates().get_template("item.html.j2").render(side=None).strip().encode()
    return _SHOWN.sub(lambda found: removed if goes(_shown(found.group(1))) else found.group(0), page)


def _shown(mark: bytes) -> Shown:
    video_id, title, picture, rendered_at = json.loads(bytes.fromhex(mark.decode()))
    return Shown(
        video_id,
        bytes.fromhex(title),
        bytes.fromhex(picture) if picture is not None else None,
        datetime.fromisoformat(rendered_at),
    )
