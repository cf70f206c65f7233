"""A fine-tuned image tower as an encoder of its own: written beside its bundle, found again, and used on stored pictures.

What belongs here: the folder `encoder/` of a bundle and the vectors under its own id. How it is trained is model/tower.py and
training/. A folder without a card is half written and is refused.
"""

import itertools
import logging
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from thumbrank_core.features import cache, misses
from thumbrank_core.features.decoding import Waited, decoded_ahead, decoders
from thumbrank_core.features.encoders import ImageEncoder
from thumbrank_core.features.precision import gains
from thumbrank_core.features.preprocess import Square, to_square
from thumbrank_core.features.quality import unit_rows
from thumbrank_core.features.specs import EncoderError, EncoderSet, ImageSpec, Precision, TunedSpec, weights_digest
from thumbrank_core.features.wanted import videos_with
from thumbrank_core.progress import track
from thumbrank_core.store.database import Database
from thumbrank_core.store.files import write_text
from thumbrank_core.store.images import ImageStore
from thumbrank_core.store.picture import PictureError

FOLDER = "encoder"
"""Of a bundle."""
CARD = "encoder.json"

logger = logging.getLogger(__name__)


class TunedCard(BaseModel):
    """What a tuned encoder's folder says of itself. `precision`: of its stored vectors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: ImageSpec
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    precision: Precision


def write_encoder(folder: Path, model: Any, processor: Any, base: ImageSpec, device: torch.device) -> TunedCard:
    """Write a tuned tower as its makers' code loads it (safetensors), and its card last.

    Args:
        folder: is made.
        model: transformers' CLIPVisionModelWithProjection, tuned.
        processor: its image processor.
        base: what it was before, its precision settled.
        device: its vectors are computed in what this gains by; float32 on a CPU.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CARD).unlink(missing_ok=True)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    precision: Precision = gains(device).precision if device.type == "cuda" else "float32"
    card = TunedCard(base=base, sha256=weights_digest(folder), precision=precision)
    write_text(folder / CARD, card.model_dump_json(indent=2) + "\n")
    return card


def tuned_set(before: EncoderSet, folder: Path) -> EncoderSet:
    """The set with the folder's tuned tower for pictures, its sha256 pinned and its precision settled; titles stay.

    Raises:
        EncoderError: the folder has no card, or one that is malformed.
    """
    return before.model_copy(update={"image": _spec(folder)})


def tuned_towers(models: Path) -> list[TunedSpec]:
    """The tuned towers of the bundles below `models`, by what their own folders say: whatever became of a bundle's other
    files, its tower is there. A folder without a card has written no vectors yet.

    Raises:
        EncoderError: a card is malformed or cannot be read.
    """
    return [_spec(path.parent) for path in sorted(models.glob(f"*/{FOLDER}/{CARD}"))]


def tuned_base(folder: Path) -> ImageSpec:
    """What the folder's tower was before it was tuned.

    Raises:
        EncoderError: the folder has no card, or one that is malformed.
    """
    return _card(folder).base


def _spec(folder: Path) -> TunedSpec:
    card = _card(folder)
    return TunedSpec(
        model=str(folder.resolve()),
        sha256=card.sha256,
        dimension=card.base.dimension,
        precision=card.precision,
        resize=card.base.resize,
        base=card.base,
    )


def _card(folder: Path) -> TunedCard:
    path = folder / CARD
    try:
        return TunedCard.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EncoderError(f"{folder} holds no {CARD}: restore the bundle's encoder folder, or train again.") from None
    except (ValidationError, UnicodeDecodeError):
        raise EncoderError(f"{path} is not a tuned encoder's card: restore it, or train again.") from None
    except OSError as error:
        raise EncoderError(f"{path} cannot be read ({error.strerror}): make it readable, or train again.") from None


def embed_pictures(
    database: Database, images: ImageStore, spec: ImageSpec, digests: Iterable[bytes]
) -> dict[bytes, PictureError]:
    """Store the vectors of these pictures that have none of this encoder yet, a batch a transaction.

    Returns:
        Pictures that have no vector after it, and why; each is told in the log, is a recorded miss of the videos of pairs
        that show it, and their pairs are counted as left out where the data set is read (training/dataset.py).

    Raises:
        EncoderError: the model cannot be loaded.
    """
    with database.connection() as connection:
        key = cache.encoder_key(connection, spec)
        todo = sorted(cache.missing(connection, key, digests))
    failed: dict[bytes, PictureError] = {}
    if not todo:
        return failed
    encoder = ImageEncoder(spec, offline=True)

    def prepare(digest: bytes) -> Square:
        return to_square(images.read(digest), encoder.side, spec.resize)

    batches = decoded_ahead(todo, encoder.batch, prepare, encoder.new_batch, decoders("://" in images.place), Waited())
    with track("embedding pictures with the tuned encoder", len(todo)) as advance, closing(batches):
        shown, told = itertools.tee(batches)
        for batch, vectors in zip(told, encoder.encode(one.pixels for one in shown), strict=True):
            usable = unit_rows(vectors)
            absent = misses.without_vector(batch, usable, "the tuned encoder")
            with database.connection() as connection:
                cache.write(connection, key, [batch.digests[row] for row in np.flatnonzero(usable)], vectors[usable])
                for niche, videos in (videos_with(connection, absent) if absent else {}).items():
                    misses.record(connection, niche, {video: absent[picture] for video, picture in videos})
            failed |= absent
            advance(len(batch.digests) + len(batch.failed))
    for digest, error in failed.items():
        logger.warning("The picture %s has no vector of the tuned encoder: %s", digest.hex()[:12], error)
    return failed
