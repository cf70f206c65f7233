"""A removal from beginning to end: rows in one transaction, then files, manifests and pages, each of which may be repeated.

A process that is killed after the commit leaves files, manifests or pages behind; the next expiry finds and removes them,
because it asks which files and which videos the database still holds, not what an earlier run had meant to remove. Owners'
read-outs go before the commit: a killed removal then costs a fit, and never leaves one that nobody consents to.
"""

from collections.abc import Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, LiteralString

import psycopg
from psycopg.types.json import Jsonb

from thumbrank_core.evaluation.shown import Shown
from thumbrank_core.policy import Policy, PolicyMode
from thumbrank_core.retention import manifests, owner_files, pages, pictures
from thumbrank_core.retention.cascade import Gone, cascade, make_sets, unreferenced
from thumbrank_core.retention.expiry import Ages, choose_expired
from thumbrank_core.settings import Settings
from thumbrank_core.store import tombstones
from thumbrank_core.store.database import Database
from thumbrank_core.store.images import ImageStore
from thumbrank_core.store.owner_files import OwnerFiles
from thumbrank_core.store.tombstones import ItemKind
from thumbrank_core.training.manifest import ManifestRow, TrainingManifest

Action = Literal["expire", "forget"]
FILES, PLACES, MADE_OF, READ_OUTS = "picture_files", "report_items", "manifest_rows", "owner_read_outs"


@dataclass(frozen=True)
class FileStores:
    """Everything beside the database that holds something of a video or an owner.

    `pages`: folders of HTML files. `manifests`: folders with models. `read_outs`: owners' files beside models; None: there are
    none.
    """

    images: ImageStore
    pages: tuple[Path, ...]
    manifests: tuple[Path, ...] = ()
    read_outs: OwnerFiles | None = None


@dataclass(frozen=True)
class Removal:
    """What a removal took away, or with `dry_run` would.

    `counts`: rows by table; `thumbnails_content` and `channels_content` are rows that stayed and were emptied;
    `picture_files` (in a dry run: those that no row would name); `report_items` are places on rendered pages, `manifest_rows`
    rows of models' manifests, `owner_read_outs` files of owners beside models.
    """

    action: Action
    subject: str
    mode: PolicyMode
    dry_run: bool
    counts: dict[str, int]

    @property
    def total(self) -> int:
        """0: there was nothing to remove."""
        return sum(self.counts.values())


def stores_of(settings: Settings, images: ImageStore) -> FileStores:
    """The stores that settings name.

    Nothing of a video is ever logged to MLflow, a model's manifest neither, so a remote artifact store holds nothing to
    remove. The local one is looked at for pages all the same, should somebody have put a report there.
    """
    artifacts = settings.home / "mlflow" / "artifacts"
    return FileStores(images, (settings.reports, artifacts), (settings.models,), OwnerFiles(settings.models))


def expire(
    database: Database, stores: FileStores, policy: Policy, *, now: datetime | None = None, dry_run: bool = False
) -> Removal:
    """Remove what is too old under the policy's mode, in every niche, and what killed runs left behind.

    Raises:
        ThumbrankError: a file or a page cannot be removed; the rows are gone, and the next run does the rest.
    """
    work = _work("expire", "all niches", policy.mode, stores, now, dry_run=dry_run)
    files = pictures.old_enough(stores.images)
    with _rows_of(database, work) as connection:
        choose_expired(connection, Ages.of(policy, work.now), work.gone)
        _bury(connection, "expired", work.now)
        cascade(connection, work.gone, forgetting=False)
        work.files = unreferenced(connection, work.gone.pictures | files)
        work.shown = pages.unsupported(connection, {side for page in work.pages for side in page.shown})
        work.listed = manifests.unsupported(connection, work.lists)
    return _finish(database, stores, work)


def forget(
    database: Database,
    stores: FileStores,
    mode: PolicyMode,
    kind: ItemKind,
    item_id: str,
    *,
    now: datetime | None = None,
    dry_run: bool = False,
) -> Removal:
    """Remove a video, or a channel with its videos, wherever it came from, and see to it that it is never collected again.

    An id of which nothing is stored removes nothing and is remembered all the same.

    Raises:
        ThumbrankError: a file or a page cannot be removed; the rows are gone, and the next expiry does the rest.
    """
    work = _work("forget", f"{kind} {item_id}", mode, stores, now, dry_run=dry_run)
    with _rows_of(database, work) as connection:
        for statement in _CHOOSE[kind]:
            connection.execute(statement, {"id": item_id})
        _bury(connection, "forgotten", work.now)
        ids = {str(video_id) for (video_id,) in connection.execute("select video_id from removal_videos")}
        cascade(connection, work.gone, forgetting=True)
        work.files = unreferenced(connection, work.gone.pictures)
        work.shown = {side for page in work.pages for side in page.shown if side.video_id in ids}
        work.listed = {row for manifest in work.lists for row in manifest.rows if row.video_id in ids}
    return _finish(database, stores, work)


# An id need not be stored: a queue, a miss or a page may name it.
_CHOOSE: dict[ItemKind, tuple[LiteralString, ...]] = {
    "video": (
        "insert into removal_videos select v.id, t.video_key from (values (%(id)s::text)) v(id) "
        "left join thumbrank.thumbnails t on t.video_id = v.id",
    ),
    "channel": (
        "insert into removal_channels select v.id, c.channel_key from (values (%(id)s::text)) v(id) "
        "left join thumbrank.channels c on c.channel_id = v.id",
        "insert into removal_videos select t.video_id, t.video_key from thumbrank.thumbnails t "
        "join thumbrank.channels c using (channel_key) where c.channel_id = %(id)s",
    ),
}


@dataclass
class _Work:
    """A removal while it is done."""

    action: Action
    subject: str
    mode: PolicyMode
    now: datetime
    dry_run: bool
    pages: list[pages.Page]
    lists: list[TrainingManifest]
    owners: OwnerFiles | None
    gone: Gone = field(default_factory=Gone)
    files: set[bytes] = field(default_factory=set[bytes])
    shown: set[Shown] = field(default_factory=set[Shown])
    listed: set[ManifestRow] = field(default_factory=set[ManifestRow])
    read_outs: int = 0
    audit_id: int | None = None

    def removal(self, files: int, places: int, made_of: int) -> Removal:
        counts = {**self.gone.rows, FILES: files, PLACES: places, MADE_OF: made_of, READ_OUTS: self.read_outs}
        return Removal(self.action, self.subject, self.mode, self.dry_run, counts)

    def planned(self) -> Removal:
        """What the transaction found, before files, pages and manifests are touched."""
        return self.removal(
            len(self.files), pages.places(self.pages, self.shown), manifests.places(self.lists, self.listed)
        )


def _work(
    action: Action, subject: str, mode: PolicyMode, stores: FileStores, now: datetime | None, *, dry_run: bool
) -> _Work:
    return _Work(
        action,
        subject,
        mode,
        now or datetime.now(UTC),
        dry_run,
        pages.find_pages(stores.pages),
        manifests.find_manifests(stores.manifests),
        stores.read_outs,
    )


@contextmanager
def _rows_of(database: Database, work: _Work) -> Generator[psycopg.Connection]:
    """The one transaction of a removal, its audit row included; a dry run does all of it and takes it back."""
    with database.connection() as connection, connection.transaction(force_rollback=work.dry_run):
        tombstones.lock_for_removal(connection)
        make_sets(connection)
        consents = owner_files.consents(connection)
        yield connection
        if work.owners is not None:
            ended = owner_files.unsupported(connection, work.owners.owners(), consents)
            work.read_outs = owner_files.delete(work.owners, ended, dry_run=work.dry_run)
        planned = work.planned()
        if planned.total and not work.dry_run:
            work.audit_id = _record(connection, work)


def _bury(connection: psycopg.Connection, reason: tombstones.Reason, now: datetime) -> None:
    for kind, statement in _CHOSEN.items():
        ids = [str(item_id) for (item_id,) in connection.execute(statement)]
        tombstones.record(connection, kind, ids, reason, now)


_CHOSEN: dict[ItemKind, LiteralString] = {
    "channel": "select channel_id from removal_channels",
    "video": "select video_id from removal_videos",
}


def _record(connection: psycopg.Connection, work: _Work) -> int:
    """The audit row; files and places are counted once they are gone."""
    row = connection.execute(
        "insert into thumbrank.retention_audit (done_at, action, policy_mode, subject, counts) values (%s, %s, %s, %s, %s) "
        "returning audit_id",
        (work.now, work.action, work.mode, work.subject, Jsonb(work.removal(0, 0, 0).counts)),
    ).fetchone()
    assert row is not None, "an insert with returning returns its row"
    return int(row[0])


def _finish(database: Database, stores: FileStores, work: _Work) -> Removal:
    """After the commit: files, manifests and pages, and their counts into the audit row."""
    if work.dry_run:
        return work.planned()

    def still_unreferenced(digests: Collection[bytes]) -> set[bytes]:
        with database.connection() as connection:
            return unreferenced(connection, digests)

    files = pictures.delete(stores.images, work.files, still_unreferenced)
    made_of = manifests.take_out(work.lists, work.listed)
    removal = work.removal(files, pages.take_out(work.pages, work.shown), made_of)
    if work.audit_id is not None:
        with database.connection() as connection:
            connection.execute(
                "update thumbrank.retention_audit set counts = %s where audit_id = %s",
                (Jsonb(removal.counts), work.audit_id),
            )
    return removal
