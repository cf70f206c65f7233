"""A team's own data set enters where the API's rows enter: channels, videos, counts and pictures, with every miss recorded."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from thumbrank_core.batches import batched
from thumbrank_core.imports.columns import resolve
from thumbrank_core.imports.readers import BrokenRow, Row, Table, UnreadableFileError, open_table
from thumbrank_core.imports.rows import Parsed, RowError, parse
from thumbrank_core.progress import track
from thumbrank_core.store.catalog import (
    Miss,
    PictureSeen,
    clear_misses,
    record_channels,
    record_misses,
    record_pictures,
    record_videos,
)
from thumbrank_core.store.database import Connection, Database
from thumbrank_core.store.images import ImageStore
from thumbrank_core.store.picture import MAX_BYTES, PictureError
from thumbrank_core.store.tombstones import forgotten

ENDINGS = (".jpg", ".jpeg", ".png", ".webp")
COMMIT_EVERY = 250
SHOWN_MISSES = 3


@dataclass
class Imported:
    """What an import did. `row_misses` and `picture_misses` count by reason; `columns` says what was read as what, `unread` which
    columns of the file were not."""

    rows: int = 0
    videos: int = 0
    videos_new: int = 0
    without_views: int = 0
    pictures: int = 0
    row_misses: dict[str, int] = field(default_factory=dict[str, int])
    picture_misses: dict[str, int] = field(default_factory=dict[str, int])
    elsewhere: dict[str, int] = field(default_factory=dict[str, int])
    columns: dict[str, str] = field(default_factory=dict[str, str])
    unread: tuple[str, ...] = ()


def import_dataset(
    database: Database,
    images: ImageStore,
    path: Path,
    image_folder: Path,
    niche: str,
    observed_at: datetime | None,
    mapping: Mapping[str, str],
) -> Imported:
    """Bring `path` and the pictures beside it into the observed tables. Importing twice leaves the same tables.

    Raises:
        UnreadableFileError: the file, or the folder of pictures, is not usable at all.
        ColumnError: a required column is missing; nothing is written.
    """
    table = open_table(path)
    if not image_folder.is_dir():
        raise UnreadableFileError(
            f"{image_folder} is not a folder: name the one that holds <video_id>.jpg files with --images."
        )
    columns = resolve(table.columns, mapping)
    if observed_at is None and "observed_at" not in columns:
        raise UnreadableFileError(
            "The file does not say when its counts were seen: add --observed-at TIME (such as 2026-01-31T00:00Z), or a column "
            "observed_at."
        )
    read = set(columns.values())
    result = Imported(columns=columns, unread=tuple(name for name in table.columns if name not in read))
    with database.connection() as connection:  # what an earlier import of this file missed may have been mended
        connection.execute(
            "delete from thumbrank.misses where kind = 'import_row' and niche = %s and starts_with(item_id, %s)",
            (niche, f"{path.name}:"),
        )
    with track(f"{niche}: importing rows") as advance:
        for batch in batched(_parsed(table, columns, observed_at, path.name), COMMIT_EVERY):
            _write(database, images, niche, image_folder, batch, result)
            advance(len(batch))
    return result


def _parsed(
    table: Table, columns: Mapping[str, str], observed_at: datetime | None, name: str
) -> Iterator[Parsed | Miss]:
    for row in table.rows():
        item, now = f"{name}:{row.number}", datetime.now(UTC)
        if isinstance(row, BrokenRow):
            yield Miss("import_row", item, "broken_row", f"Row {row.number}: {row.why}.", now)
            continue
        try:
            yield parse(_ours(row, columns), observed_at)
        except RowError as error:
            yield Miss("import_row", item, error.reason, f"Row {row.number}: {error}.", now)


def some_misses(connection: Connection, niche: str, name: str) -> list[str]:
    """The first rows of the file that were missed, and the first pictures, in words: enough to see what is wrong with the rest."""
    rows = connection.execute(
        "(select item_id, detail from thumbrank.misses where kind = 'import_row' and niche = %(niche)s "
        "and starts_with(item_id, %(file)s) order by item_id limit %(most)s) union all "
        "(select item_id, detail from thumbrank.misses where kind = 'picture' and niche = %(niche)s order by item_id limit %(most)s)",
        {"niche": niche, "file": f"{name}:", "most": SHOWN_MISSES},
    ).fetchall()
    return [f"{item}: {detail}" for item, detail in rows]


def _ours(row: Row, columns: Mapping[str, str]) -> dict[str, object]:
    return {our: row.values.get(their) for our, their in columns.items()}


def _write(
    database: Database,
    images: ImageStore,
    niche: str,
    folder: Path,
    batch: Sequence[Parsed | Miss],
    result: Imported,
) -> None:
    good = [entry for entry in batch if isinstance(entry, Parsed)]
    bad = [entry for entry in batch if isinstance(entry, Miss)]
    pictures = [_picture(images, folder, entry) for entry in good]
    seen = [picture for picture in pictures if isinstance(picture, PictureSeen)]
    lost = [picture for picture in pictures if isinstance(picture, Miss)]
    with database.connection() as connection:
        good, seen = _not_forgotten(connection, good, seen, result)
        channels = {entry.channel.channel_id: entry.channel for entry in good}
        owners = record_channels(connection, niche, list(channels.values())).by_niche
        written = record_videos(connection, [entry.video for entry in good])
        record_pictures(connection, seen)
        clear_misses(connection, "picture", [picture.video_id for picture in seen])
        record_misses(connection, niche, [*bad, *lost])
    result.rows += len(batch)
    result.videos += len(good)
    result.videos_new += written.inserted
    result.without_views += sum(entry.video.view_count is None for entry in good)
    result.pictures += len(seen)
    for counts, misses in ((result.row_misses, bad), (result.picture_misses, lost)):
        for miss in misses:
            counts[miss.reason] = counts.get(miss.reason, 0) + 1
    for owner, count in owners.items():
        if owner != niche:
            result.elsewhere[owner] = result.elsewhere.get(owner, 0) + count


def _not_forgotten(
    connection: psycopg.Connection, good: Sequence[Parsed], seen: Sequence[PictureSeen], result: Imported
) -> tuple[list[Parsed], list[PictureSeen]]:
    """Without what somebody asked us to forget: counted, and not written down again."""
    videos = forgotten(connection, "video", {entry.video.video_id for entry in good})
    channels = forgotten(connection, "channel", {entry.channel.channel_id for entry in good})
    kept = [e for e in good if e.video.video_id not in videos and e.channel.channel_id not in channels]
    if len(kept) < len(good):
        result.row_misses["forgotten"] = result.row_misses.get("forgotten", 0) + len(good) - len(kept)
    ids = {entry.video.video_id for entry in kept}
    return kept, [picture for picture in seen if picture.video_id in ids]


def _picture(images: ImageStore, folder: Path, entry: Parsed) -> PictureSeen | Miss:
    video_id, now = entry.video.video_id, datetime.now(UTC)
    path = next((file for ending in ENDINGS if (file := folder / f"{video_id}{ending}").is_file()), None)
    if path is None:
        return Miss("picture", video_id, "no_file", f"{folder.name}/ has no {video_id}.jpg, .png or .webp.", now)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise PictureError("too_large", f"{path.name} is larger than {MAX_BYTES:,} bytes.")
        return PictureSeen(video_id, images.put(path.read_bytes()), None, entry.video.seen_at)
    except PictureError as error:
        return Miss("picture", video_id, error.reason, f"{path.name}: {error}", now)
    except OSError as error:
        return Miss("picture", video_id, "unreadable", f"{path.name} cannot be read ({error.strerror}).", now)
