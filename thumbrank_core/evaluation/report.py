"""One self-contained HTML page an evaluation: the verdict first, then pictures, then tables. Nothing is fetched by the page.

What belongs here: what stands on the page and in which order. The plots and their words are pictures.py, the figures as words
wording.py. A video is shown between marks only (shown.py), and an owner's click-through rates are never shown.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import numpy as np

from thumbrank_core.bootstrap import DRAWS, FEW_CHANNELS
from thumbrank_core.evaluation import wording
from thumbrank_core.evaluation.ab_reading import REASONS
from thumbrank_core.evaluation.figures import (
    CEILING,
    DEFINITIONS,
    METRICS,
    MODEL,
    AbFigures,
    EvaluatedPairs,
    Evaluation,
)
from thumbrank_core.evaluation.gate import Verdict
from thumbrank_core.evaluation.pictures import Plot
from thumbrank_core.evaluation.shown import Shown, templates
from thumbrank_core.features.cache import title_sha256
from thumbrank_core.features.signals.definitions import SIGNALS
from thumbrank_core.labels.definitions import SHOWN
from thumbrank_core.model.bundle import BundleCard
from thumbrank_core.store.files import write_text
from thumbrank_core.store.images import ImageStore
from thumbrank_core.store.picture import PictureError
from thumbrank_core.training.dataset import Dataset

EXAMPLES = 4
SOURCES = {
    "simulator": "a simulated world, not YouTube",
    "youtube_api": "the YouTube Data API",
    "import": "an imported data set",
}


@dataclass(frozen=True)
class Table:
    """A set of pairs as the page shows it: what it is, and what it means that there is none."""

    title: str
    measured: EvaluatedPairs | None
    empty: str


@dataclass(frozen=True)
class Side:
    """One video of an example pair. `picture` is a data URI, or None with the reason it is missing.

    `mark` is `Shown.mark()`: what retention finds and takes out later.
    """

    mark: str
    title: str
    picture: str | None
    label: float
    missing: str = ""


@dataclass(frozen=True)
class Example:
    """A test pair: what won, and by how much the model thought so."""

    winner: Side
    loser: Side
    difference: float


def render(
    evaluation: Evaluation,
    verdict: Verdict,
    card: BundleCard,
    dataset: Dataset,
    images: ImageStore,
    pictures: Mapping[str, Plot],
) -> str:
    """The page as text. `pictures`: what `pictures_of` drew of it."""
    right, wrong = _examples(evaluation, dataset, images)
    return (
        templates()
        .get_template("report.html.j2")
        .render(
            evaluation=evaluation,
            verdict=verdict,
            card=card,
            sources=[SOURCES[source] for source in dataset.sources],
            simulated="simulator" in dataset.sources,
            caveats=caveats(evaluation),
            pictures=[(picture, _uri(picture.png, "png")) for picture in pictures.values()],
            right=right,
            wrong=wrong,
            tables=tables(evaluation),
            ab_facts=ab_facts(evaluation.ab),
            slice_groups=[list(parts) for _, parts in groupby(evaluation.proper_slices, key=lambda part: part.by)],
            slice_scorers=slice_scorers(evaluation),
            metrics=METRICS,
            signals=SIGNALS,
            definitions=DEFINITIONS,
            model=MODEL,
            ceiling=CEILING,
            draws=DRAWS,
            label_shown=SHOWN[evaluation.label],
            pairs_left_out=dataset.left_out,
            say=wording,
        )
    )


def write(folder: Path, text: str, name: str = "index.html") -> Path:
    """Write the page, or a card under its `name`, into the folder, atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / name
    write_text(target, text)
    return target


def tables(evaluation: Evaluation) -> list[Table]:
    """The sets of pairs in the order of what they are good for."""
    return [
        Table("Unseen channels", evaluation.unseen, ""),
        Table(
            "Unseen channels, later in time: what promotion is decided on",
            evaluation.later,
            "No pairs: no unseen channel has two comparable videos published after the time cut, up to which the model was trained.",
        ),
        Table(
            "Seen channels, later in time: a creator's own use",
            evaluation.seen_later,
            "No pairs: no training channel has two comparable videos published after the time cut, up to which the model was trained.",
        ),
    ]


def slice_scorers(evaluation: Evaluation) -> list[str]:
    """Every scorer that some slice was looked at for, the model first."""
    names = dict.fromkeys(name for part in evaluation.proper_slices for name in part.accuracy)
    return sorted(names, key=lambda name: name != MODEL)


def caveats(evaluation: Evaluation) -> list[str]:
    """What the figures cannot prove, in sentences with their numbers."""
    everywhere, measured = evaluation.all_pairs, evaluation.unseen
    accuracy = evaluation.model.metrics["pair_accuracy_micro"]
    found: list[str] = []
    if evaluation.too_few_channels:
        found.append(
            f"{everywhere.n_channels} channels can prove little: {measured.n_channels} of them are the unseen ones measured here. "
            f"Below {FEW_CHANNELS} even this interval ({wording.bounds(accuracy)}) is too narrow, and about 100 "
            "unseen channels are needed for ±0.02."
        )
    found.append(
        f"Large channels count more: the {measured.n_channels} unseen channels tell as much as "
        f"{measured.effective_channels:.1f} of equal size would."
    )
    clock = everywhere.newer_wins
    largely = clock.value >= 0.6
    found.append(
        f"{'The label is largely a clock here' if largely else 'The clock in the label'}: over all {everywhere.n_pairs:,} pairs of "
        f"{everywhere.n_channels} channels, “newer wins” alone, which sees no picture and no title, reaches "
        f"{wording.figure(clock)}; 0.5 is none."
    )
    leak = evaluation.leak
    found.append(
        f"Leak alarm: a memoriser of ids, pictures and titles gets {wording.figure(leak.unseen)} on the {leak.n_unseen:,} pairs "
        "of unseen channels"
        + (
            "."
            if leak.random_pairs is None
            else f"; on a random fifth of all pairs ({leak.n_random:,}), whose videos it knows from the others, "
            f"{wording.figure(leak.random_pairs)}: what any model would seem to reach there."
        )
    )
    found.append(
        "The label is made of public view counts, a stand-in for success and not a click-through rate. "
        + _click_through(len(evaluation.owners))
    )
    return found


def _click_through(owners: int) -> str:
    """How many owners there are and no more: what they see is theirs alone."""
    if owners == 0:
        return "CTR correlation: no data (only a channel's owner has it)."
    whose = "1 owner brought real figures" if owners == 1 else f"{owners} owners brought real figures"
    return f"CTR correlation: {whose}; the gate holds each against its floor, and nobody is shown what it comes to."


def ab_facts(found: AbFigures | None) -> list[str]:
    """What stands above the figures of A/B tests, in sentences; none where no test is stored."""
    if found is None:
        return []
    if found.n_tests:
        said = [
            "Variants of one video that YouTube showed at random: of "
            f"{wording.several(found.n_pairs, 'pair')} of a winner and another variant, in "
            f"{wording.several(found.n_tests, 'test')} of {wording.several(found.n_channels, 'channel')}, how many are ranked right; "
            "ties count one half. Nothing learns from them, and no verdict hangs on them.",
            f"{found.n_seen:,} of these tests {'is' if found.n_seen == 1 else 'are'} of channels whose videos the model may have "
            f"learnt from; {found.n_ctr:,} {'was' if found.n_ctr == 1 else 'were'} decided by click rate, the others by the share "
            "of watch time.",
        ]
    else:
        said = ["Tests are stored, and none can be measured."]
    if found.n_same:
        said.append(f"{wording.several(found.n_same, 'test')} ended without a difference and cannot be ranked right.")
    said += [
        f"{wording.several(n, 'test')} with a winner {'is' if n == 1 else 'are'} left out: {REASONS[reason]}."
        for reason, n in found.left_out.items()
    ]
    if found.sets and found.n_channels < FEW_CHANNELS:
        said.append(f"Below {FEW_CHANNELS} channels even these intervals may be too narrow.")
    return said


def _examples(evaluation: Evaluation, dataset: Dataset, images: ImageStore) -> tuple[list[Example], list[Example]]:
    """The pairs the model was surest of and right, and surest of and wrong; one a channel."""
    pairs, score = evaluation.test, evaluation.scores[MODEL]
    first_won = pairs.outcome > 0.5
    winner, loser = np.where(first_won, pairs.a, pairs.b), np.where(first_won, pairs.b, pairs.a)
    towards = np.where(pairs.outcome == 0.5, 0.0, score[winner] - score[loser])

    def pick(order: Sequence[int]) -> list[Example]:
        seen: set[int] = set()
        chosen: list[Example] = []
        for index in order:
            if int(pairs.channel[index]) not in seen and len(chosen) < EXAMPLES:
                seen.add(int(pairs.channel[index]))
                sides = [_side(dataset, images, int(item[index])) for item in (winner, loser)]
                chosen.append(Example(sides[0], sides[1], float(towards[index])))
        return chosen

    order = np.argsort(towards, kind="stable")
    right = pick([int(i) for i in order[::-1] if towards[i] > 0])
    return right, pick([int(i) for i in order if towards[i] < 0])


def _side(dataset: Dataset, images: ImageStore, item: int) -> Side:
    title, label = dataset.items.title[item], float(dataset.items.value[item])
    video_id, picture, now = dataset.items.video_id[item], dataset.items.picture[item], datetime.now(UTC)
    try:
        data = images.read(picture)
    except PictureError as error:
        return Side(Shown(video_id, title_sha256(title), None, now).mark(), title, None, label, error.reason)
    kind = (
        "png"
        if data[:4] == b"\x89PNG"
        else "webp"
        if data[8:12] == b"WEBP"
        else "gif"
        if data[:3] == b"GIF"
        else "jpeg"
    )
    return Side(Shown(video_id, title_sha256(title), picture, now).mark(), title, _uri(data, kind), label)


def _uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
