"""A/B tests out of the database, with the vectors of their variants by a bundle's own encoders.

What belongs here: which tests are measured, which are left out and why, and vectors where there are none yet. They are made
when a model is judged and not with a niche's embeddings: a test that was imported today is measured today, and what a niche
wants, its coverage, its data version and its drift sketch stay those of its pairs. A picture's vector is kept, as the picture
is; a title's is made anew unless it is a stored video's, because nothing would know when to take it out again.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt
import torch

from thumbrank_core.batches import batched
from thumbrank_core.evaluation.ab_tests import MIN_OWNERS, AbPairs, Variants
from thumbrank_core.features import cache
from thumbrank_core.features.cache import normalise_title, title_sha256
from thumbrank_core.features.encoders import ImageEncoder, TitleEncoder
from thumbrank_core.features.preprocess import Square, to_square
from thumbrank_core.features.quality import unit_rows
from thumbrank_core.features.specs import EncoderError, EncoderSet, ImageSpec, Spec, TitleSpec
from thumbrank_core.labels.gold import GoldPair, GoldVariant, gold_pairs
from thumbrank_core.store.database import Database
from thumbrank_core.store.images import ImageStore
from thumbrank_core.store.picture import PictureError

Vectors = dict[bytes, npt.NDArray[np.float32]]
_Test = list[GoldPair]
"""The pairs of one test."""

NO_NICHE, OTHER_NICHE, HALF, NO_VECTOR, ONE_OWNER, NO_ENCODER = (
    "no_niche",
    "other_niche",
    "nothing_to_show",
    "no_vector",
    "one_owner",
    "no_encoder",
)
REASONS = {
    NO_NICHE: "the channel is in no niche: collect or import it",
    OTHER_NICHE: "the channel is of a niche that is not judged here",
    HALF: "a variant has no picture or no title: neither the test nor the stored video names one",
    NO_VECTOR: "a variant's picture is gone, damaged, or not to be encoded",
    ONE_OWNER: f"there are tests of fewer than {MIN_OWNERS} owners, and an owner's own figures are shown to nobody",
    NO_ENCODER: "the model's encoders cannot be loaded here, and a variant has no vector yet",
}
"""Why a test with a winner is not measured."""

SEEN_SPLITS = ("train", "validation")
"""A channel of neither is unseen: it is a test channel, or has no labels and never had a pair."""
TEXT_BATCH = 64

logger = logging.getLogger(__name__)


def read_ab_pairs(
    database: Database, images: ImageStore, encoders: EncoderSet, niches: Sequence[str], *, offline: bool
) -> AbPairs | None:
    """The tests that ended with a winner, of channels of these niches; None where no test is stored that says anything.

    Args:
        database: where the tests are; vectors of pictures that have none are added.
        images: where their pictures are.
        encoders: the bundle's, precisions settled.
        niches: which the bundle is judged on.
        offline: load encoders from local files only.
    """
    with database.connection() as connection:
        pairs = gold_pairs(connection)
    if not pairs:
        return None
    tests = [list(found) for _, found in groupby(pairs, key=lambda pair: (pair.owner_id, pair.test_id))]
    decided = [test for test in tests if test[0].outcome == 1.0]
    left_out: Counter[str] = Counter()
    usable: list[_Test] = []
    for test in decided:
        reason = _reason(test, niches)
        if reason is None:
            usable.append(test)
        else:
            left_out[reason] += 1
    vectors = _Vectors(encoders)
    if _enough(usable):
        try:
            vectors.make(database, images, usable, offline=offline)
        except EncoderError as error:  # a model is judged without its A/B tests rather than not at all
            logger.warning("A/B tests whose variants have no vectors yet are not measured: %s", error)
            reason = NO_ENCODER
        else:
            reason = NO_VECTOR
        left_out[reason] += sum(not vectors.whole(test) for test in usable)
        usable = [test for test in usable if vectors.whole(test)]
    if not _enough(usable):
        left_out[ONE_OWNER] += len(usable)
        usable = []
    reasons = {reason: left_out[reason] for reason in REASONS if left_out[reason]}
    return _assembled(usable, vectors, len(tests) - len(decided), reasons)


def _reason(test: _Test, niches: Sequence[str]) -> str | None:
    niche = test[0].niche
    if niche is None:
        return NO_NICHE
    if niche not in niches:
        return OTHER_NICHE
    return HALF if any(side.picture is None or side.title is None for side in _sides(test)) else None


def _enough(tests: Sequence[_Test]) -> bool:
    return len({test[0].owner_id for test in tests}) >= MIN_OWNERS


def _sides(test: Iterable[GoldPair]) -> list[GoldVariant]:
    return [side for pair in test for side in (pair.a, pair.b)]


class _Vectors:
    """The vectors of variants, those that there are."""

    def __init__(self, encoders: EncoderSet) -> None:
        self.encoders = encoders
        self.image: Vectors = {}
        self.text: Vectors = {}

    def make(self, database: Database, images: ImageStore, tests: Sequence[_Test], *, offline: bool) -> None:
        """Load what is stored and compute the rest.

        Raises:
            EncoderError: a model cannot be loaded.
        """
        sides = [side for test in tests for side in _sides(test)]
        pictures = sorted({side.picture for side in sides if side.picture is not None})
        titles = {title_sha256(side.title): normalise_title(side.title) for side in sides if side.title is not None}
        self.image, self.text = (
            _stored(database, spec, digests)
            for spec, digests in ((self.encoders.image, pictures), (self.encoders.title, sorted(titles)))
        )
        new = {digest: text for digest, text in titles.items() if digest not in self.text}
        if new:
            self.text |= _titles(self.encoders.title, new, offline=offline)
        missing = [digest for digest in pictures if digest not in self.image]
        if missing:
            self.image |= _pictures(database, images, self.encoders.image, missing, offline=offline)

    def whole(self, test: _Test) -> bool:
        """Whether every variant of the test has both."""
        return all(
            side.picture in self.image and side.title is not None and title_sha256(side.title) in self.text
            for side in _sides(test)
        )


def _stored(database: Database, spec: Spec, digests: Sequence[bytes]) -> Vectors:
    with database.connection() as connection:
        vectors, there = cache.load(connection, cache.encoder_key(connection, spec), spec.dimension, digests)
    return {digests[row]: vectors[row].astype(np.float32) for row in np.flatnonzero(there).tolist()}


def _titles(spec: TitleSpec, titles: dict[bytes, str], *, offline: bool) -> Vectors:
    encoder, found = TitleEncoder(spec, offline=offline), Vectors()
    for batch in batched(titles.items(), TEXT_BATCH):
        vectors = encoder.encode([text for _, text in batch])
        usable = unit_rows(vectors)
        found |= {digest: vectors[row] for row, (digest, _) in enumerate(batch) if usable[row]}
    return found


def _pictures(
    database: Database, images: ImageStore, spec: ImageSpec, digests: Sequence[bytes], *, offline: bool
) -> Vectors:
    """The vectors of these pictures, kept a batch a transaction; one that has none is told in the log."""
    encoder = ImageEncoder(spec, offline=offline)
    found: Vectors = {}
    for batch in batched(digests, encoder.batch):
        squares: dict[bytes, Square] = {}
        for digest in batch:
            try:
                squares[digest] = to_square(images.read(digest), encoder.side, spec.resize)
            except PictureError as error:
                logger.warning("The picture %s of an A/B test has no vector: %s", digest.hex()[:12], error)
        if not squares:
            continue
        pixels = torch.from_numpy(np.stack(list(squares.values())))
        vectors = np.concatenate(list(encoder.encode([pixels])))
        usable = unit_rows(vectors)
        kept = {digest: vectors[row] for row, digest in enumerate(squares) if usable[row]}
        with database.connection() as connection:
            cache.write(connection, cache.encoder_key(connection, spec), list(kept), vectors[usable])
        found |= kept
    return found


def _assembled(tests: Sequence[_Test], vectors: _Vectors, n_same: int, left_out: dict[str, int]) -> AbPairs:
    place: dict[tuple[bytes, str], int] = {}

    def number(side: GoldVariant) -> int:
        assert side.picture is not None and side.title is not None, "tests that lack one are left out"
        return place.setdefault((side.picture, normalise_title(side.title)), len(place))

    rows = [
        (number(pair.a), number(pair.b), index, pair.owner_id, pair.split in SEEN_SPLITS, pair.metric == "ctr")
        for index, test in enumerate(tests)
        for pair in test
    ]
    winner, other, test, owner, seen, ctr = zip(*rows, strict=True) if rows else ((),) * 6
    owners = {owner_id: index for index, owner_id in enumerate(dict.fromkeys(owner))}
    spec = vectors.encoders
    return AbPairs(
        variants=Variants(
            _stacked([vectors.image[picture] for picture, _ in place], spec.image.dimension),
            _stacked([vectors.text[title_sha256(title)] for _, title in place], spec.title.dimension),
            [title for _, title in place],
        ),
        winner=np.array(winner, np.int64),
        other=np.array(other, np.int64),
        test=np.array(test, np.int64),
        owner=np.array([owners[owner_id] for owner_id in owner], np.int64),
        seen=np.array(seen, np.bool_),
        ctr=np.array(ctr, np.bool_),
        n_same=n_same,
        left_out=left_out,
    )


def _stacked(rows: Sequence[npt.NDArray[np.float32]], width: int) -> npt.NDArray[np.float32]:
    return np.stack(rows) if rows else np.empty((0, width), np.float32)
