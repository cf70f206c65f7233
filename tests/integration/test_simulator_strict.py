"""What the simulated Data API refuses, and the finer points of what it answers; in this process, without a server."""

import gzip
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from thumbrank_core.simulator import methods, traits
from thumbrank_core.simulator.api import create_app
from thumbrank_core.simulator.behaviour import Behaviour
from thumbrank_core.simulator.clock import Clock
from thumbrank_core.simulator.data_api import DISABLED_KEY, Endpoint
from thumbrank_core.simulator.requests import Query
from thumbrank_core.simulator.simulation import Simulation
from thumbrank_core.simulator.world import World, WorldSettings, build_world

SETTINGS = WorldSettings(
    seed=3, channels_per_niche=12, videos_per_channel=60, niches=("tech", "news"), large_pictures=0.3, made_for_kids=0.2
)
HOST = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(SETTINGS)


@pytest.fixture(scope="module")
def api(world: World) -> Iterator[TestClient]:
    app = create_app(world, Behaviour(quota_search=10_000))
    with TestClient(app, base_url=HOST, headers={"X-Goog-Api-Key": "a key"}) as client:
        yield client


def get(api: TestClient, resource: str, **params: Any) -> dict:
    answer = api.get(f"/youtube/v3/{resource}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refusal(api: TestClient, request: str) -> tuple[int, str]:
    answer = api.get(f"/youtube/v3/{request}")
    return answer.status_code, answer.json()["error"]["errors"][0]["reason"]


def items(api: TestClient, world: World, part: str, **params: Any) -> Iterator[dict]:
    listed = [video.id for video in world.videos if video.is_listed]
    for start in range(0, len(listed), 50):
        yield from get(api, "videos", part=part, id=",".join(listed[start : start + 50]), **params)["items"]


def test_a_key_whose_project_has_not_enabled_the_api_is_told_so(api: TestClient):
    answer = api.get("/youtube/v3/videos?part=id&id=x", headers={"X-Goog-Api-Key": DISABLED_KEY})
    error = answer.json()["error"]
    assert (answer.status_code, error["status"]) == (403, "PERMISSION_DENIED")
    assert error["errors"][0]["reason"] == "accessNotConfigured"
    assert error["details"][0]["reason"] == "SERVICE_DISABLED"


@pytest.mark.parametrize(
    ("resource", "query", "refused"),
    [
        ("videos", "part=id&id=x&ids=y", (400, "unexpectedParameter")),
        ("videos:batchGetStats", "part=id&id=x&maxResults=5", (400, "unexpectedParameter")),
        ("playlistItems", "part=id&playlistId=x&order=date", (400, "unexpectedParameter")),
        ("search", "part=id&order=newest", (400, "invalidParameter")),
        ("search", "part=id&type=films", (400, "invalidParameter")),
        ("search", "part=id&safeSearch=yes", (400, "invalidParameter")),
        ("search", "part=id&type=video&videoDuration=tiny", (400, "invalidParameter")),
        ("search", "part=id&alt=xml", (400, "invalidParameter")),
        ("search", "part=id&videoDuration=short", (400, "invalidSearchFilter")),
        ("search", "part=id&eventType=live", (400, "invalidSearchFilter")),
        ("search", "part=id&type=video&type=channel&videoCategoryId=1", (400, "invalidSearchFilter")),
        ("search", "part=id&type=video&location=1,2", (400, "invalidSearchFilter")),
        ("search", "part=id&channelId=tech", (400, "invalidChannelId")),
        ("search", "part=id&regionCode=XX", (400, "invalidRegionCode")),
        ("search", "part=id&relevanceLanguage=english", (400, "invalidRelevanceLanguage")),
        ("search", "part=id&forMine=true", (401, "authorizationRequired")),
        ("search", "part=id&maxResults=51", (400, "invalidParameter")),
        ("search", "part=id&pageToken=CAUQAA", (400, "invalidPageToken")),
        ("search", "q=x", (400, "missingRequiredParameter")),
        ("channels", "part=id", (400, "missingRequiredParameter")),
        ("channels", "part=id&id=x&forHandle=y", (400, "invalidCriteria")),
        ("channels", "part=id&mine=true", (401, "authorizationRequired")),
        ("playlistItems", "part=id", (400, "missingRequiredParameter")),
        ("playlistItems", "part=id&id=x&playlistId=y", (400, "incompatibleParameters")),
        ("playlistItems", "part=id&playlistId=PLx", (404, "playlistNotFound")),
        ("videos", "part=id&id=x&chart=mostPopular", (400, "incompatibleParameters")),
        ("videos", "part=id&id=x&maxResults=50", (400, "incompatibleParameters")),
        ("videos", "part=id&chart=newest", (400, "invalidParameter")),
        ("videos", "part=id&chart=mostPopular", (404, "videoChartNotFound")),
        ("videos", "part=id&myRating=like", (401, "authorizationRequired")),
        ("videos", "part=player&id=x&maxWidth=71", (400, "invalidParameter")),
        ("videos", "part=id&id=x&fields=items(id", (400, "invalidFieldSelection")),
        ("videos", "part=id&id=x&fields=items(ids)", (400, "invalidFieldSelection")),
        ("videos:batchGetStats", "part=id", (400, "missingRequiredParameter")),
        ("videos:batchGetStats", "part=status&id=x", (400, "unknownPart")),
        ("videos:batchGetStats", "part=id&id=" + ",".join(map(str, range(51))), (400, "invalidFilters")),
        ("videoTrainability", "", (400, "missingRequiredParameter")),
        ("videoTrainability", "id=AAAAAAAAAAA", (404, "videoNotFound")),
        ("videoCategories", "part=snippet", (400, "missingRequiredParameter")),
        ("videoCategories", "part=snippet&regionCode=Germany", (400, "invalidRegionCode")),
        ("i18nRegions", "part=names", (400, "unknownPart")),
    ],
)
def test_what_youtube_refuses_is_refused(api: TestClient, resource: str, query: str, refused: tuple[int, str]):
    assert refusal(api, f"{resource}?{query}") == refused


def test_fields_drops_all_that_is_not_named_the_next_page_token_too(api: TestClient, world: World):
    query = {"part": "contentDetails", "playlistId": f"UU{world.channels[0].id[2:]}", "maxResults": 3}
    body = get(api, "playlistItems", **query, fields="items/contentDetails(videoId,videoPublishedAt)")
    assert set(body) == {"items"}
    assert all(set(item) == {"contentDetails"} for item in body["items"])
    assert set(get(api, "playlistItems", **query, fields="nextPageToken,items(id,etag)")) == {"nextPageToken", "items"}
    assert set(get(api, "playlistItems", **query, fields="*")) == set(get(api, "playlistItems", **query))


def test_fields_leave_the_same_values_as_the_whole_answer(api: TestClient, world: World):
    ids = ",".join(video.id for video in world.videos if video.is_listed and video.large_pictures)[: 12 * 20 - 1]
    parts = "snippet,statistics,contentDetails,status,liveStreamingDetails,player"
    whole = get(api, "videos", part=parts, id=ids, maxHeight=360)["items"]
    named = "items(id,snippet(title,thumbnails(medium/url,maxres),localized),statistics,player/embedWidth)"
    for item, left in zip(
        whole, get(api, "videos", part=parts, id=ids, maxHeight=360, fields=named)["items"], strict=True
    ):
        snippet = item["snippet"]
        assert left == {
            "id": item["id"],
            "snippet": {
                "title": snippet["title"],
                "thumbnails": {
                    "medium": {"url": snippet["thumbnails"]["medium"]["url"]},
                    "maxres": snippet["thumbnails"]["maxres"],
                },
                "localized": snippet["localized"],
            },
            "statistics": item["statistics"],
            "player": {"embedWidth": item["player"]["embedWidth"]},
        }


def test_a_batch_of_statistics_has_its_own_shape_and_names_the_ids_that_failed(api: TestClient, world: World):
    there = [video for video in world.videos if video.state == "public"][:40]
    gone = [video.id for video in world.videos if not video.is_listed][:3]
    asked = [*gone, *(video.id for video in there), "AAAAAAAAAAA"]
    body = get(
        api, "videos:batchGetStats", part="id,snippet,contentDetails,statistics", id=[",".join(asked[:20]), *asked[20:]]
    )
    assert body["kind"] == "youtube#batchGetStatsResponse"
    assert body["summary"] == {
        "requestedVideoCount": 44,
        "succeededVideoCount": 40,
        "failedVideoCount": 4,
        "failedVideoIds": [*gone, "AAAAAAAAAAA"],
    }
    found = {item["id"]: item for item in body["items"]}
    video = there[0]
    item = found[video.id]
    assert (item["kind"], item["contentDetails"]) == ("youtube#videoStats", {"duration": f"{video.duration_seconds}s"})
    assert item["snippet"] == {"publishTime": video.published_at.strftime("%Y-%m-%dT%H:%M:%SZ")}
    assert item["statistics"]["viewCount"] == str(video.views)
    assert list(found) != [video.id for video in there], "no order is promised"


def test_statistics_of_a_batch_are_full_empty_or_absent(api: TestClient, world: World):
    videos = {video.id: video for video in world.videos if video.is_listed}
    seen = set()
    for start in range(0, len(videos), 50):
        ids = ",".join(list(videos)[start : start + 50])
        for item in get(api, "videos:batchGetStats", part="statistics", id=ids)["items"]:
            given = "absent" if "statistics" not in item else "full" if item["statistics"] else "empty"
            assert given == traits.batch_statistics(videos[item["id"]])
            assert given != "full" or videos[item["id"]].state != "upcoming"
            seen.add(given)
    assert seen == {"full", "empty", "absent"}


def test_a_creators_choice_about_training_is_mostly_all_and_stays_the_same(api: TestClient, world: World):
    ids = [video.id for video in world.videos if video.is_listed][:200]
    answers = [get(api, "videoTrainability", id=video_id) for video_id in ids]
    assert answers[0] | {"etag": "", "permitted": []} == {
        "kind": "youtube#videoTrainability",
        "etag": "",
        "videoId": ids[0],
        "permitted": [],
    }
    choices = [tuple(answer["permitted"]) for answer in answers]
    assert 0.6 < choices.count(("all",)) / 200 < 0.8
    assert 0.1 < choices.count(("none",)) / 200 < 0.3
    assert set(choices) - {("all",), ("none",)}
    assert get(api, "videoTrainability", id=ids[0]) == answers[0]


def test_a_player_tells_its_measures_only_where_a_limit_is_given_and_shorts_stand_upright(
    api: TestClient, world: World
):
    assert all(set(item["player"]) == {"embedHtml"} for item in items(api, world, "player"))
    shapes = {}
    for item in items(api, world, "player", maxHeight=360, maxWidth=480):
        video = world.video(item["id"])
        shapes.setdefault(traits.is_short(video), set()).add(
            (item["player"]["embedWidth"], item["player"]["embedHeight"])
        )
    assert shapes == {True: {("202", "360")}, False: {("480", "270")}}


def test_larger_and_vertical_pictures_are_listed_for_some_and_can_be_fetched(api: TestClient, world: World):
    listed = {item["id"]: item["snippet"]["thumbnails"] for item in items(api, world, "snippet")}
    upright = {video_id for video_id, sizes in listed.items() if "shortsAspectRatio" in sizes}
    shorts = {video.id for video in world.videos if video.is_listed and traits.is_short(video)}
    assert upright < shorts
    assert upright
    largest = [sizes for sizes in listed.values() if "uhd" in sizes]
    assert largest
    assert all({"maxres", "fhd", "qhd"} < set(sizes) for sizes in largest)
    picture = api.get(listed[upright.pop()]["shortsAspectRatio"]["url"])
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/jpeg")


def test_a_few_videos_are_recordings_of_ended_streams(api: TestClient, world: World):
    recorded = {
        item["id"]: item["liveStreamingDetails"]
        for item in items(api, world, "liveStreamingDetails")
        if "actualEndTime" in item.get("liveStreamingDetails", {})
    }
    assert 0.005 < len(recorded) / len(world.videos) < 0.05
    assert all(details["actualStartTime"] < details["actualEndTime"] for details in recorded.values())
    assert all(world.video(video_id).state == "public" for video_id in recorded)


def test_channels_made_for_kids_say_so_and_so_do_all_their_videos(api: TestClient, world: World):
    ids = ",".join(channel.id for channel in world.channels)
    kids = {
        item["id"]
        for item in get(api, "channels", part="status", id=ids, maxResults=50)["items"]
        if item["status"]["madeForKids"]
    }
    assert 0 < len(kids) < len(world.channels)
    for item in items(api, world, "snippet,status", fields="items(snippet/channelId,status/madeForKids)"):
        assert item["status"]["madeForKids"] == (item["snippet"]["channelId"] in kids)


def test_a_search_honours_filters_that_only_videos_have(api: TestClient, world: World):
    def found(**filters: str) -> set[str]:
        body = get(api, "search", part="id", type="video", maxResults=50, **filters)
        return {item["id"]["videoId"] for item in body["items"]}

    assert all(0 < world.video(it).duration_seconds < 240 for it in found(videoDuration="short", order="date"))
    assert all(world.video(it).duration_seconds > 1200 for it in found(videoDuration="long"))
    assert {world.video(it).state for it in found(eventType="live")} == {"live"}
    assert all(traits.is_recorded_live(world.video(it)) for it in found(eventType="completed"))
    assert {world.video(it).channel.niche for it in found(videoCategoryId="25")} == {"news"}
    assert found(videoDimension="3d") == set()


def test_the_same_search_finds_the_same_unless_searches_vary(world: World):
    def ids(client: TestClient, **params: Any) -> list[str]:
        body = get(client, "search", part="id", type="video", q="tech", maxResults=50, **params)
        return [item["id"]["videoId"] for item in body["items"]]

    headers = {"X-Goog-Api-Key": "a key"}
    with TestClient(create_app(world), base_url=HOST, headers=headers) as client:
        assert ids(client) == ids(client)
    varying = create_app(world, Behaviour(search_varies=True, fault_seed=1))
    again = create_app(world, Behaviour(search_varies=True, fault_seed=1))
    with (
        TestClient(varying, base_url=HOST, headers=headers) as client,
        TestClient(again, base_url=HOST, headers=headers) as other,
    ):
        first, second = ids(client), ids(client)
        assert set(first) != set(second)
        assert set(first) & set(second)
        assert [ids(other), ids(other)] == [first, second]


def test_an_uploads_playlist_never_shows_more_than_its_cap(
    api: TestClient, world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(methods, "UPLOADS_LIMIT", 7)
    body = get(api, "playlistItems", part="id", playlistId=f"UU{world.channels[0].id[2:]}", maxResults=50)
    assert (len(body["items"]), body["pageInfo"]["totalResults"], "nextPageToken" in body) == (7, 7, False)


def test_a_playlist_row_can_be_asked_for_by_its_own_id_or_its_video(api: TestClient, world: World):
    playlist = f"UU{world.channels[0].id[2:]}"
    rows = get(api, "playlistItems", part="snippet", playlistId=playlist, maxResults=9)["items"]
    assert get(api, "playlistItems", part="snippet", id=rows[7]["id"])["items"] == [rows[7]]
    video = rows[4]["snippet"]["resourceId"]["videoId"]
    assert get(api, "playlistItems", part="snippet", playlistId=playlist, videoId=video)["items"] == [rows[4]]
    assert get(api, "playlistItems", part="id", id="nonsense")["items"] == []


def test_etags_stand_in_lists_items_and_headers_and_are_honoured(api: TestClient, world: World):
    path = f"/youtube/v3/videos?part=statistics&id={world.videos[0].id},{world.videos[1].id}"
    answer = api.get(path)
    body = answer.json()
    assert answer.headers["etag"] == f'"{body["etag"]}"'
    assert len({body["etag"], *(item["etag"] for item in body["items"])}) == 3
    unchanged = api.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert api.get(path, headers={"If-None-Match": '"another"'}).status_code == 200
    assert api.get(path.replace("statistics", "status")).headers["etag"] != answer.headers["etag"]


def test_a_search_has_another_etag_each_time(api: TestClient):
    path = "/youtube/v3/search?part=id&q=tech"
    first = api.get(path)
    second = api.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert second.status_code == 200
    assert second.headers["etag"] != first.headers["etag"]
    assert second.json()["items"] == first.json()["items"]


def test_large_answers_are_compressed_when_asked_and_small_ones_are_not(api: TestClient, world: World):
    ids = ",".join(video.id for video in world.videos[:30])
    with api.stream("GET", f"/youtube/v3/videos?part=snippet&id={ids}", headers={"Accept-Encoding": "gzip"}) as answer:
        packed = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    plain = api.get(f"/youtube/v3/videos?part=snippet&id={ids}", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert gzip.decompress(packed) == plain.content
    assert len(packed) < len(plain.content) / 3
    small = api.get("/youtube/v3/videos?part=id&id=x", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in small.headers
    assert json.loads(small.content)["items"] == []


def test_an_answer_of_fifty_videos_costs_a_few_milliseconds(world: World):
    listed = [video.id for video in world.videos if video.is_listed]
    query = {
        "part": ["snippet,statistics,contentDetails,status,liveStreamingDetails,player"],
        "fields": ["items(id,snippet(title,publishedAt,thumbnails,tags),statistics,contentDetails/duration)"],
        "maxHeight": ["360"],
    }
    simulation = Simulation(world, Clock(SETTINGS.as_of), Behaviour())
    answering = Endpoint(simulation, next(method for method in methods.METHODS if method.name == "videos.list"))
    costs: list[float] = []
    for start in range(0, 600, 50):
        began = time.process_time()
        body, _ = answering.contents(Query({**query, "id": [",".join(listed[start : start + 50])]}, HOST))
        costs.append(time.process_time() - began)
        assert body.count(b'"publishedAt"') == 50
    assert sorted(costs)[len(costs) // 2] < 0.008


def test_categories_languages_and_regions_are_tables(api: TestClient):
    both = get(api, "videoCategories", part="snippet", id="20,28")["items"]
    assert {item["id"]: item["snippet"]["title"] for item in both} == {"20": "Gaming", "28": "Science & Technology"}
    assert {"en", "de"} <= {item["snippet"]["hl"] for item in get(api, "i18nLanguages", part="snippet")["items"]}
    assert {"US", "IN"} <= {item["snippet"]["gl"] for item in get(api, "i18nRegions", part="snippet")["items"]}
