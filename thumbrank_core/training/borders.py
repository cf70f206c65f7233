"""The border before a model: what there is against each niche, seen in its tables and not in what the steps' checks said.

A blocking check blocks inside its own run only, so whoever learns or measures asks here for itself. What belongs here: which
evidence stops whom, and the sentence. The evidence is labels/evidence.py and features/inventory.py.

Training stops for all of it. Measuring a model that exists stops where the figure would be wrong (no pairs, leaks, a label that
is a clock) and not where it would be old or of fewer pictures: an old figure has its n and its dates beside it, and a champion must
stay measurable when YouTube has not answered for a month.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Literal

import psycopg

from thumbrank_core.features.inventory import LEAST_COVERAGE, Coverage, coverage
from thumbrank_core.features.specs import EncoderSet
from thumbrank_core.labels.duplicates import Reason, cross_split_duplicates
from thumbrank_core.labels.evidence import STALE_AFTER, Clock, Leaks, Staleness, clock, leaks, staleness
from thumbrank_core.training.dataset import DatasetError

Purpose = Literal["train", "measure"]
Shares = Mapping[str, float]

_STOPS: Mapping[Purpose, str] = {"train": "Training stops", "measure": "Nothing is measured"}
_LEAVE_OUT: Mapping[Purpose, str] = {
    "train": "--niche on the command line, `niches` in Dagster",
    "measure": "--data on the command line",
}
_BUILD = "build its training pairs again"


@dataclass(frozen=True)
class Trouble:
    """What is against a niche, as it follows the niche's name in a sentence, and what mends it."""

    says: str
    mend: str


@dataclass(frozen=True)
class Border:
    """One niche. `coverage`: the share of what is wanted that has a vector, by kind; None where it was not asked. `troubles`: none,
    and it may pass."""

    niche: str
    pairs: int
    leaks: Leaks
    staleness: Staleness
    coverage: Shares | None
    troubles: tuple[Trouble, ...]

    @property
    def reason(self) -> str | None:
        """Why it may not pass, with the mends in brackets; None: it may."""
        if not self.troubles:
            return None
        by_mend = groupby(self.troubles, key=lambda trouble: trouble.mend)
        return ", and ".join(f"{', '.join(trouble.says for trouble in some)} ({mend})" for mend, some in by_mend)

    @property
    def figures(self) -> dict[str, object]:
        """What was found, for people who look at a niche that passed."""
        found: dict[str, object] = {"pairs": self.pairs, "leaks": self.leaks.total}
        if self.coverage is not None:
            found |= {f"{kind}_with_a_vector": round(share, 4) for kind, share in self.coverage.items()}
        if self.staleness.newest is not None and self.staleness.age is not None:
            found["newest_counts"] = self.staleness.newest.isoformat(timespec="seconds")
            found["days_old"] = self.staleness.age.days
        return found


class BorderError(DatasetError):
    """Niches that may not pass; the sentence names each, why, and the mend. `borders`: of all niches that were asked for."""

    def __init__(self, borders: Sequence[Border], purpose: Purpose) -> None:
        self.borders = tuple(borders)
        bad = [border for border in self.borders if border.troubles]
        said = "; ".join(f"{border.niche} {border.reason}" for border in bad)
        whom = "it" if len(bad) == 1 else "them"
        super().__init__(f"{_STOPS[purpose]}: {said}: mend that, or leave {whom} out ({_LEAVE_OUT[purpose]}).")


@dataclass(frozen=True)
class DataQuality:
    """What the tables say of some niches, in the order they were asked for; vectors aside. `crossing`: labelled videos that lose
    to one in a split above their own, in whichever of these niches that is."""

    niches: tuple[str, ...]
    pairs: Mapping[str, int]
    labels: Mapping[str, str]
    clocks: Mapping[str, Clock | None]
    leaks: Mapping[str, Leaks]
    staleness: Mapping[str, Staleness]
    crossing: dict[int, Reason]


def look(connection: psycopg.Connection, niches: Sequence[str], now: datetime) -> DataQuality:
    """Look at every niche. `now`: until when counts have aged."""
    pairs, crossing = _pairs(connection, niches), dict(cross_split_duplicates(connection, niches))
    suspects = _niches_of(connection, crossing)
    return DataQuality(
        tuple(niches),
        pairs,
        _labels(connection, niches),
        {niche: clock(connection, niche) for niche in niches if pairs[niche]},
        # What crosses within a niche crosses within all of them.
        {niche: leaks(connection, niche, none_crosses=niche not in suspects) for niche in niches},
        {niche: staleness(connection, niche, now) for niche in niches},
        crossing,
    )


def judge(quality: DataQuality, purpose: Purpose, coverage: Mapping[str, Shares] | None = None) -> tuple[Border, ...]:
    """Let the niches pass, or say of each what is wrong.

    Args:
        quality: what the tables say.
        purpose: what for.
        coverage: share of the wanted pictures and titles that have a vector, by niche; for training.

    Raises:
        BorderError: at least one niche may not pass.
    """
    found = tuple(_border(niche, quality, purpose, coverage[niche] if coverage else None) for niche in quality.niches)
    if any(border.troubles for border in found):
        raise BorderError(found, purpose)
    return found


def check(
    connection: psycopg.Connection, niches: Sequence[str], encoders: EncoderSet, now: datetime
) -> tuple[Border, ...]:
    """What training asks, before anything is read. `encoders`: whose vectors are wanted, their precisions settled.

    Raises:
        BorderError: at least one niche may not pass.
    """
    covered = {niche: shares_of(coverage(connection, niche, encoders)) for niche in niches}
    return judge(look(connection, niches, now), "train", covered)


def shares_of(found: Coverage) -> Shares:
    """Share of what is wanted that training finds a vector of, by kind; 1 where nothing is wanted."""
    kinds = {"pictures": (found.pictures, found.pictures_wanted), "titles": (found.titles, found.titles_wanted)}
    return {kind: there / wanted if wanted else 1.0 for kind, (there, wanted) in kinds.items()}


def _border(niche: str, quality: DataQuality, purpose: Purpose, covered: Shares | None) -> Border:
    if quality.pairs[niche] == 0 or niche not in quality.labels:
        # Whatever else is wrong is mended on the way to having pairs.
        troubles = [Trouble("has no training pairs", "collect or import it first")]
    else:
        troubles = [*_of_leaks(quality.leaks[niche]), *_of_labels(niche, quality.labels, quality.clocks[niche])]
        if purpose == "train":
            assert covered is not None, "training asks for vectors"
            troubles += [*_of_coverage(covered), *_of_staleness(quality.staleness[niche])]
    return Border(niche, quality.pairs[niche], quality.leaks[niche], quality.staleness[niche], covered, tuple(troubles))


def _of_leaks(found: Leaks) -> Iterator[Trouble]:
    if found.wrong_split:
        yield Trouble(
            f"has leaking splits, {_number(found.wrong_split, 'channel')} in one that is not its own",
            "set channels.split back to what the hash of channel_id says, and build its training pairs again",
        )
    said = [
        _number(count, thing) + where
        for count, thing, where in (
            (found.across_channels, "pair", " across channels"),
            (found.not_counted, "pair", " of left-out videos"),
            (found.crossing_pictures, "video", " whose picture or upload another split has too"),
        )
        if count
    ]
    if said:
        yield Trouble(f"leaks, {' and '.join(said)}", _BUILD)


def _of_labels(niche: str, labels: Mapping[str, str], found: Clock | None) -> Iterator[Trouble]:
    own = labels[niche]
    others = [f"{other} {label}" for other, label in labels.items() if label != own]
    if others:
        yield Trouble(f"has the label {own} beside {', '.join(others)}", f"{_BUILD}, all niches by one policy")
    if found is not None and found.rules and own != "views_per_hour":
        a = found.accuracy
        yield Trouble(
            f"has a label that is a clock, as the newer video wins {a.value:.1%} of the pairs ({a.low:.1%} to {a.high:.1%}, "
            f"{found.n_channels} channels)",
            "raise labels.min_age_days, or collect the niche again",
        )


def _of_coverage(found: Shares) -> Iterator[Trouble]:
    low = {kind: share for kind, share in found.items() if share < LEAST_COVERAGE}
    if low:
        said = " and ".join(f"{share:.1%} of its {kind}" for kind, share in low.items())
        yield Trouble(
            f"has vectors of {said}, {LEAST_COVERAGE:.0%} are asked",
            "embed it with the encoders of this training: asset embeddings, or `thumbrank run --niche NAME --encoders SET`",
        )


def _of_staleness(found: Staleness) -> Iterator[Trouble]:
    if found.stale and found.age is not None:
        yield Trouble(f"was last counted {found.age.days} days ago, {STALE_AFTER.days} at most", "refresh it")


def _number(count: int, thing: str) -> str:
    """Pairs, channels and pictures in a sentence."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def _labels(connection: psycopg.Connection, niches: Sequence[str]) -> dict[str, str]:
    """By what the pairs of each niche were labelled; a niche whose pairs were never built to the end is not there."""
    rows = connection.execute(
        "select niche::text, label from thumbrank.pair_builds where niche = any(%s) and cut is not null "
        "order by array_position(%s::text[], niche::text)",
        (list(niches), list(niches)),
    ).fetchall()
    return {str(niche): str(label) for niche, label in rows}


def _pairs(connection: psycopg.Connection, niches: Sequence[str]) -> dict[str, int]:
    rows = connection.execute(
        "select niche::text, count(*)::int from thumbrank.training_pairs where niche = any(%s) group by niche",
        (list(niches),),
    ).fetchall()
    return dict.fromkeys(niches, 0) | {str(niche): int(count) for niche, count in rows}


def _niches_of(connection: psycopg.Connection, videos: Mapping[int, Reason]) -> set[str]:
    if not videos:
        return set()
    rows = connection.execute(
        "select distinct niche::text from thumbrank.video_labels where video_key = any(%s)", (list(videos),)
    ).fetchall()
    return {str(row[0]) for row in rows}
