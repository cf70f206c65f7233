"""Which rows made a model: a Parquet file beside it with ids and digests, and nothing that YouTube said about a video.

What belongs here: the five columns, written and read. An id is an identifier of YouTube's and a digest is of a picture of
YouTube's, so that a row stays only as long as the database holds both: retention/manifests.py takes rows out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.store.files import replacing
from thumbrank_core.training.dataset import SPLITS, Dataset

MANIFEST = "manifest.parquet"
_WRITTEN = b"thumbrank_rows_written"


class ManifestError(ThumbrankError):
    """A manifest that cannot be read or written."""


class ManifestRow(NamedTuple):
    """An item that a model learnt from, was selected on or is tested on; the fields are the file's columns.

    `picture_sha256` is hexadecimal; `label_version` is the label's name and the data version of the niche, joined by `@`.
    """

    video_id: str
    picture_sha256: str
    split: str
    niche: str
    label_version: str


@dataclass(frozen=True)
class TrainingManifest:
    """The rows that are still there. `written`: how many there were when the model was made; retention took the others."""

    path: Path
    rows: tuple[ManifestRow, ...]
    written: int

    def keep(self, rows: Iterable[ManifestRow]) -> None:
        """Write the file again with these of its rows.

        Raises:
            ManifestError: it cannot be written; what was there stays.
        """
        _write(self.path, list(rows), self.written)


def write_manifest(dataset: Dataset, path: Path) -> int:
    """Write one row for each item of a data set, in its order; returns how many.

    Raises:
        ManifestError: it cannot be written.
    """
    items = dataset.items
    versions = {niche: f"{dataset.label}@{dataset.versions[niche]}" for niche in dataset.niches}
    niches = [dataset.niches[index] for index in items.niche.tolist()]
    rows = [
        ManifestRow(video_id, picture.hex(), SPLITS[split], niche, versions[niche])
        for video_id, picture, split, niche in zip(
            items.video_id, items.picture, items.split.tolist(), niches, strict=True
        )
    ]
    _write(path, rows, len(rows))
    return len(rows)


def read_manifest(path: Path) -> TrainingManifest:
    """The rows that are still there.

    Raises:
        ManifestError: the file is no manifest.
    """
    try:
        table: Any = pq.read_table(path)
    except FileNotFoundError:
        raise ManifestError(f"There is no {path}: name the folder that a training run wrote.") from None
    except (OSError, pa.ArrowInvalid):
        raise ManifestError(f"{path} is not a manifest, or it is damaged: delete it, or train again.") from None
    known: dict[bytes, bytes] = table.schema.metadata or {}
    if tuple(table.column_names) != ManifestRow._fields or _WRITTEN not in known:
        raise ManifestError(f"{path} is not a manifest of this version: delete it, or train again.")
    columns: list[list[str]] = [column.to_pylist() for column in table.columns]
    return TrainingManifest(path, tuple(ManifestRow(*row) for row in zip(*columns, strict=True)), int(known[_WRITTEN]))


def _write(path: Path, rows: list[ManifestRow], written: int) -> None:
    schema = pa.schema([pa.field(name, pa.string(), nullable=False) for name in ManifestRow._fields])
    columns = [pa.array([row[index] for row in rows], pa.string()) for index in range(len(ManifestRow._fields))]
    table: Any = pa.Table.from_arrays(columns, schema=schema.with_metadata({_WRITTEN: str(written).encode()}))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            pq.write_table(table, part, compression="zstd")
    except OSError as error:
        raise ManifestError(
            f"The manifest {path} cannot be written ({error.strerror}): mend the folder's permissions or free space there, and "
            "run the same command again; or delete the file."
        ) from None
