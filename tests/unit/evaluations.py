"""An evaluation made by hand, with figures that look like real ones: for the tests of what is shown of it, and for looking at it."""

import io
from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw

from tests.unit.synthetic import planted
from thumbrank_core.bootstrap import Interval
from thumbrank_core.evaluation.figures import (
    CEILING,
    CHAMPION,
    METRICS,
    MODEL,
    AllPairs,
    Bin,
    Calibration,
    Covered,
    EvaluatedPairs,
    Evaluation,
    OwnerFigures,
    Scored,
    Slice,
    SubScores,
)
from thumbrank_core.evaluation.gate import Condition, Status, Verdict
from thumbrank_core.evaluation.leak_alarm import LeakAlarm
from thumbrank_core.features.signals.definitions import SIGNALS
from thumbrank_core.labels.growth import GrowthFit
from thumbrank_core.labels.sizes import NEEDS, Size
from thumbrank_core.model.bundle import BundleCard, EpochRecord
from thumbrank_core.model.network import NetworkShape
from thumbrank_core.training.recipe import load_recipe

ACCURACY = {
    MODEL: 0.662,
    "coin": 0.497,
    "shuffled labels": 0.503,
    "ID memoriser": 0.501,
    "newer wins": 0.519,
    "publish hour": 0.508,
    "title length": 0.534,
    "title capitals": 0.527,
    "CLIP image-title cosine": 0.541,
    "ridge on title": 0.575,
    "ridge on image": 0.634,
    "ridge on both": 0.648,
    "boosting on both": 0.643,
}
SLICES = {
    "niche": ("tech", "gaming", "education", "entertainment", "beauty", "news"),
    "channel size": (
        "under 10 thousand",
        "10 to 100 thousand",
        "100 thousand to 1 million",
        "1 million and more",
        "hidden",
    ),
    "age gap": ("0 to 3 days", "3 to 7 days", "7 to 14 days", "14 to 30 days"),
    "margin": ("0.0 to 0.1", "0.1 to 0.3", "0.3 to 0.5", "0.5 to 0.7", "0.7 to 1.0"),
    "duration": ("both under 4 minutes", "both 4 to 20 minutes", "both over 20 minutes", "of two lengths"),
    "text": ("text in both", "text in one", "no text"),
    "face": ("face in both", "face in one", "no face"),
    "channel's videos": ("fewer than 10 videos", "10 videos and more"),
}
OWNERS = [
    OwnerFigures("UC_the_first_owner_0000", 31, 0.9393),
    OwnerFigures("UC_the_other_owner_0000", 12, None),
]


def around(value, half=0.018):
    return Interval(value, value - half, value + half)


def measured(name, n_pairs=6537, n_channels=97, shift=0.0, champion=False, ceiling=False):
    accuracy = {scorer: value + shift for scorer, value in ACCURACY.items()}
    accuracy |= {CHAMPION: 0.651 + shift} if champion else {}
    accuracy |= {CEILING: 0.708 + shift} if ceiling else {}
    return EvaluatedPairs(
        name,
        n_pairs,
        n_channels,
        0.63 * n_channels,
        {
            scorer: Scored(
                scorer,
                scorer not in (MODEL, CHAMPION, CEILING),
                {
                    metric: around({"pair_auc_pooled": value + 0.05, "top_1_of_3": value - 0.2}.get(metric, value))
                    for metric in METRICS
                },
                around(value - accuracy[MODEL], 0.012),
            )
            for scorer, value in accuracy.items()
        },
    )


def slices(champion=False):
    generator = np.random.default_rng(1)
    found = []
    for by, names in SLICES.items():
        for place, name in enumerate(names):
            n_channels = int(generator.integers(8, 97))
            value = 0.53 + 0.05 * place if by == "margin" else 0.65 + 0.03 * generator.normal()
            half = 0.18 / np.sqrt(n_channels)
            accuracy = {MODEL: around(value, half), "ridge on both": around(value - 0.01, half)}
            accuracy |= {"newer wins": around(0.5 + 0.03 * generator.normal(), half)}
            accuracy |= {CHAMPION: around(value - 0.011, half)} if champion else {}
            lead = around(0.011, half / 2) if champion else None
            found.append(Slice(by, name, int(n_channels * 67), n_channels, accuracy, lead))
    return found


def calibration():
    sure = np.linspace(0.505, 0.93, 15)
    right = 0.5 + 0.72 * (sure - 0.5) + 0.012 * np.sin(9 * sure)
    cooler = 1 / (1 + np.exp(-np.log(sure / (1 - sure)) / 1.37))
    return Calibration(
        1.37,
        around(0.229, 0.006),
        around(0.221, 0.005),
        around(0.058, 0.011),
        around(0.013, 0.007),
        [Bin(float(x), float(y), 436) for x, y in zip(sure, right, strict=True)],
        [Bin(float(x), float(y), 436) for x, y in zip(cooler, right, strict=True)],
    )


def sub_scores():
    generator = np.random.default_rng(3)
    heads = generator.normal(size=(400, 6)) + 0.8 * generator.normal(size=(400, 1))
    agreement: dict[str, float | None] = dict(zip(SIGNALS, (0.62, 0.71, 0.38, None, 0.44, -0.07), strict=True))
    n: dict[str, int] = dict(zip(SIGNALS, (1164, 1164, 1020, 2, 980, 1164), strict=True))
    return SubScores(agreement, n, np.asarray(np.corrcoef(heads.T)))


def evaluation(dataset, *, rich=True, n_channels=97):
    """`rich`: with pairs later in time, a champion, slices, sub-scores and owners; without it none of them."""
    test = dataset.of("test")
    score = np.log(dataset.items.value) + np.random.default_rng(2).normal(size=len(dataset.items)) * 1.5
    simulated = "simulator" in dataset.sources
    return Evaluation(
        label=dataset.label,
        all_pairs=AllPairs(30764, 461, around(0.504, 0.006)),
        unseen=measured("unseen channels", n_channels=n_channels, champion=rich, ceiling=simulated),
        later=measured("unseen channels, later", 751, 64, -0.01, champion=True) if rich else None,
        seen_later=measured("seen channels, later", 2210, 288, 0.02, champion=True) if rich else None,
        slices=slices(champion=True) if rich else [],
        calibration=calibration(),
        covered=[
            Covered(share, around(0.84 - 0.178 * share**0.6, 0.014 / share**0.4), round(6537 * share))
            for share in (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
        ],
        owners=OWNERS if rich else [],
        sub_scores=sub_scores() if rich else None,
        leak=LeakAlarm(around(0.505, 0.009), 6537, around(0.877, 0.008) if rich else None, 6139),
        scores={MODEL: score},
        test=test,
        test_set="0" * 64,
    )


def verdict(status: Status = "pass"):
    passed = status == "pass"
    conditions = (
        Condition("enough channels", True, "97 unseen channels are enough: 50 are asked.", 97, 50),
        Condition("beats a coin", True, "the lower bound of its pair accuracy is 0.644; 0.5 is a coin.", 0.644, 0.5),
        Condition(
            "beats the clock",
            passed,
            "against `newer wins` it is +0.143 (+0.120 to +0.166), and the whole interval must lie above 0.",
            0.12,
            0.0,
        ),
        Condition(
            "reaches ctr_rank_correlation",
            True,
            "no data: no owner's click-through rates are there, and phase 1 does without.",
            floor=0.4,
        ),
        Condition("loads in a clean process", True, "it loads and scores alone."),
    )
    figure = "66.2% of 6,537 pairs ranked right in 97 unseen channels (95 % interval 64.4% to 68.0%)"
    sentence = (
        f"Earned its deployment: {figure}, above a coin and the clock, and not below any linear model."
        if passed
        else f"Not deployed: {figure}; {conditions[2].says}"
    )
    return Verdict(status, conditions, sentence, None, "0" * 64, (Size(NEEDS[0], 4800), Size(NEEDS[2], 90000)))


def card(**changes):
    history = [
        EpochRecord(
            epoch=epoch,
            pair_loss=0.69 - 0.1 * (1 - np.exp(-epoch / 5)),
            engagement_loss=0.6,
            sub_score_loss=None,
            train_auc=0.6 + 0.01 * epoch,
            validation_accuracy=0.55 + 0.11 * (1 - np.exp(-epoch / 4)) - 0.001 * max(epoch - 14, 0),
            validation_auc=0.7,
            validation_correlation=0.4,
            learning_rate=1e-3,
            seconds=0.4,
            items_per_second=9000.0,
        )
        for epoch in range(1, 25)
    ]
    made = BundleCard(
        fingerprint="a75d776835c0" + "0" * 52,
        weights_sha256="b" * 64,
        network=NetworkShape(
            clip_dim=768,
            text_dim=384,
            hidden_dim=512,
            norm="layer",
            dropout=0.6,
            head_dropout=2.0,
            wide=True,
            read_out="shared",
        ),
        image_encoder="clip-vit-large-patch14/0123abcd/float32",
        title_encoder="all-MiniLM-L6-v2/4567cdef/float32",
        encoder_set="full",
        tuned_encoder=None,
        label="age_adjusted",
        owner_rates=False,
        cuts={"tech": 1.7e9, "news": 1.7e9},
        recipe=load_recipe("default").model_dump(),
        niches={"tech": "9f1c", "news": "77ab"},
        data_sha256="c" * 64,
        git_sha=None,
        files={},
        n_items=4800,
        n_pairs={"train": 21071, "validation": 3156, "test": 6537},
        n_channels={"train": 319, "validation": 45, "test": 97},
        best_epoch=14,
        shipped="ema at epoch 14",
        history=history,
        notes=["20 steps an epoch by channel on cpu, float32 products: the processor gains nothing by bfloat16."],
        findings={},
        temperature=1.37,
        sub_score_agreement={},
        trained_at="2026-11-28T09:12:44+00:00",
        seconds=9.4,
    )
    return made.model_copy(update=changes)


def curves(*niches):
    return {niche: replace(GrowthFit().curve(), n_videos=4321, n_channels=87) for niche in niches or ("tech", "news")}


def pictured(dataset, images):
    """The data set with a picture and a title of its own for every item, the pictures kept in `images`."""
    items = dataset.items
    words = ("Fixing a", "I tried the", "Nobody tells you this about the", "The cheapest", "24 hours with a")
    things = ("keyboard", "mountain bike", "studio", "kettle that went viral all over again", "router", "garden")
    pictures = [images.put(thumbnail(number)).sha256 for number in range(40)]
    titles = [f"{words[n % 5]} {things[n % 6]}, part {n}" for n in range(len(items))]
    return replace(dataset, items=replace(items, title=titles, picture=[pictures[n % 40] for n in range(len(items))]))


def thumbnail(seed):
    """A drawn JPEG of 16:9 that is not any other seed's."""
    generator = np.random.default_rng(seed)
    image = Image.new("RGB", (480, 270), tuple(int(c) for c in generator.integers(20, 200, 3)))
    draw = ImageDraw.Draw(image)
    for _ in range(5):
        x, y, size = (int(v) for v in generator.integers(0, 300, 3))
        colour = tuple(int(c) for c in generator.integers(60, 255, 3))
        draw.ellipse([x, y, x + 60 + size // 2, y + 60 + size // 2], fill=colour)
    draw.rectangle([20, 190, 300, 250], fill="white")
    draw.text((36, 205), f"WOW #{seed}", fill="black", font_size=34)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def dataset(sources=("import",), n_channels=40):
    return planted(n_channels=n_channels, sources=sources)[0]
