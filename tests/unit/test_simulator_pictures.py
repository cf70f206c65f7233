"""The simulator's thumbnails: the same bytes every time, in YouTube's sizes, showing the hidden qualities."""

import hashlib
import io
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from thumbrank_core.simulator.pictures import SIZES, draw, jpeg_bytes, listed_sizes, missing_picture
from thumbrank_core.simulator.seeds import DEFAULT_SEED, TEST_SEEDS, TRAINING_SEEDS
from thumbrank_core.simulator.world import World, WorldSettings, build_world


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(WorldSettings(seed=1, channels_per_niche=10, videos_per_channel=10))


def sample(seed: int) -> set[str]:
    world = build_world(WorldSettings(seed=seed, channels_per_niche=2, videos_per_channel=6))
    return {hashlib.sha256(jpeg_bytes(world, video, "medium")).hexdigest() for video in world.videos if video.is_listed}


def test_a_picture_is_the_same_byte_for_byte(world: World):
    again = build_world(world.settings)
    for video in world.videos[:20]:
        if video.is_listed:
            assert jpeg_bytes(world, video, "medium") == jpeg_bytes(again, again.video(video.id), "medium")


def test_pictures_do_not_depend_on_the_effect(world: World):
    other = build_world(replace(world.settings, effect=0.0))
    video = next(video for video in world.videos if video.is_listed)
    assert jpeg_bytes(world, video, "medium") == jpeg_bytes(other, other.video(video.id), "medium")


def test_no_picture_of_a_demo_or_test_world_is_among_the_training_pictures():
    trained = set().union(*(sample(seed) for seed in TRAINING_SEEDS))
    used = set().union(*(sample(seed) for seed in (DEFAULT_SEED, *TEST_SEEDS)))
    assert len(trained) > 150
    assert not trained & used


def test_every_size_has_its_dimensions(world: World):
    video = next(video for video in world.videos if video.large_pictures and video.is_listed)
    assert listed_sizes(video) == tuple(SIZES)
    for name, size in SIZES.items():
        with Image.open(io.BytesIO(jpeg_bytes(world, video, name))) as picture:
            assert picture.size == (size.width, size.height)
            assert picture.format == "JPEG"


def test_four_to_three_sizes_carry_black_bars(world: World):
    video = next(video for video in world.videos if video.is_listed)
    with Image.open(io.BytesIO(jpeg_bytes(world, video, "high"))) as picture:
        pixels = np.asarray(picture)
    assert pixels[:40].max() < 20
    assert pixels[-40:].max() < 20
    assert pixels[60:300].mean() > 40


def test_most_videos_have_three_sizes_and_deleted_ones_none():
    world = build_world(WorldSettings(seed=2, channels_per_niche=30))
    large = np.mean([video.large_pictures for video in world.videos])
    assert 0.03 < large < 0.08
    gone = next(video for video in world.videos if video.state == "deleted")
    assert listed_sizes(gone) == ()
    with pytest.raises(KeyError):
        jpeg_bytes(world, gone, "medium")


def test_the_missing_picture_is_a_small_grey_jpeg():
    with Image.open(io.BytesIO(missing_picture())) as picture:
        assert picture.size == (120, 90)
    assert len(missing_picture()) < 2000


@pytest.mark.parametrize("quality", range(6))
def test_each_quality_is_visible_at_64_by_64(world: World, quality: int):
    style = world.channels[0].style
    ends = []
    for value in (-1.5, 1.5):
        qualities = [0.0] * 6
        qualities[quality] = value
        ends.append(np.asarray(draw(qualities, style, 0, "WORD", 7).resize((64, 64)), dtype=float))
    changed = np.abs(ends[0] - ends[1]).max(axis=2) > 24
    assert changed.mean() > 0.01


def test_a_medium_picture_is_drawn_in_a_few_milliseconds(world: World):
    videos = [video for video in world.videos if video.is_listed][:100]
    began = time.process_time()
    for video in videos:
        jpeg_bytes(world, video, "medium")
    assert (time.process_time() - began) / len(videos) < 0.006
