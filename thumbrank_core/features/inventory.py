"""What is stored of vectors and readings, and how much of what the niches want is there. Nothing is written."""

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from thumbrank_core.features import cache
from thumbrank_core.features.signal_store import unmeasured
from thumbrank_core.features.specs import EncoderSet, Spec
from thumbrank_core.features.wanted import pictures_of, titles_of, wanted_items

LEAST_COVERAGE = 0.95
"""Share of the wanted pictures, and of the titles, that need a vector before anything is learnt from a niche: some pictures are
gone for good, and where more are missing it is a step that failed."""


@dataclass(frozen=True)
class StoredEncoder:
    """An encoder's vectors. `size`: bytes of the vectors alone."""

    encoder_id: str
    modality: str
    vectors: int
    size: int


@dataclass(frozen=True)
class StoredMeasure:
    """A measure's readings: `values`, and `without_value` with their reason. `lacking`: wanted pictures it has not read."""

    measure_id: str
    signal: str
    values: int
    without_value: int
    lacking: int


@dataclass(frozen=True)
class Coverage:
    """Distinct pictures and titles that a niche wants, and how many of them each encoder has a vector of.

    `captions`: titles with a vector of CLIP's text tower.
    """

    niche: str
    pictures_wanted: int
    pictures: int
    titles_wanted: int
    titles: int
    captions: int


def stored_encoders(connection: psycopg.Connection) -> list[StoredEncoder]:
    """Every encoder that has vectors."""
    rows = connection.execute(
        "select e.encoder_id, e.modality, v.vectors, v.vectors * e.dimension * 2 from thumbrank.encoders e join "
        "(select encoder_key, count(*) as vectors from thumbrank.embeddings group by 1) v using (encoder_key) order by 1"
    ).fetchall()
    return [StoredEncoder(*row) for row in rows]


def coverage(connection: psycopg.Connection, niche: str, encoders: EncoderSet) -> Coverage:
    """What the niche wants and has of encoders whose precision is settled."""
    items = wanted_items(connection, niche)
    pictures, titles = list(pictures_of(items)), list(titles_of(items))
    return Coverage(
        niche,
        len(pictures),
        _there(connection, encoders.image, pictures),
        len(titles),
        _there(connection, encoders.title, titles),
        _there(connection, encoders.caption, titles),
    )


def stored_measures(connection: psycopg.Connection, niches: Sequence[str]) -> list[StoredMeasure]:
    """Every measure that has readings; what it lacks is counted over the niches."""
    wanted = {item.picture for niche in niches for item in wanted_items(connection, niche)}
    rows = connection.execute(
        "select m.measure_id, m.signal, s.values, s.reasons, m.measure_key from thumbrank.measures m join "
        "(select measure_key, count(value) as values, count(reason) as reasons from thumbrank.sub_score_signals group by 1) s "
        "using (measure_key) order by 2, 1"
    ).fetchall()
    return [
        StoredMeasure(measure, signal, values, reasons, len(unmeasured(connection, [key], wanted)))
        for measure, signal, values, reasons, key in rows
    ]


def _there(connection: psycopg.Connection, spec: Spec, wanted: Sequence[bytes]) -> int:
    key = cache.known_encoder_key(connection, spec)
    return 0 if key is None else len(wanted) - len(cache.missing(connection, key, wanted))
