"""Tests and their pictures into `ab_outcomes`, `ab_variants` and the picture store. What a file says is ab.py."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from thumbrank_core.imports.ab import AbFile, AbTest, AbTestError, AbVariant, RejectedTest, rejected_test
from thumbrank_core.store.copy import storable_text
from thumbrank_core.store.database import Connection
from thumbrank_core.store.images import ImageStore
from thumbrank_core.store.picture import MAX_BYTES, PictureError
from thumbrank_core.store.tombstones import forgotten

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass
class StoredTests:
    """What became of a file's tests: new + updated + unchanged + forgotten + rejected is their number."""

    new: int = 0
    updated: int = 0
    unchanged: int = 0
    forgotten: int = 0
    pictures: int = 0
    rejected: list[RejectedTest] = field(default_factory=list[RejectedTest])

    @property
    def used(self) -> int:
        """Tests that are in the tables now."""
        return self.new + self.updated + self.unchanged


@dataclass(frozen=True)
class _Row:
    """A variant as it is stored."""

    label: str
    sha256: bytes | None
    title: str | None
    value: float | None
    is_winner: bool


def store_tests(
    connection: Connection,
    images: ImageStore,
    file: AbFile,
    folder: Path | None,
    owner_id: str | None,
    imported_at: datetime,
) -> StoredTests:
    """Write the tests of one file; the transaction is the caller's. Twice leaves the same tables.

    Args:
        connection: a connection; removals are held off until its transaction ends.
        images: where the pictures go.
        file: from `read_tests`.
        folder: where the files lie that the column picture names.
        owner_id: the channel of tests whose file does not say one; None: the channel to which the stored video belongs.
        imported_at: the time to note beside what is new or has changed.
    """
    videos = {test.video_id for test in file.tests}
    held = forgotten(connection, "video", videos)
    channels = _channels_of(connection, videos)
    owners = {test.channel_id or owner_id or channels.get(test.video_id, "") for test in file.tests}
    held_owners = forgotten(connection, "channel", owners - {""})
    result = StoredTests()
    for test in file.tests:
        try:
            owner = _owner(test, owner_id, channels.get(test.video_id))
            if test.video_id in held or owner in held_owners:
                result.forgotten += 1
                continue
            rows = [_row(images, folder, variant) for variant in test.variants]
            if len({(row.sha256, row.title) for row in rows}) < len(rows):
                raise AbTestError("variants", "two of its variants show the same")
        except AbTestError as error:
            result.rejected.append(rejected_test(test.test_id, error))
            continue
        result.pictures += sum(row.sha256 is not None for row in rows)
        _write(connection, owner, test, rows, imported_at, result)
    return result


def _channels_of(connection: Connection, videos: set[str]) -> Mapping[str, str]:
    found = connection.execute(
        "select t.video_id, c.channel_id from thumbrank.thumbnails t join thumbrank.channels c using (channel_key) "
        "where t.video_id = any(%s)",
        (sorted(videos),),
    )
    return {str(video_id): str(channel_id) for video_id, channel_id in found}


def _owner(test: AbTest, given: str | None, stored: str | None) -> str:
    owner = test.channel_id or given or stored
    if not _ID.fullmatch(test.video_id):
        raise AbTestError(
            "bad_video_id", f"its video_id '{test.video_id[:40]}' is not an id of letters, figures, '-' and '_'"
        )
    if owner is None:
        raise AbTestError(
            "no_owner", f"video {test.video_id} is not stored, so that its owner cannot be told: add --owner UC…"
        )
    if not _ID.fullmatch(owner):
        raise AbTestError("bad_owner", f"its owner '{owner[:40]}' is not a channel id")
    if stored is not None and stored != owner:
        raise AbTestError("other_owner", f"video {test.video_id} belongs to channel {stored}, not to {owner}")
    return owner


def _row(images: ImageStore, folder: Path | None, variant: AbVariant) -> _Row:
    title = None if variant.title is None else storable_text(variant.title)
    if variant.picture is None:
        return _Row(variant.label, None, title, variant.value, variant.is_winner)
    if folder is None:
        raise AbTestError("no_picture", "it names pictures: say where they are with --images FOLDER")
    path = folder / variant.picture
    try:
        if Path(variant.picture).name != variant.picture or not path.is_file():
            raise AbTestError("no_picture", f"{folder.name}/ has no file '{variant.picture[:60]}'")
        if path.stat().st_size > MAX_BYTES:
            raise PictureError("too_large", f"it is larger than {MAX_BYTES:,} bytes.")
        picture = images.put(path.read_bytes())
    except PictureError as error:
        raise AbTestError(error.reason, f"{variant.picture[:60]}: {str(error).rstrip('.')}") from None
    except OSError as error:
        raise AbTestError("unreadable", f"{variant.picture[:60]} cannot be read ({error.strerror})") from None
    return _Row(variant.label, picture.sha256, title, variant.value, variant.is_winner)


def _write(
    connection: Connection, owner: str, test: AbTest, rows: Sequence[_Row], imported_at: datetime, result: StoredTests
) -> None:
    key = (owner, test.test_id)
    there = connection.execute(
        "select video_id, metric, outcome, first_day, last_day from thumbrank.ab_outcomes where owner_id = %s and test_id = %s",
        key,
    ).fetchone()
    says = (test.video_id, test.metric, test.outcome, test.first_day, test.last_day)
    if there is not None and tuple(there) == says and _variants_of(connection, key) == {row.label: row for row in rows}:
        result.unchanged += 1
        return
    connection.execute("delete from thumbrank.ab_outcomes where owner_id = %s and test_id = %s", key)
    connection.execute(
        "insert into thumbrank.ab_outcomes "
        "(owner_id, test_id, video_id, metric, outcome, first_day, last_day, source, imported_at) "
        "values (%s, %s, %s, %s, %s, %s, %s, 'import', %s)",
        (*key, *says, imported_at),
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into thumbrank.ab_variants (owner_id, test_id, label, sha256, title, value, is_winner) "
            "values (%s, %s, %s, %s, %s, %s, %s)",
            [(*key, row.label, row.sha256, row.title, row.value, row.is_winner) for row in rows],
        )
    if there is None:
        result.new += 1
    else:
        result.updated += 1


def _variants_of(connection: Connection, key: tuple[str, str]) -> Mapping[str, _Row]:
    found = connection.execute(
        "select label, sha256, title, value, is_winner from thumbrank.ab_variants where owner_id = %s and test_id = %s",
        key,
    )
    return {
        label: _Row(label, None if sha256 is None else bytes(sha256), title, value, is_winner)
        for label, sha256, title, value, is_winner in found
    }
