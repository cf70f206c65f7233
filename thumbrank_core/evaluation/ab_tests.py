"""How scorers do on A/B tests: of variants that YouTube showed at random, whether the one that won is ranked above the others.

What belongs here: the measure, its interval, and which figures may be shown. Where the tests come from and how their variants
get vectors is ab_reading.py.

A test belongs to the owner of its channel, and an owner's own figures are shown to nobody (docs/real-ctr.md): what is shown is of
the tests of at least MIN_OWNERS owners, and no two figures differ by those of fewer.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thumbrank_core.array_types import Floats, Ints, Mask
from thumbrank_core.bootstrap import Interval, draw_weights, effective_channels, interval, ratio_draws
from thumbrank_core.evaluation.figures import AbFigures, AbSet
from thumbrank_core.metrics import channel_sums, pair_concordance

MIN_OWNERS = 2
ALL_TESTS, UNSEEN, SEEN = "all tests", "unseen channels", "seen channels"
Z = 1.959963984540054
"""Of 95 % in the normal distribution."""


@dataclass(frozen=True)
class Variants:
    """V distinct variants with the vectors of a bundle's encoders: `image` (v, d), `text` (v, e), and their titles."""

    image: npt.NDArray[np.float32]
    text: npt.NDArray[np.float32]
    title: list[str]

    def __len__(self) -> int:
        return len(self.title)


@dataclass(frozen=True)
class AbPairs:
    """P pairs of a winner and another variant of its test, as indices into the variants.

    `test`, `owner` (p,): whose, by number; `seen` (p,): whether the channel is one that models learn from; `ctr` (p,): whether
    click rate decided. `n_same`, `left_out`: as in AbFigures. `champion` (v,): its scores, where it has these very encoders.
    """

    variants: Variants
    winner: Ints
    other: Ints
    test: Ints
    owner: Ints
    seen: Mask
    ctr: Mask
    n_same: int
    left_out: dict[str, int]
    champion: Floats | None = None

    def __len__(self) -> int:
        return len(self.winner)


def measure_tests(pairs: AbPairs, scores: Mapping[str, Floats]) -> AbFigures:
    """Figures of every scorer.

    Args:
        pairs: the tests' pairs.
        scores: (v,) of the variants, by scorer.
    """
    found: list[AbSet] = []
    everything = np.ones(len(pairs), np.bool_)
    if _owners(pairs, everything) >= MIN_OWNERS:
        found.append(_measured(ALL_TESTS, pairs, scores, everything))
        # One part alone would tell the other by the difference from the whole.
        if min(_owners(pairs, pairs.seen), _owners(pairs, ~pairs.seen)) >= MIN_OWNERS:
            found.append(_measured(UNSEEN, pairs, scores, ~pairs.seen))
            found.append(_measured(SEEN, pairs, scores, pairs.seen))
    return AbFigures(
        n_tests=_distinct(pairs.test),
        n_pairs=len(pairs),
        n_channels=_distinct(pairs.owner),
        n_seen=_distinct(pairs.test[pairs.seen]),
        n_ctr=_distinct(pairs.test[pairs.ctr]),
        n_same=pairs.n_same,
        left_out=pairs.left_out,
        sets=found,
    )


def _measured(name: str, pairs: AbPairs, scores: Mapping[str, Floats], inside: Mask) -> AbSet:
    _, owner = np.unique(pairs.owner[inside], return_inverse=True)
    _, test = np.unique(pairs.test[inside], return_inverse=True)
    winner, other = pairs.winner[inside], pairs.other[inside]
    n_channels, won = int(owner.max()) + 1, np.ones(len(winner))
    weights = draw_weights(n_channels)
    accuracy: dict[str, Interval] = {}
    for scorer, score in scores.items():
        right = pair_concordance(score[winner] - score[other], won)
        sums, counts = channel_sums(right, owner, n_channels)
        drawn = interval(float(right.mean()), ratio_draws(sums, counts, weights), effective_channels(counts))
        accuracy[scorer] = _widened(drawn, effective_channels(np.bincount(test).astype(np.float64)))
    return AbSet(name, int(test.max()) + 1, len(winner), n_channels, accuracy)


def _widened(drawn: Interval, tests: float) -> Interval:
    """The interval of resampled channels, as far as Wilson's over so many tests at least.

    A handful of tests that all came out right would otherwise have no interval at all: whichever channels are drawn, all is
    right. Wilson's alone knows nothing of channels that differ.
    """
    p = drawn.value
    centre = (p + Z * Z / (2 * tests)) / (1 + Z * Z / tests)
    reach = Z * float(np.sqrt(p * (1 - p) / tests + (Z / (2 * tests)) ** 2)) / (1 + Z * Z / tests)
    return Interval(p, float(np.fmin(drawn.low, centre - reach)), float(np.fmax(drawn.high, centre + reach)))


def _owners(pairs: AbPairs, inside: Mask) -> int:
    return _distinct(pairs.owner[inside])


def _distinct(numbers: Ints) -> int:
    return len(np.unique(numbers))
