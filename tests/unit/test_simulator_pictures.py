"""The simulator's thumbnails: the same bytes every time, in YouTube's sizes, showing the hidden qualities."""

import hashlib
import io
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from thumbrank_core.simulator.clock import Clock
from thumbrank_core.simulator.live import LiveWorld
from thumbrank_core.simulator.picture_cache import PictureCache
from thumbrank_core.simulator.picture_sizes import SIZES, listed_sizes
from thumbrank_core.simulator.pictures import draw, jpeg_bytes, missing_picture
from thumbrank_core.simulator.seeds import DEFAULT_SEED, TEST_SEEDS, TRAINING_SEEDS
from thumbrank_core.simulator.traits import has_largest_pictures, has_shorts_picture
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


def test_every_size_has_its_dimensions():
    world = build_world(WorldSettings(seed=1, channels_per_niche=20, videos_per_channel=20, large_pictures=1.0))
    large = next(video for video in world.videos if has_largest_pictures(video) and video.is_listed)
    short = next(video for video in world.videos if has_shorts_picture(video) and video.is_listed)
    assert {*listed_sizes(large), *listed_sizes(short)} == set(SIZES)
    for name, size in SIZES.items():
        with Image.open(
            io.BytesIO(jpeg_bytes(world, short if name in listed_sizes(short) else large, name))
        ) as picture:
            assert picture.size == (size.width, size.height)
            assert picture.format == "JPEG"


def test_a_swapped_picture_is_another_one_of_the_same_size(world: World):
    video = next(video for video in world.videos if video.is_listed)
    versions = [jpeg_bytes(world, video, "medium", version) for version in (0, 1, 2)]
    assert versions[0] == jpeg_bytes(world, video, "medium")
    assert len(set(versions)) == 3
    sizes = set()
    for jpeg in versions:
        with Image.open(io.BytesIO(jpeg)) as picture:
            sizes.add(picture.size)
    assert sizes == {(320, 180)}


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


def test_the_cache_keeps_what_was_asked_for_last_within_its_bytes(world: World):
    live = LiveWorld(world, Clock(world.settings.as_of))
    first, second, third = [video for video in world.videos if video.is_listed][:3]
    sizes = {video.id: len(jpeg_bytes(world, video, "medium")) for video in (first, second, third)}
    cache = PictureCache(live, capacity=sum(sizes.values()) - 1)
    drawn = cache.jpeg(first, "medium")
    cache.jpeg(second, "medium")
    assert cache.jpeg(first, "medium") is drawn
    cache.jpeg(third, "medium")
    assert cache.bytes == sizes[first.id] + sizes[third.id]
    assert cache.jpeg(first, "medium") is drawn
    live.swap_pictures([first.id])
    assert cache.jpeg(first, "medium") != drawn
    with pytest.raises(KeyError):
        cache.jpeg(first, "fhd")


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


def test_a_picture_is_blurred_by_what_its_focus_lacks(world: World):
    blurred = build_world(replace(world.settings, blur=4.0))
    videos = sorted((video for video in world.videos if video.is_listed), key=lambda video: video.focus)
    changes = []
    for video in (videos[0], videos[len(videos) // 2], videos[-1]):
        pictures = [
            np.asarray(Image.open(io.BytesIO(jpeg_bytes(one, video, "medium"))), float) for one in (world, blurred)
        ]
        edges = [np.abs(np.diff(picture, axis=1)).mean() for picture in pictures]
        changes.append(edges[1] / edges[0])
    assert changes == sorted(changes)
    assert changes[0] < 0.7
    assert changes[-1] > 0.95
