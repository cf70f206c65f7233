"""Views grow with age as the niche says, and with the clock: in every answer that counts, by what the world knows."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.evaluation.truth import Truth
from thumbrank_core.niches import NICHES
from thumbrank_core.simulator.behaviour import Behaviour
from thumbrank_core.simulator.clock import Clock
from thumbrank_core.simulator.counts import FIRST_SHARE, Counts
from thumbrank_core.simulator.data_api import data_api_routes
from thumbrank_core.simulator.growth import growth_of, shares
from thumbrank_core.simulator.live import LiveWorld
from thumbrank_core.simulator.reporting_reach import views_at
from thumbrank_core.simulator.simulation import Simulation
from thumbrank_core.simulator.truth import GROWTH_DAYS, truth_of
from thumbrank_core.simulator.world import World, WorldSettings, build_world

SETTINGS = WorldSettings(seed=3, channels_per_niche=8, videos_per_channel=20)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(SETTINGS)


# The curves


@pytest.mark.parametrize("niche", NICHES)
def test_views_grow_ever_more_slowly_and_never_reach_the_end(niche: str):
    found = growth_of(niche).share(np.arange(0.0, 400))
    gains = np.diff(found)
    assert found[0] == 0
    assert (gains > 0).all()
    assert (np.diff(gains) < 0).all()
    assert found[-1] < 1


def test_news_is_over_within_days_and_education_after_months():
    by_week = {niche: growth_of(niche).share_at(7) for niche in NICHES}
    ordered = ["education", "beauty", "tech", "gaming", "entertainment", "news"]
    assert sorted(by_week, key=by_week.__getitem__) == ordered
    assert by_week["news"] > 0.7
    assert growth_of("education").share_at(87) < 0.5
    since_a_week = [np.log(growth_of(niche).share_at(87) / by_week[niche]) for niche in ordered]
    assert all(slow - fast > 0.15 for slow, fast in pairwise(since_a_week)), "in the ages that a crawl sees too"


def test_one_age_and_many_have_the_same_share():
    ages = np.geomspace(0.01, 400, 50)
    for niche in NICHES:
        assert [growth_of(niche).share_at(age) for age in ages] == pytest.approx(
            growth_of(niche).share(ages), rel=1e-12
        )
    both = shares(["news", "tech"], np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    np.testing.assert_array_equal(both[1], growth_of("tech").share(np.array([4.0, 5.0, 6.0])))
    np.testing.assert_array_equal(shares(["news", "tech"], np.array([1.0, 4.0])), both[:, 0])


# The counts


def test_at_as_of_the_counts_are_the_worlds_own(world: World):
    counts = Counts(SETTINGS.as_of, Clock(SETTINGS.as_of))
    for video in world.videos:
        assert (counts.views(video), counts.likes(video), counts.comments(video)) == (
            video.views,
            video.likes,
            video.comments,
        )


def test_counts_never_fall_and_grow_as_the_niche_does(world: World):
    clock = Clock(SETTINGS.as_of)
    counts = Counts(SETTINGS.as_of, clock)
    before = {video.id: (video.views, video.likes, video.comments) for video in world.videos}
    for step in (timedelta(microseconds=1), timedelta(hours=1), DAY, 30 * DAY):
        clock.advance(step)
        for video in world.videos:
            now = counts.views(video), counts.likes(video), counts.comments(video)
            assert [count is None for count in now] == [count is None for count in before[video.id]]
            assert all(
                new >= old
                for new, old in zip(now, before[video.id], strict=True)
                if new is not None and old is not None
            )
            before[video.id] = now
    for video in world.videos:
        growth, age = growth_of(video.channel.niche), (SETTINGS.as_of - video.published_at) / DAY
        times = growth.share_at(age + 31 + 1 / 24) / growth.share_at(age)
        assert counts.views(video) == pytest.approx(video.views * times, abs=1.01)
        assert video.likes is None or counts.likes(video) == pytest.approx(video.likes * times, abs=1.01)


@pytest.mark.parametrize("later", [timedelta(0), timedelta(hours=5), 3 * DAY])
def test_a_new_upload_begins_small_and_grows_to_its_end(world: World, later: timedelta):
    clock = Clock(SETTINGS.as_of)
    live = LiveWorld(world, clock)
    clock.advance(later)
    channel = max(world.channels, key=lambda channel: channel.views_per_video)
    video = live.add_upload(channel.id)
    seen = [live.counts.views(video)]
    for _ in range(200):
        clock.advance(DAY)
        seen.append(live.counts.views(video))
    assert seen[0] == video.views
    assert seen == sorted(seen)
    growth = growth_of(channel.niche)
    assert seen[30] == pytest.approx(video.views / FIRST_SHARE * growth.share_at(30), rel=1e-3)
    assert seen[-1] <= video.views / FIRST_SHARE


# The answers


@pytest.fixture
def simulation(world: World) -> Simulation:
    return Simulation(world, Clock(SETTINGS.as_of), Behaviour())


@pytest.fixture
def api(simulation: Simulation) -> Iterator[TestClient]:
    with TestClient(Starlette(routes=data_api_routes(simulation)), headers={"X-Goog-Api-Key": "a key"}) as client:
        yield client


def ask(api: TestClient, resource: str, **params: Any) -> dict:
    answer = api.get(f"/youtube/v3/{resource}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_every_answer_that_counts_counts_now(api: TestClient, simulation: Simulation, world: World):
    channel = next(channel for channel in world.channels if world.uploads(channel.id))
    ids = ",".join(video.id for video in world.uploads(channel.id) if video.state == "public")

    def told() -> tuple[dict, dict, dict]:
        return (
            ask(api, "videos", part="statistics", id=ids),
            ask(api, "videos:batchGetStats", part="statistics", id=ids),
            ask(api, "channels", part="statistics", id=channel.id),
        )

    before = told()
    assert before == told()
    simulation.clock.advance(DAY)
    after = told()
    counts = simulation.live.counts
    for old, new in zip(before, after, strict=True):
        assert new["etag"] != old["etag"]
        assert len(new["items"]) == len(old["items"])
        for was, now in zip(old["items"], new["items"], strict=True):
            assert ("viewCount" not in now.get("statistics", {})) or now["etag"] != was["etag"]
    for answer in after[:2]:
        for item in answer["items"]:
            video, said = world.video(item["id"]), item.get("statistics", {})
            assert said.get("viewCount", str(counts.views(video))) == str(counts.views(video))
            assert said.get("likeCount", str(counts.likes(video))) == str(counts.likes(video))
            assert said.get("commentCount", str(counts.comments(video))) == str(counts.comments(video))
    public = [video for video in world.uploads(channel.id) if video.is_listed]
    assert before[2]["items"][0]["statistics"]["viewCount"] == str(sum(video.views for video in public))
    assert after[2]["items"][0]["statistics"]["viewCount"] == str(sum(counts.views(video) for video in public))


def test_a_search_by_views_is_ordered_by_the_views_of_now(api: TestClient, simulation: Simulation, world: World):
    def found() -> list[str]:
        body = ask(api, "search", part="id", type="video", order="viewCount", q="education|news", maxResults=50)
        return [item["id"]["videoId"] for item in body["items"]]

    before = found()
    simulation.clock.advance(90 * DAY)
    after = found()
    assert after != before, "what lasts has overtaken the news"
    for order, views in ((before, lambda video: video.views), (after, simulation.live.counts.views)):
        seen = [views(world.video(video_id)) for video_id in order]
        assert seen == sorted(seen, reverse=True)


def test_reports_and_counters_tell_of_the_same_views(world: World):
    clock = Clock(SETTINGS.as_of)
    counts = Counts(SETTINGS.as_of, clock)
    moments = [SETTINGS.as_of, SETTINGS.as_of + DAY, SETTINGS.as_of + 40 * DAY]
    reported = views_at(world, world.videos, moments)
    assert reported[:, 0].tolist() == [video.views for video in world.videos]
    for column, moment in enumerate(moments):
        clock.advance(moment - clock.now)
        assert reported[:, column] == pytest.approx([counts.views(video) for video in world.videos], abs=1)


# What the demo hands on


def test_the_truth_that_is_handed_on_is_the_worlds(world: World, tmp_path: Path):
    path = tmp_path / "simulator" / "truth.json"
    truth = truth_of(world)
    truth.save(path)
    assert Truth.load(path) == truth
    ids = [video.id for video in world.videos]
    assert [truth.effects[video_id] for video_id in ids] == world.true_effect(ids).tolist()
    assert set(truth.growth) == set(NICHES)
    assert (GROWTH_DAYS[0], GROWTH_DAYS[-1], len(GROWTH_DAYS)) == (0.5, 400.0, 60)
    for niche, curve in truth.growth.items():
        assert curve.log_growth == pytest.approx([np.log(growth_of(niche).share_at(days)) for days in curve.days])
    some = truth_of(build_world(replace(SETTINGS, niches=("news",))))
    assert set(some.growth) == {"news"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"AAAAAAAAAAA": 0.5}',
        '{"effects": {"AAAAAAAAAAA": NaN}, "growth": {}}',
        '{"effects": {}, "growth": {"news": {"days": [1, 2], "log_growth": [0]}}}',
        '{"effects": {}, "growth": {"news": {"days": [2, 1], "log_growth": [0, 0]}}}',
    ],
)
def test_a_file_that_is_not_the_truth_is_one_clear_sentence(tmp_path: Path, text: str):
    path = tmp_path / "truth.json"
    path.write_text(text)
    with pytest.raises(
        ThumbrankError, match=r"truth\.json is not a simulated world's truth: run `thumbrank demo` again"
    ):
        Truth.load(path)
