"""The simulated Data API over real HTTP: what a collector may rely on, and what it must survive."""

import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httplib2
import httpx
import pytest
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError
from googleapiclient.http import HttpRequest
from PIL import Image

from thumbrank_core.simulator.server import SimulatorError, SimulatorServer
from thumbrank_core.simulator.world import World, WorldSettings, build_world

SETTINGS = WorldSettings(seed=3, channels_per_niche=20, videos_per_channel=20)


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(SETTINGS)


@pytest.fixture(scope="module")
def server() -> Iterator[SimulatorServer]:
    with SimulatorServer(SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def api(server: SimulatorServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.endpoint, headers={"X-Goog-Api-Key": "a key"}, trust_env=False) as client:
        yield client


def get(api: httpx.Client, resource: str, **params: Any) -> dict:
    answer = api.get(f"/youtube/v3/{resource}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(api: httpx.Client, resource: str, status: int, **params: Any) -> dict:
    answer = api.get(f"/youtube/v3/{resource}", params=params)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"] == status
    return error["errors"][0] | {"status": error.get("status"), "details": error.get("details")}


def google_client(server: SimulatorServer, key: str = "a key"):
    def request(_http, *args, headers=None, **kwargs):
        return HttpRequest(
            httplib2.Http(timeout=10), *args, headers={**(headers or {}), "X-Goog-Api-Key": key}, **kwargs
        )

    return build(
        "youtube",
        "v3",
        http=httplib2.Http(timeout=10),
        requestBuilder=request,  # pyright: ignore[reportArgumentType] - whatever makes a request will do
        static_discovery=True,
        cache_discovery=False,
        client_options={"api_endpoint": server.endpoint},
    )


def test_the_date_header_is_the_worlds_clock_on_every_answer(api: httpx.Client):
    for path in ("/youtube/v3/videos?part=id&id=x", "/youtube/v3/videos", "/nowhere", "/vi/x/default.jpg"):
        answer = api.get(path)
        assert answer.headers.get_list("date") == ["Sat, 01 Aug 2026 00:00:00 GMT"]
        assert parsedate_to_datetime(answer.headers["date"]) == SETTINGS.as_of


def test_a_request_without_a_key_is_forbidden(server: SimulatorServer):
    answer = httpx.get(f"{server.endpoint}/youtube/v3/videos?part=id&id=x", trust_env=False)
    assert answer.status_code == 403
    assert answer.json()["error"]["status"] == "PERMISSION_DENIED"


def test_a_bad_key_is_refused_in_the_header_and_in_the_address(server: SimulatorServer):
    url = f"{server.endpoint}/youtube/v3/videos?part=id&id=x"
    for answer in (
        httpx.get(url, headers={"X-Goog-Api-Key": "invalid"}, trust_env=False),
        httpx.get(f"{url}&key=invalid", trust_env=False),
    ):
        error = answer.json()["error"]
        assert answer.status_code == 400
        assert error["status"] == "INVALID_ARGUMENT"
        assert error["details"][0]["reason"] == "API_KEY_INVALID"


def test_only_the_parts_asked_for_are_there(api: httpx.Client, world: World):
    video = next(video for video in world.videos if video.state == "public")
    item = get(api, "videos", part="statistics", id=video.id)["items"][0]
    assert set(item) == {"kind", "etag", "id", "statistics"}
    assert refused(api, "videos", 400, id=video.id)["reason"] == "missingRequiredParameter"
    assert refused(api, "videos", 400, part="snippet,nonsense", id=video.id)["reason"] == "unknownPart"


def test_counts_are_strings_and_hidden_ones_are_missing(api: httpx.Client, world: World):
    shown = next(
        video for video in world.videos if video.state == "public" and None not in (video.likes, video.comments)
    )
    hidden = next(video for video in world.videos if video.state == "public" and video.likes is None)
    items = {
        item["id"]: item["statistics"]
        for item in get(api, "videos", part="statistics", id=f"{shown.id},{hidden.id}")["items"]
    }
    assert items[shown.id]["viewCount"] == str(shown.views)
    assert items[shown.id]["likeCount"] == str(shown.likes)
    assert "likeCount" not in items[hidden.id]


def test_deleted_private_and_unknown_videos_are_left_out_without_an_error(api: httpx.Client, world: World):
    gone = [video.id for video in world.videos if not video.is_listed][:5]
    there = next(video.id for video in world.videos if video.is_listed)
    body = get(api, "videos", part="id", id=",".join([*gone, "AAAAAAAAAAA", there]))
    assert [item["id"] for item in body["items"]] == [there]


def test_ids_may_be_repeated_or_separated_by_commas_but_not_more_than_fifty(api: httpx.Client, world: World):
    listed = [video.id for video in world.videos if video.is_listed]
    assert len(get(api, "videos", part="id", id=listed[:2])["items"]) == 2
    assert len(get(api, "videos", part="id", id=",".join(listed[:50]))["items"]) == 50
    assert refused(api, "videos", 400, part="id", id=",".join(listed[:51]))["reason"] == "invalidFilters"
    assert refused(api, "videos", 400, part="id")["reason"] == "missingRequiredParameter"


def test_live_and_upcoming_videos_have_no_length_except_premieres(api: httpx.Client, world: World):
    premieres = 0
    for video in (video for video in world.videos if video.state in ("live", "upcoming")):
        item = get(api, "videos", part="snippet,contentDetails,statistics,status,liveStreamingDetails", id=video.id)[
            "items"
        ][0]
        premiere = video.state == "upcoming" and item["contentDetails"]["duration"] != "P0D"
        premieres += premiere
        assert item["contentDetails"]["duration"].startswith("PT" if premiere else "P0D")
        assert item["status"]["uploadStatus"] == ("processed" if premiere else "uploaded")
        assert item["snippet"]["liveBroadcastContent"] == video.state
        assert item["liveStreamingDetails"]["scheduledStartTime"]
        assert ("viewCount" in item["statistics"]) == (video.state == "live")
    assert premieres


def test_uploads_are_paged_to_the_end_and_show_deleted_rows(api: httpx.Client, world: World):
    gone = next(video for video in world.videos if video.state == "deleted")
    uploads = get(api, "channels", part="contentDetails", id=gone.channel.id)["items"][0]["contentDetails"][
        "relatedPlaylists"
    ]["uploads"]
    assert uploads == "UU" + gone.channel.id[2:]
    rows: list[dict] = []
    token: dict[str, str] = {}
    while True:
        body = get(
            api, "playlistItems", part="snippet,contentDetails,status", playlistId=uploads, maxResults=7, **token
        )
        rows += body["items"]
        if "nextPageToken" not in body:
            break
        token = {"pageToken": body["nextPageToken"]}
    assert [row["contentDetails"]["videoId"] for row in rows] == [video.id for video in world.uploads(gone.channel.id)]
    row = next(row for row in rows if row["contentDetails"]["videoId"] == gone.id)
    assert row["snippet"]["title"] == "Deleted video"
    assert row["snippet"]["thumbnails"] == {}
    assert row["status"]["privacyStatus"] == "privacyStatusUnspecified"
    assert "videoPublishedAt" not in row["contentDetails"]


def test_pages_have_five_rows_unless_asked_and_never_more_than_fifty(api: httpx.Client, world: World):
    playlist = "UU" + world.videos[0].channel.id[2:]
    assert len(get(api, "playlistItems", part="id", playlistId=playlist)["items"]) == 5
    error = refused(api, "playlistItems", 400, part="id", playlistId=playlist, maxResults=51)
    assert error["message"] == "Invalid value '51'. Values must be within the range: [0, 50]"


def test_a_page_token_of_another_list_or_none_is_invalid(api: httpx.Client, world: World):
    first, other = world.videos[0].channel.id, world.videos[-1].channel.id
    token = get(api, "playlistItems", part="id", playlistId="UU" + first[2:])["nextPageToken"]
    for playlist, wrong in (("UU" + other[2:], token), ("UU" + first[2:], "nonsense"), ("UU" + first[2:], "C")):
        error = refused(api, "playlistItems", 400, part="id", playlistId=playlist, pageToken=wrong)
        assert error["reason"] == "invalidPageToken"


def test_a_channel_without_uploads_has_no_playlist(api: httpx.Client, world: World):
    empty = next(channel for channel in world.channels if channel.has_no_uploads)
    error = refused(api, "playlistItems", 404, part="id", playlistId="UU" + empty.id[2:])
    assert error["reason"] == "playlistNotFound"
    assert get(api, "channels", part="statistics", id=empty.id)["items"][0]["statistics"]["videoCount"] == "0"


def test_subscribers_are_rounded_down_to_three_figures_or_hidden(api: httpx.Client, world: World):
    for channel in (
        next(c for c in world.channels if c.hides_subscribers),
        next(c for c in world.channels if c.subscribers > 1e5),
    ):
        statistics = get(api, "channels", part="statistics", id=channel.id)["items"][0]["statistics"]
        assert statistics["hiddenSubscriberCount"] is channel.hides_subscribers
        assert ("subscriberCount" in statistics) != channel.hides_subscribers
        if not channel.hides_subscribers:
            shown = statistics["subscriberCount"]
            assert int(shown) <= channel.subscribers
            assert set(shown[3:]) == {"0"}


def test_a_search_finds_a_niche_escapes_titles_and_stops_at_five_hundred(api: httpx.Client, world: World):
    found: list[dict] = []
    token: dict[str, str] = {}
    while True:
        body = get(api, "search", part="snippet", type="video", maxResults=50, order="date", **token)
        found += body["items"]
        if "nextPageToken" not in body:
            break
        token = {"pageToken": body["nextPageToken"]}
    assert len(found) == 500
    times = [item["snippet"]["publishedAt"] for item in found]
    assert times == sorted(times, reverse=True)
    escaped = [item["snippet"]["title"] for item in found]
    assert any("&#39;" in title for title in escaped) and any("&amp;" in title for title in escaped)
    assert all(set(item["snippet"]["thumbnails"]) == {"default", "medium", "high"} for item in found)
    beauty = get(api, "search", part="snippet", type="video", q="makeup tutorial", maxResults=50)
    channels = [world.find_channel(item["snippet"]["channelId"]) for item in beauty["items"]]
    owners = {channel.niche if channel is not None else None for channel in channels}
    assert owners == {"beauty"}
    assert beauty["pageInfo"]["totalResults"] >= 50


def test_a_search_honours_time_channel_and_type(api: httpx.Client, world: World):
    channel = world.videos[0].channel
    of_channel = get(api, "search", part="id", channelId=channel.id, type="video", maxResults=50)["items"]
    assert {item["id"]["videoId"] for item in of_channel} == {v.id for v in world.uploads(channel.id) if v.is_listed}
    late = get(api, "search", part="snippet", type="video", publishedAfter="2026-07-20T00:00:00Z", maxResults=50)[
        "items"
    ]
    assert late and all(item["snippet"]["publishedAt"] >= "2026-07-20" for item in late)
    channels = get(api, "search", part="snippet", type="channel", q="gaming")["items"]
    assert all(item["id"]["kind"] == "youtube#channel" for item in channels)
    assert refused(api, "search", 400, part="id", publishedAfter="yesterday")["location"] == "publishedAfter"


def test_a_post_that_stands_for_a_get_is_answered(api: httpx.Client, world: World):
    ids = [video.id for video in world.videos if video.is_listed][:3]
    form = {"part": "id", "id": ",".join(ids)}
    answer = api.post("/youtube/v3/videos", data=form, headers={"X-HTTP-Method-Override": "GET"})
    assert [item["id"] for item in answer.json()["items"]] == ids
    assert api.post("/youtube/v3/videos", data=form).status_code == 405


def test_pictures_are_linked_on_this_host_and_a_missing_size_is_a_grey_404(
    api: httpx.Client, server: SimulatorServer, world: World
):
    video = next(video for video in world.videos if video.is_listed and not video.large_pictures)
    pictures = get(api, "videos", part="snippet", id=video.id)["items"][0]["snippet"]["thumbnails"]
    for picture in pictures.values():
        assert picture["url"].startswith(server.endpoint + "/vi/")
        answer = api.get(picture["url"])
        assert answer.headers["content-type"] == "image/jpeg"
        with Image.open(io.BytesIO(answer.content)) as shown:
            assert shown.size == (picture["width"], picture["height"])
    missing = api.get(f"/vi/{video.id}/maxresdefault.jpg")
    assert missing.status_code == 404
    with Image.open(io.BytesIO(missing.content)) as shown:
        assert shown.size == (120, 90)


def test_googles_own_client_works_here(server: SimulatorServer, world: World):
    youtube = google_client(server)
    found = youtube.search().list(part="snippet", q="tech", type="video", maxResults=50).execute()
    channel = found["items"][0]["snippet"]["channelId"]
    uploads = youtube.channels().list(part="contentDetails", id=channel).execute()["items"][0]
    playlist = uploads["contentDetails"]["relatedPlaylists"]["uploads"]
    request = youtube.playlistItems().list(part="contentDetails", playlistId=playlist, maxResults=15)
    seen: list[str] = []
    while request is not None:
        body = request.execute()
        seen += [item["contentDetails"]["videoId"] for item in body["items"]]
        request = youtube.playlistItems().list_next(request, body)
    assert seen == [video.id for video in world.uploads(channel)]
    # 80 repeated ids make the client send a POST in disguise; the answer is still the one for too many ids.
    with pytest.raises(HttpError) as raised:
        youtube.videos().list(part="snippet", id=[f"{video.id}{'x' * 20}" for video in world.videos[:80]]).execute()
    assert raised.value.status_code == 400
    with pytest.raises(HttpError) as raised:
        google_client(server, "invalid").videos().list(part="id", id="x").execute()
    assert raised.value.status_code == 400


def test_answers_over_one_connection_come_without_nagles_delay(api: httpx.Client):
    spent = []
    for _ in range(20):
        began = time.monotonic()
        get(api, "videos", part="id", id="x")
        spent.append(time.monotonic() - began)
    assert min(spent) < 0.03, "the delay is 40 ms for every answer; a busy machine is slow for some"


def test_a_port_that_is_taken_is_one_clear_sentence():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SimulatorError, match=rf"Port {port} on 127\.0\.0\.1 is taken"):
            SimulatorServer(WorldSettings(channels_per_niche=1), port=port).start()


def gone(pid: int, seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


def test_stop_ends_the_child_and_may_be_repeated():
    server = SimulatorServer(WorldSettings(channels_per_niche=1, videos_per_channel=2)).start()
    pid = server.pid
    server.stop()
    server.stop()
    assert gone(pid)
    with pytest.raises(SimulatorError, match="not running"):
        _ = server.endpoint


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux only")
def test_the_child_dies_with_a_parent_that_is_killed_and_outlives_a_mere_thread():
    script = (
        "import threading, time\n"
        "from thumbrank_core.simulator.server import SimulatorServer\n"
        "from thumbrank_core.simulator.world import WorldSettings\n"
        "server = SimulatorServer(WorldSettings(channels_per_niche=1, videos_per_channel=2))\n"
        "thread = threading.Thread(target=server.start); thread.start(); thread.join()\n"
        "time.sleep(0.3)\n"
        "print(server.pid, server.endpoint, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, endpoint = parent.stdout.readline().split()
        assert httpx.get(f"{endpoint}/vi/x/default.jpg", trust_env=False).status_code == 404
        os.kill(parent.pid, signal.SIGKILL)
        assert gone(int(pid))
