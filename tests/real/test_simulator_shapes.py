"""The simulator's answers held against recorded real ones: the same keys with the same types (make test-real)."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from thumbrank_core.simulator.api import create_app
from thumbrank_core.simulator.world import World, WorldSettings, build_world

pytestmark = pytest.mark.real
DATA = Path(__file__).resolve().parents[3] / "shared" / "real" / "api-fixtures"
SETTINGS = WorldSettings(seed=3, channels_per_niche=8, videos_per_channel=40, niches=("tech",), large_pictures=0.5)

Paths = dict[str, set[str]]


def key_paths(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Each key path with the JSON type found there; the elements of a list share one path."""
    yield path, "number" if isinstance(value, int) and not isinstance(value, bool) else type(value).__name__
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from key_paths(inner, f"{path}/{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from key_paths(inner, f"{path}/*")


def merged(answers: list[dict]) -> Paths:
    paths: Paths = {}
    for answer in answers:
        for path, kind in key_paths(answer):
            paths.setdefault(path, set()).add(kind)
    return paths


def recorded(name: str) -> list[dict]:
    """The recorded lists of one resource, and single resources as lists of one."""
    found: list[dict] = []
    for path in sorted(DATA.rglob("*.json")):
        answer = json.loads(path.read_text(encoding="utf-8"))
        kind = answer.get("kind") if isinstance(answer, dict) else None
        if kind == f"youtube#{name}ListResponse":
            found.append(answer)
        elif kind == f"youtube#{name}":
            found.append({"items": [answer]})
    assert found, f"no recorded {name}"
    return found


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(SETTINGS)


def simulated(world: World, *requests: tuple[str, dict[str, Any]]) -> list[dict]:
    async def ask() -> list[dict]:
        transport = httpx.ASGITransport(create_app(world))
        async with httpx.AsyncClient(transport=transport, base_url="http://youtube") as client:
            answers = [
                await client.get(f"/youtube/v3/{resource}", params=params, headers={"X-Goog-Api-Key": "a key"})
                for resource, params in requests
            ]
        assert [answer.status_code for answer in answers] == [200] * len(answers)
        return [answer.json() for answer in answers]

    return asyncio.run(ask())


def search(world: World) -> list[dict]:
    first = simulated(world, ("search", {"part": "snippet", "maxResults": 50, "q": "tech"}))[0]
    query = {"part": "snippet", "maxResults": 50, "q": "tech", "pageToken": first["nextPageToken"]}
    return [first, *simulated(world, ("search", query))]


def videos(world: World) -> list[dict]:
    ids = [video.id for video in world.videos]
    parts = "snippet,contentDetails,statistics,status,topicDetails,player,liveStreamingDetails,recordingDetails"
    return simulated(
        world, *(("videos", {"part": parts, "id": ",".join(ids[at : at + 50])}) for at in range(0, len(ids), 50))
    )


def playlist_items(world: World) -> list[dict]:
    query = {"part": "snippet,contentDetails,status", "maxResults": 20, "playlistId": f"UU{world.channels[0].id[2:]}"}
    first = simulated(world, ("playlistItems", query))[0]
    return [first, *simulated(world, ("playlistItems", {**query, "pageToken": first["nextPageToken"]}))]


def channels(world: World) -> list[dict]:
    parts = "snippet,statistics,contentDetails,topicDetails,status,brandingSettings"
    query = {"part": parts, "id": ",".join(channel.id for channel in world.channels)}
    first = simulated(world, ("channels", query))[0]
    return [first, *simulated(world, ("channels", {**query, "pageToken": first["nextPageToken"]}))]


def categories(world: World) -> list[dict]:
    return simulated(world, ("videoCategories", {"part": "snippet", "regionCode": "US"}))


ANSWERS: dict[str, Callable[[World], list[dict]]] = {
    "search": search,
    "video": videos,
    "playlistItem": playlist_items,
    "channel": channels,
    "videoCategory": categories,
}
BRANDING = "/items/*/brandingSettings"
LEFT_OUT: dict[str, tuple[tuple[str, str], ...]] = {
    "search": (),
    "video": (
        ("/nextPageToken", "lists by id have one page; the recorded ones are charts and ratings"),
        ("/prevPageToken", "the same"),
        ("/items/*/statistics/dislikeCount", "the owner's only since 2021"),
    ),
    "playlistItem": (),
    "channel": (
        ("/items/*/statistics/commentCount", "gone since 2020"),
        ("/items/*/contentDetails/relatedPlaylists/watchHistory", "empty since 2016, gone now"),
        ("/items/*/contentDetails/relatedPlaylists/watchLater", "the same"),
        (f"{BRANDING}/channel/keywords", "optional; no channel of this world has set them"),
        (f"{BRANDING}/channel/defaultLanguage", "optional; no channel of this world has set it"),
        (f"{BRANDING}/channel/unsubscribedTrailer", "optional; no channel of this world has set one"),
        (f"{BRANDING}/channel/trackingAnalyticsAccountId", "optional; no channel of this world has set it"),
        (f"{BRANDING}/channel/defaultTab", "gone since 2020"),
        (f"{BRANDING}/channel/moderateComments", "the owner's only, then gone"),
        (f"{BRANDING}/channel/showRelatedChannels", "gone since 2020"),
        (f"{BRANDING}/channel/showBrowseView", "gone since 2020"),
        (f"{BRANDING}/channel/featuredChannelsTitle", "gone since 2020"),
        (f"{BRANDING}/channel/featuredChannelsUrls", "gone since 2020"),
        (f"{BRANDING}/channel/profileColor", "gone since 2020"),
        (f"{BRANDING}/image", "optional; no channel of this world has a banner, and its many sizes went in 2020"),
        (f"{BRANDING}/hints", "gone since 2020"),
    ),
    "videoCategory": (),
}
"""Recorded keys that the simulator does not send, with everything below them, and why."""


@pytest.fixture(scope="module", params=ANSWERS)
def compared(request: pytest.FixtureRequest, world: World) -> tuple[str, Paths, Paths]:
    """The resource, what the simulator sends of it, and what YouTube did."""
    return request.param, merged(ANSWERS[request.param](world)), merged(recorded(request.param))


def test_every_key_that_both_send_has_the_same_types(compared: tuple[str, Paths, Paths]):
    _, ours, real = compared
    shared = ours.keys() & real.keys()
    assert len(shared) > 10
    assert {path: (ours[path], real[path]) for path in shared if not ours[path] <= real[path]} == {}


def test_every_recorded_key_is_sent_unless_the_reason_stands_here(compared: tuple[str, Paths, Paths]):
    name, ours, real = compared
    missing = real.keys() - ours.keys()
    excused = {
        path for path in missing for allowed, _ in LEFT_OUT[name] if path == allowed or path.startswith(f"{allowed}/")
    }
    assert missing - excused == set()
    assert {allowed for allowed, _ in LEFT_OUT[name]} - missing == set(), "an excuse that nothing needs"


def test_a_wrong_type_or_a_lost_key_would_be_seen():
    real = merged([{"items": [{"id": "x", "statistics": {"viewCount": "1"}}]}])
    numeric = merged([{"items": [{"id": "x", "statistics": {"viewCount": 1}}]}])
    lost = merged([{"items": [{"id": "x", "statistics": {}}]}])
    assert numeric["/items/*/statistics/viewCount"] == {"number"} != real["/items/*/statistics/viewCount"]
    assert real.keys() - lost.keys() == {"/items/*/statistics/viewCount"}
