"""A data set with a planted signal, built in memory: for the tests of training and evaluation, which need no database."""

import itertools

import numpy as np

from thumbrank_core.training.dataset import Dataset, Items, Pairs
from thumbrank_core.training.pipeline import TrainingPipeline, new_model


def train(dataset, recipe, trackers=()):
    """The data set learnt by the recipe, its weights drawn from the recipe's seed."""
    return TrainingPipeline(new_model(dataset, recipe), recipe=recipe, data=dataset, trackers=trackers).train()


def planted(effect=1.0, *, n_channels=120, videos=12, width=12, noise=0.7, seed=0, sources=("import",), cut_day=None):
    """Vectors whose first dimensions move the label linearly and by one interaction; the rest is noise.

    Channels differ in level and in their vectors' mean, so that nothing but the difference inside a channel helps. Videos are
    published over 60 days; `cut_day` is where the time holdout begins, None for nowhere.
    """
    generator = np.random.default_rng(seed)
    n = n_channels * videos
    channel = np.repeat(np.arange(n_channels), videos)
    image = generator.normal(size=(n, width)) + generator.normal(size=(n_channels, width))[channel] * 0.5
    text = generator.normal(size=(n, 6))
    z = image - image.mean(axis=0)
    truth = effect * (0.6 * z[:, 0] - 0.4 * z[:, 1] + 0.4 * z[:, 2] * z[:, 3] + 0.25 * text[:, 0])
    published = 1.7e9 + generator.uniform(0, 60, n) * 86_400
    log_rate = truth + noise * generator.normal(size=n) + 3 * generator.normal(size=n_channels)[channel]
    split_of_channel = np.array([0, 0, 0, 0, 0, 0, 0, 1, 2, 2])[np.arange(n_channels) % 10]
    a, b = (np.array(side) for side in zip(*_pairs(channel, published), strict=True))
    flip = generator.random(len(a)) < 0.5
    a, b = np.where(flip, b, a), np.where(flip, a, b)
    rate = np.exp(log_rate)
    later = (published >= 1.7e9 + (1e9 if cut_day is None else cut_day * 86_400)).astype(int)
    counts = np.bincount(channel[a], minlength=n_channels)
    items = Items(
        video_id=[f"video{i:06d}" for i in range(n)],
        title=["x" * int(k) for k in generator.integers(5, 60, n)],
        picture=[bytes(32)] * n,
        image=image.astype(np.float32),
        text=text.astype(np.float32),
        channel=channel,
        niche=channel % 2,
        split=split_of_channel[channel],
        published=published,
        value=rate,
    )
    pairs = Pairs(
        a=a,
        b=b,
        outcome=(rate[a] > rate[b]).astype(float),
        margin=np.abs(rate[a] - rate[b]) / np.maximum(rate[a], rate[b]),
        age_gap_hours=(published[a] - published[b]) / 3600,
        weight=1 / counts[channel[a]],
        channel=channel[a],
        niche=channel[a] % 2,
        split=split_of_channel[channel[a]],
        soft_target=rate[a] ** 2 / (rate[a] ** 2 + rate[b] ** 2),
        period=later[a] + later[b],
    )
    dataset = Dataset(
        items,
        pairs,
        [f"channel{i}" for i in range(n_channels)],
        ["tech", "news"],
        {"tech": "1", "news": "2"},
        list(sources),
        "age_adjusted",
        {},
        "tiny",
    )
    return dataset, dict(zip(items.video_id, truth.tolist(), strict=True))


def _pairs(channel, published):
    for index in np.unique(channel):
        for a, b in itertools.combinations(np.flatnonzero(channel == index), 2):
            if abs(published[a] - published[b]) <= 30 * 86_400:
                yield a, b
