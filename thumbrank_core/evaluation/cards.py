"""The model card and the data card of a version, in Markdown: what a person must know before using either.

What belongs here: which facts stand in a card, and how they are put. What is not known is said to be unknown, never guessed. A
card holds no title, no id of a video, channel or owner and no owner's figures, so that nothing in it has to be forgotten.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np

from thumbrank_core.evaluation import wording
from thumbrank_core.evaluation.figures import CEILING, DEFINITIONS, METRICS, MODEL, Evaluation
from thumbrank_core.evaluation.gate import Verdict
from thumbrank_core.evaluation.report import ab_facts, caveats, slice_scorers, tables
from thumbrank_core.evaluation.shown import templates
from thumbrank_core.features.signals.definitions import SIGNALS
from thumbrank_core.labels.growth import GrowthCurve
from thumbrank_core.model.bundle import BundleCard
from thumbrank_core.policy import LabelName, Policy
from thumbrank_core.training.dataset import PERIODS, SPLITS, Dataset

MODEL_CARD, DATA_CARD = "MODEL_CARD.md", "DATA_CARD.md"

SOURCES = {
    "simulator": "a simulated world, drawn by Thumbrank itself: no real channel, video or view is in it",
    "youtube_api": "public videos of the YouTube Data API v3, with one API key",
    "import": "a data set that the team imported; how it was collected is unknown to Thumbrank",
}
LABELS: dict[LabelName, str] = {
    "age_adjusted": "how many times as many views a video has as is usual for its channel at its age: exp(ln(1 + views) - g(age) - "
    "m), with the growth curve g of its niche, fitted inside training channels, and the channel's median m",
    "views_per_hour": "views divided by hours since publication: the guide's label, largely a clock, because of two equal videos "
    "the newer one has more",
    "window_views": "views gained between two fixed ages",
}


def model_card(evaluation: Evaluation, verdict: Verdict, card: BundleCard, dataset: Dataset) -> str:
    """The model card as Markdown.

    Args:
        evaluation: what was measured.
        verdict: the gate's.
        card: the bundle's.
        dataset: what it was trained and measured on; only its sources and its number of owners are told.
    """
    return _filled(
        "model_card.md.j2",
        evaluation=evaluation,
        verdict=verdict,
        card=card,
        # Whose click-through rates train is an id, and ids do not belong here.
        recipe={name: value for name, value in card.recipe.items() if name != "ctr_owner"},
        simulated="simulator" in dataset.sources,
        sources=[SOURCES[source] for source in dataset.sources],
        owners=len(evaluation.owners),
        caveats=caveats(evaluation),
        tables=tables(evaluation),
        ab_facts=ab_facts(evaluation.ab),
        slice_scorers=slice_scorers(evaluation),
        metrics=METRICS,
        definitions=DEFINITIONS,
        model=MODEL,
        ceiling=CEILING,
        signals=SIGNALS,
        splits=SPLITS,
    )


def data_card(
    dataset: Dataset, card: BundleCard, curves: Mapping[str, GrowthCurve], policy: Policy | None = None
) -> str:
    """The data card as Markdown.

    Args:
        dataset: the data set as loaded for the model.
        card: the bundle's, for the data versions.
        curves: the growth curve of each niche; {} where there are none.
        policy: criteria and retention as they were in force; None: the card says that they are unknown.
    """
    return _filled(
        "data_card.md.j2",
        dataset=dataset,
        card=card,
        curves=curves,
        policy=policy,
        simulated="simulator" in dataset.sources,
        from_youtube="youtube_api" in dataset.sources,
        sources=[SOURCES[source] for source in dataset.sources],
        label=LABELS[dataset.label],
        counts=_counts(dataset),
        published=_published(dataset),
        splits=SPLITS,
        periods=PERIODS,
        signals=SIGNALS,
        signals_known=_signals_known(dataset),
        owners=len(dataset.owners),
    )


def _filled(name: str, **facts: object) -> str:
    text = templates().get_template(name).render(say=wording, unknown=wording.UNKNOWN, **facts)
    return text.strip() + "\n"


def _counts(dataset: Dataset) -> list[tuple[str, str, int, int, int, int]]:
    """(niche, split, items, channels, pairs, pairs later than the time cut), of every niche and split."""
    items, pairs = dataset.items, dataset.pairs
    later = PERIODS.index("later")
    rows: list[tuple[str, str, int, int, int, int]] = []
    for niche, name in enumerate(dataset.niches):
        for split, what in enumerate(SPLITS):
            mine = (items.niche == niche) & (items.split == split)
            theirs = (pairs.niche == niche) & (pairs.split == split)
            rows.append(
                (
                    name,
                    what,
                    int(mine.sum()),
                    len(np.unique(items.channel[mine])),
                    int(theirs.sum()),
                    int((theirs & (pairs.period == later)).sum()),
                )
            )
    return rows


def _published(dataset: Dataset) -> tuple[str, str]:
    """The first and the last day, UTC, on which a video was published."""
    times = dataset.items.published
    if len(times) == 0:
        return wording.UNKNOWN, wording.UNKNOWN
    first, last = (datetime.fromtimestamp(float(time), UTC).date().isoformat() for time in (times.min(), times.max()))
    return first, last


def _signals_known(dataset: Dataset) -> dict[str, int] | None:
    """How many items each weak signal is known of."""
    if dataset.signals is None:
        return None
    return dict(zip(SIGNALS, (int(n) for n in np.isfinite(dataset.signals).sum(axis=0)), strict=True))
