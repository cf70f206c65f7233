"""Rendered pages: which of the videos on them are gone, and the pages without those.

Every HTML file below the given folders is looked at: the reports, and copies of them among MLflow's local artifacts. A page
keeps its figures; a video on it stays only as long as the database still holds what the page shows of it.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.evaluation.shown import Shown, shown_on, without
from thumbrank_core.features.cache import title_sha256
from thumbrank_core.progress import track
from thumbrank_core.store.files import write_bytes


@dataclass(frozen=True)
class Page:
    """An HTML file that shows videos."""

    path: Path
    shown: tuple[Shown, ...]


def find_pages(folders: Iterable[Path]) -> list[Page]:
    """The pages below `folders` that show any video; a folder that is not there has none.

    Raises:
        ThumbrankError: a page cannot be read.
    """
    paths = sorted({path for folder in folders for path in folder.rglob("*.html") if path.is_file()})
    pages: list[Page] = []
    with track("reading reports", len(paths)) as advance:
        for path in paths:
            shown = shown_on(_readable(path))
            if shown:
                pages.append(Page(path, tuple(shown)))
            advance(1)
    return pages


@dataclass(frozen=True)
class _Held:
    """What the database holds of a video. `since`: its oldest count; None: it has none."""

    title_sha256: bytes
    pictures: frozenset[bytes]
    since: datetime | None
    counts_never_expire: bool

    def supports(self, side: Shown) -> bool:
        # The oldest counts go first: where one is left from before the page, the newest that the page knew is left too.
        counted = self.counts_never_expire or (self.since is not None and self.since <= side.rendered_at)
        pictured = side.picture_sha256 is None or side.picture_sha256 in self.pictures
        return counted and pictured and side.title_sha256 == self.title_sha256


def unsupported(connection: psycopg.Connection, shown: Collection[Shown]) -> set[Shown]:
    """Those of whom the database no longer holds what their page shows: the video, title, picture or count."""
    rows = connection.execute(
        "select t.video_id, t.title, array(select p.sha256 from thumbrank.picture_versions p where p.video_key = t.video_key), "
        "min(s.observed_at), coalesce(bool_or(s.expires_at is null), false) "
        "from thumbrank.thumbnails t left join thumbrank.view_snapshots s using (video_key) "
        "where t.video_id = any(%s) and t.title is not null group by t.video_key",
        (sorted({side.video_id for side in shown}),),
    ).fetchall()
    held = {
        str(video_id): _Held(title_sha256(title), frozenset(bytes(picture) for picture in pictures), since, never)
        for video_id, title, pictures, since, never in rows
    }
    return {side for side in shown if side.video_id not in held or not held[side.video_id].supports(side)}


def take_out(pages: Sequence[Page], gone: Collection[Shown]) -> int:
    """Rewrite the pages without those videos; returns how many places on pages that were.

    Raises:
        ThumbrankError: a page cannot be rewritten; those before it are done, and the next run does the rest.
    """
    affected = [page for page in pages if any(side in gone for side in page.shown)]
    with track("rendering reports again", len(affected)) as advance:
        for page in affected:
            _replace(page.path, without(_readable(page.path), lambda side: side in gone))
            advance(1)
    return places(affected, gone)


def places(pages: Iterable[Page], gone: Collection[Shown]) -> int:
    """How many places on the pages show one of those videos."""
    return sum(side in gone for page in pages for side in page.shown)


def _readable(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ThumbrankError(
            f"The report {path} cannot be read ({error.strerror}): mend its permissions, or delete it."
        ) from None


def _replace(path: Path, page: bytes) -> None:
    try:
        write_bytes(path, page)
    except OSError as error:
        raise ThumbrankError(
            f"The report {path} cannot be rewritten ({error.strerror}) and still shows what was removed: mend the folder's "
            "permissions or free space there, and run `thumbrank expire --yes`; or delete the report."
        ) from None
