"""The simulator on a bad day: spent quotas, faults, suspended channels, and a world that moves while it is read."""

import io
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from PIL import Image

from thumbrank_core.simulator import traits
from thumbrank_core.simulator.behaviour import PICTURE_FAULTS, REQUEST_FAULTS, Behaviour
from thumbrank_core.simulator.server import SimulatorError, SimulatorServer
from thumbrank_core.simulator.world import World, WorldSettings, build_world

SETTINGS = WorldSettings(seed=4, channels_per_niche=10, videos_per_channel=60, niches=("gaming",))
BEHAVIOUR = Behaviour(quota_search=2, quota_stats_batch=1, quota_default=200, suspended=0.2, slow_seconds=0.3)


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(SETTINGS)


@pytest.fixture(scope="module")
def running() -> Iterator[SimulatorServer]:
    with SimulatorServer(SETTINGS, behaviour=BEHAVIOUR) as server:
        yield server


@pytest.fixture
def server(running: SimulatorServer) -> Iterator[SimulatorServer]:
    """A new day without faults."""
    running.advance(86_400)
    yield running
    running.set_faults({})


@pytest.fixture
def api(server: SimulatorServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.endpoint, headers={"X-Goog-Api-Key": "a key"}, trust_env=False) as client:
        yield client


def ask(api: httpx.Client, resource: str, **params: Any) -> httpx.Response:
    return api.get(f"/youtube/v3/{resource}", params=params)


def reason(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["errors"][0]["reason"]


def public(world: World) -> list[str]:
    return [
        video.id
        for video in world.videos
        if video.state == "public" and not traits.is_suspended(video.channel.id, BEHAVIOUR.suspended)
    ]


def a_channel(world: World) -> str:
    return world.video(public(world)[0]).channel.id


def rows(api: httpx.Client, channel: str, **params: Any) -> tuple[list[str], str | None]:
    body = ask(api, "playlistItems", part="contentDetails", playlistId=f"UU{channel[2:]}", **params).json()
    return [item["contentDetails"]["videoId"] for item in body["items"]], body.get("nextPageToken")


def test_spent_searches_answer_429_and_say_per_day(api: httpx.Client):
    answers = [ask(api, "search", part="id", q="gaming") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    error = answers[-1].json()["error"]
    assert error["status"] == "RESOURCE_EXHAUSTED"
    assert "'Search Queries per day'" in error["message"]
    assert error["errors"][0]["reason"] == "rateLimitExceeded"
    assert error["details"][0]["reason"] == "RATE_LIMIT_EXCEEDED"


def test_spent_batches_answer_429_under_their_own_name(api: httpx.Client, world: World):
    answers = [ask(api, "videos:batchGetStats", part="id", id=public(world)[0]) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    message = answers[-1].json()["error"]["message"]
    assert "per day" in message
    assert "Search" not in message


def test_each_request_costs_a_unit_whatever_becomes_of_it_and_the_day_ends_at_pacific_midnight(
    server: SimulatorServer, api: httpx.Client, world: World
):
    before, served = server.attempts()["default"], server.served()
    assert ask(api, "videos", part="nonsense", id="x").status_code == 400
    assert ask(api, "videos", part="id", id="x", key="invalid").status_code == 400
    server.set_faults({"http_500": 1.0})
    assert ask(api, "videos", part="id", id="x").status_code == 500
    server.set_faults({})
    while (answer := ask(api, "channels", part="id", id=a_channel(world))).status_code == 200:
        pass
    assert reason(answer) == (403, "quotaExceeded")
    assert '<a href="/youtube/v3/getting-started#quota">quota</a>' in answer.json()["error"]["message"]
    assert server.attempts()["default"] == before + 201
    assert server.served()["channels.list"] == served.get("channels.list", 0) + 197
    day = max(server.attempts_by_day())
    assert server.attempts_by_day()[day]["default"] == 201
    now = server.advance(0)
    midnight = datetime.fromisoformat(day).replace(hour=7, tzinfo=UTC) + timedelta(days=1)
    server.advance((midnight - now).total_seconds() - 1)
    assert reason(ask(api, "videos", part="id", id="x")) == (403, "quotaExceeded")
    assert server.advance(1) == midnight
    assert ask(api, "videos", part="id", id="x").status_code == 200


def test_suspended_channels_refuse_their_uploads_and_their_videos_are_gone(api: httpx.Client, world: World):
    suspended = next(
        video
        for video in world.videos
        if video.is_listed and traits.is_suspended(video.channel.id, BEHAVIOUR.suspended)
    )
    uploads = ask(api, "playlistItems", part="id", playlistId=f"UU{suspended.channel.id[2:]}")
    assert reason(uploads) == (403, "channelSuspended")
    assert ask(api, "videos", part="id", id=suspended.id).json()["items"] == []


@pytest.mark.parametrize(
    ("fault", "status", "why"),
    [
        ("burst_429", 429, "rateLimitExceeded"),
        ("throttle_403", 403, "userRateLimitExceeded"),
        ("http_500", 500, "internalError"),
        ("http_503", 503, "backendError"),
    ],
)
def test_a_refusal_that_may_pass(server: SimulatorServer, api: httpx.Client, fault: str, status: int, why: str):
    server.set_faults({fault: 1.0})
    answer = ask(api, "videos", part="id", id="x")
    assert reason(answer) == (status, why)
    assert "per day" not in answer.text


def test_an_answer_that_is_html_broken_late_or_missing(server: SimulatorServer, api: httpx.Client, world: World):
    ids = ",".join(public(world)[:20])
    server.set_faults({"html_error": 1.0})
    answer = ask(api, "videos", part="id", id=ids)
    assert (answer.status_code, answer.headers["content-type"]) == (502, "text/html; charset=UTF-8")
    server.set_faults({"truncated_json": 1.0})
    answer = ask(api, "videos", part="snippet", id=ids)
    assert answer.status_code == 200
    with pytest.raises(ValueError):
        answer.json()
    server.set_faults({"slow": 1.0})
    began = time.monotonic()
    assert ask(api, "videos", part="id", id=ids).status_code == 200
    assert time.monotonic() - began >= BEHAVIOUR.slow_seconds
    server.set_faults({"dropped": 1.0})
    attempts = server.attempts()["default"]
    for request in (lambda: ask(api, "videos", part="id", id=ids), lambda: api.get(f"/vi/{ids[:11]}/default.jpg")):
        with pytest.raises(httpx.RemoteProtocolError):
            request()
    assert server.attempts()["default"] == attempts + 1, "counted although nothing was answered"
    server.set_faults({})
    assert ask(api, "videos", part="id", id=ids).status_code == 200


def test_request_faults_leave_the_picture_host_alone(server: SimulatorServer, api: httpx.Client, world: World):
    only_requests = [fault for fault in REQUEST_FAULTS if fault not in PICTURE_FAULTS]
    server.set_faults(dict.fromkeys(only_requests, 1 / len(only_requests)))
    assert all(api.get(f"/vi/{video}/default.jpg").status_code == 200 for video in public(world)[:5])


def test_bad_pictures(server: SimulatorServer, api: httpx.Client, world: World):
    path = f"/vi/{public(world)[0]}/mqdefault.jpg"
    good = api.get(path).content

    def bad(fault: str) -> httpx.Response:
        server.set_faults({fault: 1.0})
        return api.get(path)

    grey = bad("picture_404grey_as_200")
    with Image.open(io.BytesIO(grey.content)) as picture:
        assert (grey.status_code, picture.size) == (200, (120, 90))
    truncated = bad("picture_truncated")
    assert (truncated.status_code, truncated.content) == (200, good[: len(good) // 2])
    with Image.open(io.BytesIO(bad("picture_webp").content)) as picture:
        assert (picture.format, picture.size) == ("WEBP", (320, 180))
    html = bad("picture_html")
    assert (html.status_code, html.headers["content-type"]) == (200, "text/html; charset=UTF-8")
    assert bad("picture_500").status_code == 500
    server.set_faults({})
    assert api.get(path).content == good


def test_an_upload_while_a_playlist_is_read_shifts_its_rows(server: SimulatorServer, api: httpx.Client, world: World):
    channel = world.video(public(world)[-1]).channel.id
    before, _ = rows(api, channel, maxResults=50)
    server.set_faults({"upload_midcrawl": 1.0})
    first, token = rows(api, channel, maxResults=20)
    second, _ = rows(api, channel, maxResults=20, pageToken=token)
    assert first == before[:20]
    assert second == before[19:39], "the last row of page 1 comes again"
    server.set_faults({})
    after, _ = rows(api, channel, maxResults=50)
    assert after[1:] == before[:49]
    assert after[0] not in {video.id for video in world.videos}


def test_a_new_upload_is_the_newest_everywhere(server: SimulatorServer, api: httpx.Client, world: World):
    channel = a_channel(world)
    counted = ask(api, "channels", part="statistics", id=channel).json()["items"][0]["statistics"]["videoCount"]
    newest = ask(api, "search", part="id", type="video", order="date").json()["items"][0]["id"]["videoId"]
    new = server.add_upload(channel)
    assert new != newest
    assert rows(api, channel)[0][0] == new
    item = ask(api, "videos", part="snippet,statistics", id=new).json()["items"][0]
    assert item["snippet"]["channelId"] == channel
    assert datetime.fromisoformat(item["snippet"]["publishedAt"]) == server.advance(0).replace(microsecond=0)
    found = ask(api, "search", part="id", type="video", order="date").json()["items"]
    assert found[0]["id"]["videoId"] == new
    statistics = ask(api, "channels", part="statistics", id=channel).json()["items"][0]["statistics"]
    assert int(statistics["videoCount"]) == int(counted) + 1
    assert api.get(item["snippet"]["thumbnails"]["medium"]["url"]).status_code == 200
    with pytest.raises(SimulatorError, match="there is no 'UCnobody'"):
        server.add_upload("UCnobody")


def test_removed_videos_are_deleted_rows_and_no_more_found(server: SimulatorServer, api: httpx.Client, world: World):
    gone, stays = public(world)[3:5]
    server.remove_videos([gone])
    assert [item["id"] for item in ask(api, "videos", part="id", id=f"{gone},{stays}").json()["items"]] == [stays]
    body = ask(
        api, "playlistItems", part="snippet,status", maxResults=50, playlistId=f"UU{world.video(gone).channel.id[2:]}"
    ).json()
    row = next(item for item in body["items"] if item["snippet"]["resourceId"]["videoId"] == gone)
    assert (row["snippet"]["title"], row["status"]["privacyStatus"]) == ("Deleted video", "privacyStatusUnspecified")
    assert api.get(f"/vi/{gone}/mqdefault.jpg").status_code == 404
    with pytest.raises(SimulatorError, match="there is no 'AAAAAAAAAAA'"):
        server.remove_videos([stays, "AAAAAAAAAAA"])
    assert ask(api, "videos", part="id", id=stays).json()["items"], "all or nothing"


def test_a_swapped_picture_has_the_same_address_and_other_bytes(
    server: SimulatorServer, api: httpx.Client, world: World
):
    swapped, kept = public(world)[5:7]
    before = [api.get(f"/vi/{video}/mqdefault.jpg").content for video in (swapped, kept)]
    server.swap_pictures([swapped])
    after = [api.get(f"/vi/{video}/mqdefault.jpg").content for video in (swapped, kept)]
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_pictures_drawn_ahead_are_answered_at_once(server: SimulatorServer, api: httpx.Client, world: World):
    assert server.draw_pictures("default", 10) == 10
    listed = sum(video.is_listed for video in world.videos)
    assert server.draw_pictures("default", None) == listed
    with pytest.raises(SimulatorError, match="there is no 'huge'"):
        server.draw_pictures("huge", 1)


def test_the_clock_is_in_the_date_header_and_never_goes_back(server: SimulatorServer, api: httpx.Client):
    now = server.advance(90)
    assert api.get("/").headers["date"] == now.strftime("%a, %d %b %Y %H:%M:%S GMT")
    with pytest.raises(SimulatorError, match="does not go back"):
        server.advance(-1)


def test_control_routes_answer_nobody_without_the_token(server: SimulatorServer, api: httpx.Client):
    for headers in ({}, {"X-Simulator-Token": "a guess"}):
        assert api.post("/simulator/attempts", json={}, headers=headers).status_code == 404
    assert api.post("/simulator/advance", json={"seconds": 1}).status_code == 404
    with pytest.raises(SimulatorError, match="There is no fault 'rain'"):
        server.set_faults({"rain": 1.0})
