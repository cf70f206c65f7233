"""One self-contained HTML page an evaluation: the verdict first, then pictures, then tables. Nothing is fetched by the page."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from thumbrank_core.bootstrap import DRAWS, FEW_CHANNELS
from thumbrank_core.evaluation import plots
from thumbrank_core.evaluation.evaluate import CEILING, METRICS, MODEL, Evaluation
from thumbrank_core.evaluation.gate import Verdict
from thumbrank_core.evaluation.shown import Shown, templates
from thumbrank_core.evaluation.truth import Truth
from thumbrank_core.features.cache import title_sha256
from thumbrank_core.labels.definitions import SHOWN
from thumbrank_core.labels.growth import GrowthCurve
from thumbrank_core.model.bundle import BundleCard
from thumbrank_core.store.images import ImageStore
from thumbrank_core.store.picture import PictureError
from thumbrank_core.training.dataset import Dataset

EXAMPLES = 4
SOURCES = {
    "simulator": "a simulated world, not YouTube",
    "youtube_api": "the YouTube Data API",
    "import": "an imported data set",
}
DEFINITIONS = {
    "pair_accuracy_micro": "Share of pairs of one channel whose order is right, over all pairs; ties count one half.",
    "pair_accuracy_macro": "The same share, first within each channel, then averaged over channels.",
    "pair_auc_pooled": "ROC-AUC of the score difference over the pooled pairs, both orders present. Above accuracy for the same model.",
    "spearman_within_channel": "Spearman rank correlation of score and label within a channel, averaged over channels of 5 or more videos.",
}


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
    curves: Mapping[str, GrowthCurve],
    truth: Truth | None = None,
) -> str:
    """The page as text. `curves`: the growth curve of each niche; `truth`: only of a simulated world."""
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
            metrics=METRICS,
            definitions=DEFINITIONS,
            ceiling=CEILING,
            model=MODEL,
            caveats=caveats(evaluation),
            draws=DRAWS,
            bars=_uri(plots.accuracy_bars(evaluation.overall), "png"),
            curve=_uri(plots.learning_curve(card.history, card.best_epoch), "png"),
            niches=_uri(plots.niche_bars(evaluation), "png"),
            label_shown=SHOWN[evaluation.label],
            growth=_uri(plots.growth_curves(curves, truth.growth if truth else None), "png") if curves else None,
            pairs_left_out=dataset.left_out,
            right=right,
            wrong=wrong,
        )
    )


def write(folder: Path, page: str) -> Path:
    """Write `index.html` into the folder, atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "index.html"
    temporary = folder / "index.html.part"
    temporary.write_text(page, encoding="utf-8")
    temporary.replace(target)
    return target


def caveats(evaluation: Evaluation) -> list[str]:
    """What the figures cannot prove, in sentences with their numbers."""
    everywhere, measured = evaluation.all_pairs, evaluation.overall
    accuracy = evaluation.model.metrics["pair_accuracy_micro"]
    found: list[str] = []
    if evaluation.too_few_channels:
        found.append(
            f"{everywhere.n_channels} channels can prove little: {measured.n_channels} of them are the unseen ones measured here. "
            f"Below {FEW_CHANNELS} even this interval ({accuracy.low:.3f} to {accuracy.high:.3f}) is too narrow, and about 100 "
            "unseen channels are needed for ±0.02."
        )
    clock = everywhere.newer_wins
    largely = clock.value >= 0.6
    found.append(
        f"{'The label is largely a clock here' if largely else 'The clock in the label'}: over all {everywhere.n_pairs:,} pairs of "
        f"{everywhere.n_channels} channels, “newer wins” alone, which sees no picture and no title, reaches {clock.value:.3f} "
        f"({clock.low:.3f} to {clock.high:.3f}); 0.5 is none."
    )
    leak = evaluation.leak
    found.append(
        f"Leak alarm: a memoriser of ids, pictures and titles gets {leak.unseen.value:.3f} ({leak.unseen.low:.3f} to "
        f"{leak.unseen.high:.3f}) on the {leak.n_unseen:,} pairs of unseen channels"
        + (
            "."
            if leak.random_pairs is None
            else f"; on a random fifth of all pairs ({leak.n_random:,}), whose videos it knows from the others, "
            f"{leak.random_pairs.value:.3f} ({leak.random_pairs.low:.3f} to {leak.random_pairs.high:.3f}): what any model would seem "
            "to reach there."
        )
    )
    found.append(
        "The label is made of public view counts, a stand-in for success and not a click-through rate. CTR correlation: no data "
        "(only a channel's owner has it)."
    )
    return found


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
