"""What training and evaluation see: the distinct items of some niches with their vectors, and the pairs between them.

Items are held once and pairs are indices into them: 150,000 pairs are a few megabytes, not copies of vectors. How they come
out of the database is loading.py.
"""

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from thumbrank_core.array_types import Floats, Ints
from thumbrank_core.errors import ThumbrankError
from thumbrank_core.labels.splits import Split
from thumbrank_core.policy import LabelName

if TYPE_CHECKING:
    from thumbrank_core.training.borders import Border

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
PERIODS = ("earlier", "across", "later")
"""Both videos published before the time cut, one of them, or none (labels/splits.py)."""


class DatasetError(ThumbrankError):
    """The database does not hold what training needs; the sentence names the niche and the step to run."""


@dataclass(frozen=True)
class Items:
    """N distinct videos. `published`: seconds since 1970; `value`: the label, on a scale of ratios (labels/definitions.py)."""

    video_id: list[str]
    title: list[str]
    picture: list[bytes]
    image: npt.NDArray[np.float32]
    text: npt.NDArray[np.float32]
    channel: Ints
    niche: Ints
    split: Ints
    published: Floats
    value: Floats

    def __len__(self) -> int:
        return len(self.video_id)


@dataclass(frozen=True)
class Pairs:
    """P pairs as indices into the items. `age_gap_hours`: publication of a minus publication of b.

    `soft_target`: P(a beats b). `period`: index into PERIODS, where both videos lie to the niche's time cut.
    """

    a: Ints
    b: Ints
    outcome: Floats
    margin: Floats
    soft_target: Floats
    age_gap_hours: Floats
    weight: Floats
    channel: Ints
    niche: Ints
    split: Ints
    period: Ints

    def __len__(self) -> int:
        return len(self.a)

    def take(self, chosen: npt.NDArray[np.bool_]) -> "Pairs":
        """The pairs where `chosen` (P,) is true."""
        return Pairs(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class OwnerRates:
    """One owner's real click-through rates: `click_rate` (k,) in [0, 1] of the items `item` (k,), over `impressions` (k,)."""

    item: Ints
    click_rate: Floats
    impressions: Floats


@dataclass(frozen=True)
class Traits:
    """What figures are broken down by and nothing learns from; NaN where it is not known.

    `duration_s` (n,): of the items; `has_text`, `has_face` (n,): 1 or 0, as the weak signals see their pictures;
    `subscribers` (C,): of the channels.
    """

    duration_s: Floats
    has_text: Floats
    has_face: Floats
    subscribers: Floats


@dataclass(frozen=True)
class Dataset:
    """Items, pairs and the names behind their integers.

    `signals`: (n, 6) weak sub-scores in RankGauss units ordered as SIGNALS, NaN where one is missing; None where none were
    measured. `owners`: real click-through rates by owner, never to be joined. `left_out`: pairs that are stored and not here,
    by reason: `no_vectors`, or a picture or re-upload that crosses splits between two niches. `encoders`: the name of the
    encoder set of the vectors. `traits`: None where nobody asked the database for them. `cuts`: where the time holdout of each
    niche begins, seconds since 1970. `borders`: what was found of each niche before it was read (borders.py).
    """

    items: Items
    pairs: Pairs
    channels: list[str]
    niches: list[str]
    versions: dict[str, str]
    sources: list[str]
    label: LabelName
    left_out: dict[str, int]
    encoders: str
    signals: npt.NDArray[np.float32] | None = None
    owners: dict[str, OwnerRates] = field(default_factory=dict[str, OwnerRates])
    traits: Traits | None = None
    cuts: dict[str, float] = field(default_factory=dict[str, float])
    borders: "tuple[Border, ...]" = ()

    def of(self, split: Split) -> Pairs:
        """The pairs of one split; of training and validation those up to the time cut alone, so that what is later in time is
        measured by a model that has not seen it. Validation channels without any such pair select by those that they have:
        they are never measured on."""
        return self.pairs.take(self._inside(split))

    def items_of(self, split: Split) -> Ints:
        """The items in the pairs `of` that split, ascending."""
        inside, found = self._inside(split), np.zeros(len(self.items), np.bool_)
        found[self.pairs.a[inside]] = found[self.pairs.b[inside]] = True
        return np.flatnonzero(found)

    def _inside(self, split: Split) -> npt.NDArray[np.bool_]:
        inside = self.pairs.split == SPLITS.index(split)
        earlier = inside & (self.pairs.period == PERIODS.index("earlier"))
        return inside if split == "test" or (split == "validation" and not earlier.any()) else earlier

    def later(self, split: Split, since: float | None = None) -> Pairs:
        """The pairs of one split both of whose videos were published after the time cut, and from `since` on, where a model was
        trained on data with another cut (seconds since 1970)."""
        inside = (self.pairs.split == SPLITS.index(split)) & (self.pairs.period == PERIODS.index("later"))
        if since is not None:
            published = self.items.published
            inside &= np.minimum(published[self.pairs.a], published[self.pairs.b]) >= since
        return self.pairs.take(inside)

    def fingerprint(self, *, owners: bool = False) -> str:
        """A digest of everything that training reads: ids, vectors, labels, splits, signals; owners' rates where they are."""
        digest = hashlib.sha256()
        digest.update(repr((self.items.video_id, self.channels, self.niches, self.label)).encode())
        for array in (
            self.items.image,
            self.items.text,
            self.items.channel,
            self.items.split,
            self.items.value,
            self.pairs.a,
            self.pairs.b,
            self.pairs.outcome,
            self.pairs.soft_target,
            self.pairs.weight,
            self.pairs.period,
        ):
            digest.update(np.ascontiguousarray(array).data)
        if self.signals is not None:
            digest.update(np.ascontiguousarray(self.signals).data)
        for owner in sorted(self.owners) if owners else ():
            digest.update(owner.encode())
            for array in (self.owners[owner].item, self.owners[owner].click_rate, self.owners[owner].impressions):
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def counts(self, split: Split) -> tuple[int, int]:
        """(pairs, channels) of one split."""
        pairs = self.of(split)
        return len(pairs), len(np.unique(pairs.channel))
