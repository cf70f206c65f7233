"""Fine-tuning the last block of the demo's CLIP, from pictures to vectors of the tuned encoder in the database.

The world here decides by something that the frozen vectors do not hold: which way a small stroke leans, wherever on the
picture it is. The tiny CLIP learnt nothing of strokes; its tokens before the last block still show them.
"""

import io
import itertools
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from tests.integration.embedding import fill
from tests.unit.synthetic import train
from thumbrank_core.bootstrap import draw_weights, effective_channels, interval, ratio_draws
from thumbrank_core.evaluation.learnt import Learnt
from thumbrank_core.evaluation.linear import Linear
from thumbrank_core.features import cache
from thumbrank_core.features.embed import Embedding, embed_niche
from thumbrank_core.features.encoders import ImageEncoder, Vision
from thumbrank_core.features.preprocess import to_square
from thumbrank_core.features.specs import load_set
from thumbrank_core.features.tuned import FOLDER, embed_pictures, tuned_set, write_encoder
from thumbrank_core.features.wanted import wanted_items
from thumbrank_core.metrics import channel_sums, pair_concordance
from thumbrank_core.model.bundle import load_bundle
from thumbrank_core.model.encoders import encoders_of
from thumbrank_core.model.network import Batch
from thumbrank_core.model.tower import Tower
from thumbrank_core.simulator.pictures import draw
from thumbrank_core.simulator.world import WorldSettings, build_world
from thumbrank_core.store.images import ImageStore
from thumbrank_core.training.dataset import Dataset, Items, Pairs
from thumbrank_core.training.fine_tuning import TuningStores
from thumbrank_core.training.loading import load_dataset
from thumbrank_core.training.ongoing import Trained
from thumbrank_core.training.pictures import PictureSource
from thumbrank_core.training.pipeline import TrainingPipeline, new_model
from thumbrank_core.training.recipe import load_recipe
from thumbrank_core.training.run import train_bundle
from thumbrank_core.training.validation import ranked

TINY = load_set("tiny")
CHANNELS, VIDEOS = 120, 12
NOISE = 0.3
COLUMNS, ROWS = 6, 6
"""The tiny CLIP's patches: a stroke fills one of them."""
RECIPE = load_recipe(
    "phase2",
    {
        "fine_tune_blocks": 1,
        "tower_learning_rate": 3e-3,
        "layer_decay": 1.0,
        "learning_rate": 1e-4,
        "hidden_dim": 64,
        "dropout": 0.0,
        "head_dropout": 0.0,
        "batch_size": 4,
        "ema_decay": 0.9,
        "epochs": 6,
        "patience": None,
    },
)
"""A tower this small and some hundred steps need larger steps than a real CLIP; the network beside it learns slowly, or it
learns the backgrounds by heart first. Found on three seeds; the fields are named so that it does not hang on `default`."""


def _with_stroke(picture: Image.Image, rising: bool, column: int, row: int) -> bytes:
    """The picture as a JPEG, with a light stroke on a dark tile that rises or falls to the right."""
    pencil = ImageDraw.Draw(picture)
    width, height = picture.width / COLUMNS, picture.height / ROWS
    left, top, right, bottom = column * width, row * height, (column + 1) * width - 1, (row + 1) * height - 1
    pencil.rectangle((left, top, right, bottom), fill=(30, 30, 30))
    ends = (left + 4, bottom - 3, right - 4, top + 3) if rising else (left + 4, top + 3, right - 4, bottom - 3)
    pencil.line(ends, fill=(240, 240, 240), width=7)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _strokes(images: ImageStore) -> Dataset:
    """Pictures of the simulator with a stroke each; a rising one is watched e times as often, and noise. Pairs are between a
    rising and a falling one, and all titles are the same."""
    world = build_world(
        WorldSettings(seed=5, channels_per_niche=CHANNELS, videos_per_channel=VIDEOS + 3, niches=("tech",))
    )
    generator = np.random.default_rng(0)
    by_channel = itertools.groupby((video for video in world.videos if video.is_listed), lambda video: video.channel.id)
    videos = [video for _, own in by_channel for video in itertools.islice(own, VIDEOS)]
    n = len(videos)
    rising = generator.random(n) < 0.5
    digests = [
        images.put(
            _with_stroke(
                draw(video.qualities, video.channel.style, video.topic, "TEST", number),
                bool(rising[number]),
                int(generator.integers(COLUMNS)),
                int(generator.integers(ROWS)),
            )
        ).sha256
        for number, video in enumerate(videos)
    ]
    channel = np.unique([video.channel.id for video in videos], return_inverse=True)[1]
    split = np.array([0, 0, 0, 0, 0, 0, 0, 1, 2, 2])[channel % 10]
    value = np.exp(rising + NOISE * generator.normal(size=n))
    encoder = ImageEncoder(TINY.image)
    squares = torch.from_numpy(np.stack([to_square(images.read(d), encoder.side, "squash") for d in digests]))
    items = Items(
        video_id=[f"video{number:04d}" for number in range(n)],
        title=["the same"] * n,
        picture=digests,
        image=np.concatenate(list(encoder.encode(squares.split(encoder.batch)))),
        text=np.ones((n, 4), dtype=np.float32),
        channel=channel,
        niche=np.zeros(n, dtype=np.int64),
        split=split,
        published=np.zeros(n),
        value=value,
    )
    a, b = (
        np.array(side)
        for side in zip(
            *(
                pair
                for index in np.unique(channel)
                for pair in itertools.combinations(np.flatnonzero(channel == index).tolist(), 2)
                if rising[pair[0]] != rising[pair[1]]
            ),
            strict=True,
        )
    )
    counts = np.bincount(channel[a])
    pairs = Pairs(
        a=a,
        b=b,
        outcome=(1 + np.sign(value[a] - value[b])) / 2,
        margin=np.abs(value[a] - value[b]) / np.maximum(value[a], value[b]),
        soft_target=value[a] ** 2 / (value[a] ** 2 + value[b] ** 2),
        age_gap_hours=np.zeros(len(a)),
        weight=1 / counts[channel[a]],
        channel=channel[a],
        niche=np.zeros(len(a), dtype=np.int64),
        split=split[a],
        period=np.zeros(len(a), dtype=np.int64),
    )
    names = [f"channel{index}" for index in range(channel.max() + 1)]
    return Dataset(items, pairs, names, ["tech"], {"tech": "1"}, ["import"], "age_adjusted", {}, TINY.name)


@dataclass
class Strokes:
    """The world, each scorer's score of every item, and the tower that was trained."""

    data: Dataset
    images: ImageStore
    scores: dict[str, np.ndarray]
    tower: Tower
    trained: Trained


@pytest.fixture(scope="module")
def strokes(tmp_path_factory):
    home = tmp_path_factory.mktemp("strokes")
    images = ImageStore(home / "images")
    data = _strokes(images)
    frozen = train(data, load_recipe("default", {"epochs": 20})).model
    with torch.inference_mode():
        batch = Batch(torch.from_numpy(data.items.image), torch.from_numpy(data.items.text))
        scores = {"ridge": Linear(Learnt(data)).image(), "frozen": frozen.rank(batch).double().numpy()}
    tower = Tower(TINY.image, RECIPE.fine_tune_blocks, checkpointing=RECIPE.gradient_checkpointing)
    model = new_model(data, RECIPE)
    model.tower = tower.tail
    with PictureSource(data.items, images, tower, epochs=RECIPE.epochs, scratch=home / "scratch") as source:
        trained = TrainingPipeline(model, recipe=RECIPE, data=data, source=source).train()
        scores["tuned"] = ranked(trained.model, source, np.arange(len(data.items)))
    assert list((home / "scratch").iterdir()) == [], "nothing of the pictures stays"
    return Strokes(data, images, scores, tower, trained)


def test_fine_tuning_the_last_block_beats_frozen_where_the_frozen_vectors_do_not_hold_what_decides(strokes):
    test = strokes.data.of("test")
    _, channel = np.unique(test.channel, return_inverse=True)
    count = int(channel.max()) + 1
    weights = draw_weights(count)

    def resampled(credit):
        sums, pairs = channel_sums(credit, channel, count)
        return interval(float(sums.sum() / pairs.sum()), ratio_draws(sums, pairs, weights), effective_channels(pairs))

    credit = {
        name: pair_concordance(score[test.a] - score[test.b], test.outcome) for name, score in strokes.scores.items()
    }
    accuracy = {name: resampled(values) for name, values in credit.items()}
    for name in ("frozen", "ridge"):
        assert accuracy[name].value < 0.6
    assert accuracy["tuned"].low > 0.8
    assert resampled(credit["tuned"] - credit["frozen"]).low > 0.2
    assert resampled(credit["tuned"] - credit["ridge"]).low > 0.2


def test_the_tuned_tower_is_an_encoder_of_its_own_whose_stored_vectors_give_the_same_scores(strokes, db, tmp_path):
    data, folder = strokes.data, tmp_path / "bundle" / FOLDER
    with db.connection() as connection:
        before = cache.encoder_key(connection, TINY.image)
        cache.write(connection, before, sorted(set(data.items.picture)), _in_order(data, data.items.image))
    strokes.tower.tail.load_state_dict(strokes.trained.model.tower.state_dict())
    vision = strokes.tower.vision
    write_encoder(folder, vision.model, vision.processor, TINY.image, vision.device)
    tuned = tuned_set(TINY, folder)
    assert tuned.image.encoder_id.startswith(f"clip-tuned:{TINY.image.model}@")
    assert tuned.caption == TINY.caption

    assert embed_pictures(db, strokes.images, tuned.image, data.items.picture) == {}
    assert embed_pictures(db, strokes.images, tuned.image, data.items.picture) == {}
    with db.connection() as connection:
        key = cache.encoder_key(connection, tuned.image)
        assert key != before
        vectors, there = cache.load(connection, key, tuned.image.dimension, data.items.picture)
        old, _ = cache.load(connection, before, TINY.image.dimension, data.items.picture)
    assert there.all()
    assert np.abs(old.astype(np.float32) - data.items.image).max() < 1e-3, "the vectors of the tower before stay"
    with torch.inference_mode():
        batch = Batch(torch.from_numpy(vectors.astype(np.float32)), torch.from_numpy(data.items.text))
        again = strokes.trained.model.rank(batch).double().numpy()
    assert np.corrcoef(again, strokes.scores["tuned"])[0, 1] > 0.9999


def test_a_picture_that_is_gone_has_no_vector_and_is_told(strokes, db, tmp_path, caplog):
    vision = strokes.tower.vision
    write_encoder(tmp_path, vision.model, vision.processor, TINY.image, vision.device)
    absent = bytes(32)
    failed = embed_pictures(
        db, strokes.images, tuned_set(TINY, tmp_path).image, [absent, strokes.data.items.picture[0]]
    )
    assert {digest: error.reason for digest, error in failed.items()} == {absent: "file_missing"}
    assert "000000000000 has no vector of the tuned encoder" in caplog.text


def test_a_picture_that_the_tuned_encoder_cannot_embed_is_a_recorded_miss_of_each_video_that_shows_it(
    db, images, tmp_path
):
    fill(db, images, 2, 4)
    with db.connection() as connection:
        first, second, *rest = wanted_items(connection, "tech")
        connection.execute(
            "update thumbrank.video_labels l set picture_sha256 = %s from thumbrank.thumbnails t "
            "where t.video_key = l.video_key and t.video_id = %s",
            (first.picture, second.video_id),
        )
    images.delete([first.picture])
    vision = Vision(TINY.image, torch.float32)
    write_encoder(tmp_path / FOLDER, vision.model, vision.processor, TINY.image, vision.device)
    spec = tuned_set(TINY, tmp_path / FOLDER).image
    failed = embed_pictures(db, images, spec, {first.picture, *(item.picture for item in rest)})
    assert set(failed) == {first.picture}
    with db.connection() as connection:
        found = connection.execute(
            "select kind, niche, item_id, reason from thumbrank.misses order by item_id"
        ).fetchall()
        _, there = cache.load(connection, cache.encoder_key(connection, spec), spec.dimension, [rest[0].picture])
    assert found == [("embedding", "tech", item.video_id, "file_missing") for item in (first, second)]
    assert there.all()


def _in_order(data, vectors):
    """A vector for each distinct picture, in the order of their digests."""
    row = {digest: number for number, digest in enumerate(data.items.picture)}
    return vectors[[row[digest] for digest in sorted(row)]]


def test_a_bundle_that_was_fine_tuned_is_evaluated_with_the_vectors_of_its_own_tower(db, images, tmp_path):
    fill(db, images, 24, 6)
    embed_niche(db, images, "tech", Embedding(TINY, offline=True))
    data = load_dataset(db, ["tech"], TINY)
    recipe = load_recipe("phase2", {"epochs": 1, "hidden_dim": 16, "sub_score_epochs": 1, "tower_learning_rate": 1e-3})
    stores = TuningStores(db, images, offline=True)
    run = train_bundle(data, recipe, TINY, tmp_path / "models", stores=stores)
    again = train_bundle(data, recipe, TINY, tmp_path / "models", stores=stores)
    assert run is not None and again is not None and again.trained is False

    bundle = load_bundle(run.folder)
    encoders = encoders_of(bundle)
    assert (bundle.card.encoder_set, bundle.card.tuned_encoder) == ("tiny", FOLDER)
    assert bundle.card.image_encoder == encoders.image.encoder_id != TINY.image.encoder_id
    theirs = load_dataset(db, ["tech"], encoders)
    assert (theirs.left_out, theirs.items.picture) == (data.left_out, data.items.picture)
    assert np.abs(theirs.items.image - data.items.image).max() > 1e-3
    assert theirs.signals is not None and data.signals is not None
    assert np.array_equal(theirs.signals, data.signals, equal_nan=True)
    score = bundle.score(theirs.items.image, theirs.items.text)
    assert np.isfinite(score).all() and np.ptp(score) > 0
