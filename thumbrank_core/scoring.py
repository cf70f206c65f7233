"""Candidates of one video ranked before it is published: which would win against which, and whether that can be said at all.

What belongs here: from pictures and titles to a `Ranking`, by a bundle and the very encoders it was trained with. Where a
bundle is found is model/locate.py and registry.py; how a ranking is shown is commands/score.py.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import expit

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.features.cache import normalise_title
from thumbrank_core.features.encoders import ImageEncoder, TitleEncoder, Vectors
from thumbrank_core.features.preprocess import Square, to_square
from thumbrank_core.features.signals.definitions import SIGNALS
from thumbrank_core.model.bundle import Bundle
from thumbrank_core.model.encoders import EncodersChanged, encoders_of
from thumbrank_core.store.picture import PictureError, inspect

CALLED_FROM = 0.6
"""The probability against the second from which a winner is named. Probabilities are calibrated on channels that the model did
not learn from, so of pairs told at 0.6 the other one wins two in five; below that it wins more often still, and an answer that
is wrong so often is better not given."""


class ScoringError(ThumbrankError):
    """Candidates that cannot be ranked."""


class CandidateError(ScoringError):
    """One of the candidates cannot be scored. `position`: which, from 0; `cause`: why, a sentence about the picture."""

    def __init__(self, position: int, cause: PictureError) -> None:
        super().__init__(f"Candidate {position + 1} cannot be scored, name another picture: {cause}")
        self.position, self.cause = position, cause


@dataclass(frozen=True)
class Candidate:
    """One of the candidates, scored.

    `position`: where it was among those given, from 0. `rank`: 1 is the likeliest winner; equal scores share one. `score`:
    compares candidates of one channel and means nothing alone. `weak_sub_scores`: in 0..1, named as SIGNALS: what the model
    makes of simple measures of pictures, weak as those are, and no part of the score; None where the model learnt none.
    """

    position: int
    rank: int
    score: float
    weak_sub_scores: dict[str, float | None]


@dataclass(frozen=True)
class Ranking:
    """The candidates, best first, and how they compare.

    `beats`: (n, n), row i and column j in the order of `candidates`: P(candidate i beats candidate j), one half on the
    diagonal and between candidates of one picture and title.
    """

    candidates: tuple[Candidate, ...]
    beats: npt.NDArray[np.float64]

    @property
    def too_close_to_call(self) -> bool:
        """Whether the best one's probability to beat the second is below CALLED_FROM."""
        return bool(self.beats[0, 1] < CALLED_FROM)

    @property
    def contenders(self) -> tuple[Candidate, ...]:
        """The best one, and those that it does not beat with CALLED_FROM."""
        return tuple(c for i, c in enumerate(self.candidates) if i == 0 or self.beats[0, i] < CALLED_FROM)


class Encoders(Protocol):
    """What turns pictures and titles into vectors of a bundle's encoders."""

    @property
    def ids(self) -> tuple[str, str]:
        """Of the image and the title encoder."""
        ...

    def square(self, picture: bytes) -> Square:
        """The picture as the image encoder takes it. Raises PictureError."""
        ...

    def pictures(self, squares: Sequence[Square]) -> Vectors:
        """(n, clip_dim) of n squares."""
        ...

    def titles(self, titles: Sequence[str]) -> Vectors:
        """(n, text_dim) of n normalised titles."""
        ...


class LoadedEncoders:
    """A bundle's encoders, loaded once and used for any number of rankings."""

    def __init__(self, image: ImageEncoder, title: TitleEncoder) -> None:
        self._image, self._title = image, title

    @classmethod
    def of(cls, bundle: Bundle, *, offline: bool = False) -> Self:
        """Load the encoders that the bundle was trained with.

        Args:
            bundle: whose.
            offline: load from local files only.

        Raises:
            EncodersChanged: they are no longer what they were.
            EncoderError: one cannot be loaded, or is not the one that is pinned.
        """
        found = encoders_of(bundle)
        return cls(ImageEncoder(found.image, offline=offline), TitleEncoder(found.title, offline=offline))

    @property
    def ids(self) -> tuple[str, str]:
        """Of the image and the title encoder."""
        return self._image.spec.encoder_id, self._title.spec.encoder_id

    def square(self, picture: bytes) -> Square:
        """The picture as the image encoder takes it. Raises PictureError."""
        return to_square(picture, self._image.side, self._image.spec.resize)

    def pictures(self, squares: Sequence[Square]) -> Vectors:
        """(n, clip_dim) of n squares."""
        pixels = torch.from_numpy(np.stack(squares))
        return np.concatenate(list(self._image.encode(pixels.split(self._image.batch))))

    def titles(self, titles: Sequence[str]) -> Vectors:
        """(n, text_dim) of n normalised titles."""
        return self._title.encode(titles)


def score_candidates(bundle: Bundle, encoders: Encoders, pictures: Sequence[bytes], titles: Sequence[str]) -> Ranking:
    """Rank candidates of one video.

    Args:
        bundle: the model.
        encoders: the bundle's own (`LoadedEncoders.of`).
        pictures: two or more files' bytes: JPEG, PNG, WEBP or GIF, under the limits of store/picture.py.
        titles: one for each picture, or a single one for all of them.

    Raises:
        CandidateError: a picture is not one, is damaged, or is too large; nothing above the limits is decoded.
        ScoringError: fewer than two pictures, another number of titles, or a title without text.
        EncodersChanged: `encoders` are another bundle's.
    """
    wanted = titles_for(len(pictures), titles)
    card = bundle.card
    if encoders.ids != (card.image_encoder, card.title_encoder):
        raise EncodersChanged("These encoders are not the bundle's: load them with LoadedEncoders.of(bundle).")
    # Each picture, title and pair of them once: what is equal then has one score, to the last bit.
    squares: dict[bytes, Square] = {}
    digests = [hashlib.sha256(picture).digest() for picture in pictures]
    for position, (digest, picture) in enumerate(zip(digests, pictures, strict=True)):
        if digest not in squares:
            squares[digest] = _square(encoders, position, picture)
    image = dict(zip(squares, encoders.pictures(list(squares.values())), strict=True))
    texts = list(dict.fromkeys(wanted))
    title = dict(zip(texts, encoders.titles(texts), strict=True))
    distinct = list(dict.fromkeys(zip(digests, wanted, strict=True)))
    images = np.stack([image[digest] for digest, _ in distinct])
    read = np.stack([title[text] for _, text in distinct])
    row = [distinct.index(candidate) for candidate in zip(digests, wanted, strict=True)]
    return _ranking(bundle, bundle.score(images, read)[row], bundle.sub_scores(images, read)[row])


def titles_for(count: int, titles: Sequence[str]) -> list[str]:
    """The normalised title of each of `count` pictures.

    Raises:
        ScoringError: as score_candidates.
    """
    if count < 2:
        raise ScoringError(
            "One picture has nothing to be compared with: name two or more candidates of the same video."
        )
    if len(titles) not in (1, count):
        raise ScoringError(
            f"{count} pictures and {len(titles)} titles: give one title for all, or one for each picture."
        )
    normalised = [_normalised(number, title) for number, title in enumerate(titles, start=1)]
    return normalised * count if len(titles) == 1 else normalised


def _normalised(number: int, title: str) -> str:
    try:
        title.encode()
    except UnicodeEncodeError:  # bytes of a command line that are no UTF-8
        raise ScoringError(f"Title {number} is not UTF-8: type it in again.") from None
    text = normalise_title(title)
    if not text:
        raise ScoringError(f"Title {number} is empty: write the title that the video will have.")
    return text


def _square(encoders: Encoders, position: int, picture: bytes) -> Square:
    try:
        inspect(picture)  # reads to the end: what is cut off, or YouTube's grey placeholder, gets no score
        return encoders.square(picture)
    except PictureError as error:
        raise CandidateError(position, error) from None


def _ranking(bundle: Bundle, score: npt.NDArray[np.float64], sub_scores: npt.NDArray[np.float64]) -> Ranking:
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    learnt = learnt_sub_scores(bundle)
    candidates = tuple(
        Candidate(
            position=int(position),
            rank=1 + int((ordered > score[position]).sum()),
            score=float(score[position]),
            weak_sub_scores={
                name: float(sub_scores[position, column]) if name in learnt else None
                for column, name in enumerate(SIGNALS)
            },
        )
        for position in order
    )
    return Ranking(candidates, expit((ordered[:, None] - ordered[None, :]) / bundle.card.temperature))


def learnt_sub_scores(bundle: Bundle) -> frozenset[str]:
    """The sub-scores that the model learnt: a head without a signal to follow still has a number to say, which means nothing."""
    if (
        bundle.card.recipe.get("sub_scores") == "engagement"
    ):  # the guide's: all six heads learn the absolute head's target
        return frozenset(SIGNALS)
    return frozenset(name for name, found in bundle.card.sub_score_agreement.items() if found is not None)
