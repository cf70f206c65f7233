"""A niche's vectors and signals as they are stored, for checks, reports and the targets of the sub-score heads."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from thumbrank_core.features import cache, signal_store
from thumbrank_core.features.cache import Halves, title_sha256
from thumbrank_core.features.signals.combine import Signals, combine
from thumbrank_core.features.signals.definitions import MEASURES, SIGNALS
from thumbrank_core.features.signals.prompts import PROMPTS, antonym_score, title_match
from thumbrank_core.features.specs import EncoderSet
from thumbrank_core.features.wanted import Item, pictures_of, titles_of, wanted_items
from thumbrank_core.store.database import Connection

LOGIT_SCALE = 100.0
"""Of OpenAI's CLIP models."""


@dataclass(frozen=True)
class StoredNiche:
    """The vectors of a niche's distinct pictures (`image`) and titles (`title`: MiniLM, `caption`: CLIP), those that are there,
    (n, dimension) each, of `pictures_wanted` and `titles_wanted`; `image_key`: the image encoder's. `signals`: of the videos in
    pairs, a row each. `version`: changes with the encoders and with what there is a vector of."""

    image: Halves
    title: Halves
    caption: Halves
    pictures_wanted: int
    titles_wanted: int
    image_key: int
    signals: Signals
    version: str

    @property
    def coverage(self) -> dict[str, float]:
        """Share of what is wanted that has a vector, by kind; 1 where nothing is wanted."""
        found = {
            "pictures": (len(self.image), self.pictures_wanted),
            "titles": (len(self.title), self.titles_wanted),
            "captions": (len(self.caption), self.titles_wanted),
        }
        return {kind: there / wanted if wanted else 1.0 for kind, (there, wanted) in found.items()}

    @property
    def signal_coverage(self) -> dict[str, float]:
        """Share of the videos that have a value, by signal."""
        return {name: round(float(share), 3) for name, share in zip(SIGNALS, self.signals.coverage, strict=True)}


def prompts_of(encoders: EncoderSet) -> list[str]:
    """The prompts whose vectors signals need; none where the text tower does not know their words."""
    return list(chain.from_iterable(PROMPTS.values())) if encoders.speaks else []


def read_niche(connection: Connection, niche: str, encoders: EncoderSet) -> StoredNiche:
    """What is stored of the niche's videos in pairs.

    Args:
        connection: a connection.
        niche: its key.
        encoders: with their precisions settled.
    """
    items = wanted_items(connection, niche)
    image_key = cache.encoder_key(connection, encoders.image)
    pictures, titles = list(pictures_of(items)), list(titles_of(items))
    image, seen = cache.load(connection, image_key, encoders.image.dimension, pictures)
    title, titled = cache.load(
        connection, cache.encoder_key(connection, encoders.title), encoders.title.dimension, titles
    )
    caption, captioned = cache.load(
        connection, cache.encoder_key(connection, encoders.caption), encoders.caption.dimension, titles
    )
    digest = hashlib.sha256()
    for spec, digests, there in (
        (encoders.image, pictures, seen),
        (encoders.title, titles, titled),
        (encoders.caption, titles, captioned),
    ):
        digest.update(spec.encoder_id.encode())
        digest.update(b"".join(sorted(digests[row] for row in np.flatnonzero(there))))
    return StoredNiche(
        image[seen],
        title[titled],
        caption[captioned],
        len(pictures),
        len(titles),
        image_key,
        read_signals(connection, items, encoders),
        digest.hexdigest()[:16],
    )


def read_signals(connection: Connection, items: Sequence[Item], encoders: EncoderSet) -> Signals:
    """The six signals of n items, each ranked among these n.

    Measures of vectors exist only where CLIP's text tower knows the words of titles and prompts (`speaks`).
    """
    pictures = [item.picture for item in items]
    keys = signal_store.measure_keys(connection, MEASURES)
    readings: dict[str, npt.NDArray[np.floating[Any]]] = {
        measure: signal_store.load_readings(connection, key, pictures) for measure, key in keys.items()
    }
    if encoders.speaks:
        readings |= _vector_readings(connection, items, encoders)
    return combine(readings)


def _vector_readings(
    connection: Connection, items: Sequence[Item], encoders: EncoderSet
) -> dict[str, npt.NDArray[np.floating[Any]]]:
    """Antonym prompts and title match (n,) of n items; NaN where a vector is not there."""
    image_key, dimension = cache.encoder_key(connection, encoders.image), encoders.image.dimension
    caption_key = cache.encoder_key(connection, encoders.caption)
    image, _ = cache.load(connection, image_key, dimension, [item.picture for item in items])
    caption, _ = cache.load(connection, caption_key, dimension, [title_sha256(item.title) for item in items])
    readings: dict[str, npt.NDArray[np.floating[Any]]] = {"title_match.cosine.1": title_match(image, caption)}
    for measure, prompts in PROMPTS.items():
        (positive, negative), _ = cache.load(
            connection, caption_key, dimension, [title_sha256(prompt) for prompt in prompts]
        )
        readings[measure] = antonym_score(image, positive, negative, LOGIT_SCALE)
    return readings
