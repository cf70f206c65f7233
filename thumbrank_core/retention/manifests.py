"""Manifests of models: which of their rows name a video or a picture that is gone, and the manifests without those.

Every manifest below the given folders is looked at; none leaves its model's folder (training/run.py). A row stays only as long
as the database holds the video with that picture.
"""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import psycopg

from thumbrank_core.progress import track
from thumbrank_core.training.manifest import MANIFEST, ManifestRow, TrainingManifest, read_manifest


def find_manifests(folders: Iterable[Path]) -> list[TrainingManifest]:
    """The manifests below `folders`; a folder that is not there has none.

    Raises:
        ManifestError: one cannot be read.
    """
    paths = sorted({path for folder in folders for path in folder.rglob(MANIFEST) if path.is_file()})
    return [read_manifest(path) for path in paths]


def unsupported(connection: psycopg.Connection, manifests: Iterable[TrainingManifest]) -> set[ManifestRow]:
    """The rows whose video, with that picture, the database no longer holds."""
    rows = {row for manifest in manifests for row in manifest.rows}
    named = sorted({(row.video_id, row.picture_sha256) for row in rows})
    found = connection.execute(
        "select e.video_id, e.picture from unnest(%s::text[], %s::text[]) e(video_id, picture) "
        "where not exists (select from thumbrank.thumbnails t join thumbrank.picture_versions p using (video_key) "
        "where t.video_id = e.video_id and p.sha256 = decode(e.picture, 'hex'))",
        ([video_id for video_id, _ in named], [picture for _, picture in named]),
    )
    gone = {(str(video_id), str(picture)) for video_id, picture in found}
    return {row for row in rows if (row.video_id, row.picture_sha256) in gone}


def take_out(manifests: Sequence[TrainingManifest], gone: Collection[ManifestRow]) -> int:
    """Write the manifests without those rows; returns how many rows that were.

    Raises:
        ManifestError: one cannot be written; those before it are done, and the next run does the rest.
    """
    affected = [manifest for manifest in manifests if any(row in gone for row in manifest.rows)]
    with track("writing manifests again", len(affected)) as advance:
        for manifest in affected:
            manifest.keep(row for row in manifest.rows if row not in gone)
            advance(1)
    return places(affected, gone)


def places(manifests: Iterable[TrainingManifest], gone: Collection[ManifestRow]) -> int:
    """How many rows of the manifests are of those."""
    return sum(row in gone for manifest in manifests for row in manifest.rows)
