"""The simulated world: the same every time, shaped like YouTube, and with a truth that can be measured."""

import hashlib
import re
import time
from dataclasses import replace
from datetime import timedelta, timezone
from typing import Any

import numpy as np
import pytest

from thumbrank_core.niches import NICHES
from thumbrank_core.simulator import seeds
from thumbrank_core.simulator.ceiling import ceiling, pair_accuracy, same_channel_pairs
from thumbrank_core.simulator.qualities import picture_effect
from thumbrank_core.simulator.titles import TOPICS, TOPICS_PER_NICHE
from thumbrank_core.simulator.world import SPAN, YOUNGEST, World, WorldSettings, build_world

SMALL = WorldSettings(seed=1, channels_per_niche=18, videos_per_channel=6)


@pytest.fixture(scope="module")
def default_world() -> World:
    return build_world(WorldSettings())


@pytest.fixture(scope="module")
def world_without_effect() -> World:
    return build_world(WorldSettings(effect=0.0))


def held_out_channels(world: World) -> set[str]:
    return {channel.id for channel in world.channels if channel.number % 5 == 0}


def within_channel(world: World, values: np.ndarray) -> np.ndarray:
    groups = np.unique([video.channel.id for video in world.videos], return_inverse=True)[1]
    sums = np.zeros((groups.max() + 1, *values.shape[1:]))
    np.add.at(sums, groups, values)
    counts = np.bincount(groups).reshape(-1, *[1] * (values.ndim - 1))
    return values - (sums / counts)[groups]


def test_the_same_settings_give_the_same_world():
    first, second = build_world(SMALL), build_world(SMALL)
    assert first.channels == second.channels
    assert first.videos == second.videos
    np.testing.assert_array_equal(first.effects, second.effects)


def test_the_default_world_is_built_within_a_second_and_a_half():
    began = time.process_time()
    world = build_world(WorldSettings())
    assert time.process_time() - began < 1.5
    assert len(world.channels) == 480
    assert {channel.niche for channel in world.channels} == set(NICHES)


def test_ids_look_like_youtubes_and_some_begin_with_a_dash(default_world: World):
    assert all(re.fullmatch(r"UC[A-Za-z0-9_-]{21}[AQgw]", channel.id) for channel in default_world.channels)
    ids = [video.id for video in default_world.videos]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{11}", video_id) for video_id in ids)
    assert len(set(ids)) == len(ids)
    assert any(video_id.startswith("-") for video_id in ids)


def test_worlds_of_different_seeds_share_no_channel_and_no_video():
    worlds = [
        build_world(WorldSettings(seed=seed, channels_per_niche=20, videos_per_channel=3)) for seed in (0, 1, 9001)
    ]
    for kind in ("channels", "videos"):
        ids = [item.id for world in worlds for item in getattr(world, kind)]
        assert len(set(ids)) == len(ids)


def test_no_seed_for_demos_tests_or_probes_is_a_training_seed():
    others = {seeds.DEFAULT_SEED, seeds.PROBE_SEED, *seeds.TEST_SEEDS}
    assert not others & set(seeds.TRAINING_SEEDS)


def test_the_channels_of_a_small_world_are_the_first_ones_of_a_large_world():
    large = {
        video.id: video
        for video in build_world(WorldSettings(seed=1, channels_per_niche=25, videos_per_channel=6)).videos
    }
    for video in build_world(SMALL).videos:
        assert large[video.id].channel == video.channel
        assert large[video.id].qualities == video.qualities


def test_a_world_of_some_niches_has_them_exactly_as_the_whole_world_has(default_world: World):
    some = build_world(WorldSettings(niches=("news", "tech")))
    assert {channel.niche for channel in some.channels} == {"news", "tech"}
    assert some.videos == tuple(video for video in default_world.videos if video.channel.niche in ("news", "tech"))
    rows = [row for row, video in enumerate(default_world.videos) if video.channel.niche in ("news", "tech")]
    np.testing.assert_array_equal(some.effects, default_world.effects[rows])
    with pytest.raises(ValueError, match="and no other"):
        build_world(WorldSettings(niches=("cooking",)))


def test_the_default_world_is_the_one_that_every_published_result_was_measured_on(default_world: World):
    known = hashlib.sha256()
    for video in default_world.videos:
        known.update(f"{video.id} {video.title} {video.state} {video.published_at} {video.large_pictures}\n".encode())
    assert known.hexdigest() == "07cdf5c44ec2dd7186289fb7b1bf0230eeca8e3ef4756481137c68350a69e58b"
    assert sum(video.views for video in default_world.videos) == pytest.approx(3_137_310_902, rel=1e-6)
    lengths = [video.duration_seconds for video in default_world.videos if video.state != "upcoming"]
    assert sum(lengths) == pytest.approx(11_287_442, rel=1e-6)


def test_more_large_pictures_change_nothing_else():
    few, all_of_them = (build_world(replace(SMALL, large_pictures=share)) for share in (0.05, 1.0))
    assert all(video.large_pictures for video in all_of_them.videos)
    assert [replace(video, large_pictures=False) for video in few.videos] == [
        replace(video, large_pictures=False) for video in all_of_them.videos
    ]


def test_half_of_the_upcoming_videos_are_premieres_and_have_a_length():
    world = build_world(WorldSettings(seed=5, channels_per_niche=80, videos_per_channel=60, niches=("tech", "news")))
    lengths = {state: [] for state in ("live", "upcoming", "public")}
    for video in world.videos:
        if video.state in lengths:
            lengths[video.state].append(video.duration_seconds > 0)
    assert not any(lengths["live"])
    assert 0.2 < np.mean(lengths["upcoming"]) < 0.8
    assert all(lengths["public"])


def test_channel_sizes_are_heavy_tailed(default_world: World):
    sizes = np.sort([channel.subscribers for channel in default_world.channels])
    assert sizes[-1] > 50 * np.median(sizes)
    assert sizes[-len(sizes) // 10 :].sum() > 0.5 * sizes.sum()


def test_videos_are_at_least_a_week_old_spread_irregularly_and_make_plenty_of_pairs(default_world: World):
    ages = np.array(
        [(default_world.settings.as_of - video.published_at) / timedelta(days=1) for video in default_world.videos]
    )
    assert ages.min() >= 7
    assert (YOUNGEST + 0.9 * SPAN) / timedelta(days=1) < ages.max() <= (YOUNGEST + SPAN) / timedelta(days=1)
    assert same_channel_pairs(default_world).winner.size > 25_000


def test_some_videos_are_deleted_private_live_or_upcoming_and_some_channels_have_none(default_world: World):
    assert {video.state for video in default_world.videos} == {"public", "deleted", "private", "live", "upcoming"}
    empty = [channel for channel in default_world.channels if channel.has_no_uploads]
    assert empty
    assert all(default_world.uploads(channel.id) == () for channel in empty)


def test_upload_order_differs_from_publication_order_for_a_scheduled_video(default_world: World):
    orders = [[video.number for video in default_world.uploads(channel.id)] for channel in default_world.channels]
    assert any(order != sorted(order) for order in orders)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_ceiling_is_seventy_percent_and_a_little_higher_where_age_is_taken_out(seed: int):
    world = build_world(WorldSettings(seed=seed))
    by_rate, adjusted = (ceiling(world, label=label) for label in ("views_per_hour", "age_adjusted"))
    assert by_rate == pytest.approx(0.70, abs=0.02)
    assert by_rate < adjusted < by_rate + 0.02
    for label in ("views_per_hour", "age_adjusted"):
        assert ceiling(world, held_out_channels(world), label=label) == pytest.approx(0.70, abs=0.02)


def test_true_effect_is_looked_up_by_video_id(default_world: World):
    chosen = default_world.videos[7], default_world.videos[3]
    effects = default_world.true_effect([video.id for video in chosen])
    np.testing.assert_array_equal(effects, default_world.effects[[7, 3]])


def test_without_effect_nothing_is_true_and_pictures_and_titles_stay(default_world: World, world_without_effect: World):
    assert not world_without_effect.effects.any()
    assert ceiling(world_without_effect) == pytest.approx(0.5, abs=0.02)
    pairs = same_channel_pairs(world_without_effect)
    assert pair_accuracy(default_world.effects, pairs) == pytest.approx(0.5, abs=0.02)
    for before, after in zip(default_world.videos, world_without_effect.videos, strict=True):
        assert (before.id, before.title, before.qualities) == (after.id, after.title, after.qualities)


def test_newer_wins_by_views_per_hour_but_far_less_than_the_truth(default_world: World):
    newness = np.array([video.published_at.timestamp() for video in default_world.videos])
    advantage = pair_accuracy(newness, same_channel_pairs(default_world))
    assert 0.52 < advantage < 0.60


def test_newer_is_no_advantage_once_the_true_growth_is_taken_out(default_world: World):
    newness = np.array([video.published_at.timestamp() for video in default_world.videos])
    pairs = same_channel_pairs(default_world, label="age_adjusted")
    assert pair_accuracy(newness, pairs) == pytest.approx(0.5, abs=0.01)
    for niche in NICHES:
        of_niche = {channel.id for channel in default_world.channels if channel.niche == niche}
        by_niche = same_channel_pairs(default_world, of_niche, label="age_adjusted")
        assert pair_accuracy(newness, by_niche) == pytest.approx(0.5, abs=0.02)


def test_at_least_seventy_percent_of_the_effect_is_in_the_picture_alone(default_world: World):
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.feature_extraction.text import CountVectorizer

    effect = within_channel(default_world, default_world.effects)
    titles = [re.sub(r"\d+", "number", video.title) for video in default_world.videos]
    counter = CountVectorizer(min_df=40, binary=True, token_pattern=r"[^\s,()]+", ngram_range=(1, 2))
    counted: Any = counter.fit_transform(titles)
    words = counted.toarray().astype(float)
    own = np.column_stack([np.char.str_len(titles), [title.count(" ") for title in titles]])
    features = np.column_stack([words, own])
    centred = within_channel(default_world, features)
    unseen = np.array([video.channel.number % 3 == 0 for video in default_world.videos])
    known = centred[~unseen]
    weights = np.linalg.solve(known.T @ known + 10 * np.eye(known.shape[1]), known.T @ effect[~unseen])
    commonest = np.argsort(-words.var(axis=0))[:40]
    trees = HistGradientBoostingRegressor(max_iter=40, random_state=0).fit(
        words[~unseen][:, commonest], effect[~unseen]
    )
    said = [
        1 - (effect[unseen] - guess).var() / effect[unseen].var()
        for guess in (centred[unseen] @ weights, trees.predict(words[unseen][:, commonest]))
    ]
    assert 0.10 < max(said) < 0.30


def test_an_interaction_carries_a_fifth_of_the_pictures_effect(default_world: World):
    qualities = np.array([video.qualities for video in default_world.videos])
    effect = within_channel(default_world, picture_effect(qualities))
    linear = within_channel(default_world, qualities)
    left = effect - linear @ np.linalg.lstsq(linear, effect)[0]
    assert 0.15 < left.var() / effect.var() < 0.25


def test_more_mentions_change_titles_only():
    quiet = build_world(WorldSettings(seed=1, channels_per_niche=3, title_mentions=0.0))
    loud = build_world(WorldSettings(seed=1, channels_per_niche=3, title_mentions=1.0))
    for without, mentioned in zip(quiet.videos, loud.videos, strict=True):
        assert mentioned.title.startswith(without.title + " (")
        assert mentioned.views == without.views


def test_titles_are_short_and_mostly_distinct(default_world: World):
    titles = [video.title for video in default_world.videos]
    assert np.median([len(title.split()) for title in titles]) <= 8
    assert len(set(titles)) > 0.6 * len(titles)


def test_a_world_looked_at_from_another_time_zone_is_the_same_world():
    there = SMALL.as_of.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert build_world(replace(SMALL, as_of=there)).videos == build_world(SMALL).videos
    assert build_world(replace(SMALL, as_of=there)).videos[0].published_at.utcoffset() == timedelta(0)


def test_an_empty_world_is_refused():
    with pytest.raises(ValueError, match="at least one channel"):
        build_world(WorldSettings(channels_per_niche=0))


def test_blur_changes_no_video_and_every_video_has_a_focus_of_its_own():
    sharp, blurred = build_world(SMALL), build_world(replace(SMALL, blur=3.0))
    assert blurred.videos == sharp.videos
    focus = [video.focus for video in sharp.videos]
    assert len(set(focus)) == len(focus)
    assert 0 <= min(focus) < 0.05
    assert 0.95 < max(focus) <= 1


def test_misleading_titles_name_another_topic_and_change_nothing_else():
    honest = build_world(replace(SMALL, title_mentions=1.0))
    mixed = build_world(replace(SMALL, title_mentions=1.0, misleading=0.3))
    assert not any(video.misleading for video in honest.videos)
    assert 0.2 < np.mean([video.misleading for video in mixed.videos]) < 0.4
    for before, after in zip(honest.videos, mixed.videos, strict=True):
        assert replace(after, title=before.title, misleading=False) == before
        assert (after.title != before.title) == after.misleading
        assert (TOPICS[after.channel.niche][after.topic] in after.title) != after.misleading
    np.testing.assert_array_equal(honest.effects, mixed.effects)


def test_every_niche_has_the_same_number_of_topics():
    assert {len(topics) for topics in TOPICS.values()} == {TOPICS_PER_NICHE}
