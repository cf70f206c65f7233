"""The simulated Reporting and Analytics APIs over real HTTP, as Google's own client and a plain one see them."""

import csv
import io
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import httplib2
import httpx
import pytest
import uvicorn
from google.oauth2.credentials import Credentials
from google_auth_httplib2 import AuthorizedHttp
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError
from googleapiclient.http import MediaIoBaseDownload
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from thumbrank_core.simulator.clock import Clock
from thumbrank_core.simulator.reporting import routes
from thumbrank_core.simulator.world import World, WorldSettings, build_world

SETTINGS = WorldSettings(seed=3, channels_per_niche=6, videos_per_channel=14)
BASIC = "channel_reach_basic_a1"


@dataclass
class Simulated:
    """One application of its own, so that a test may move its clock."""

    endpoint: str
    clock: Clock

    def google(self, channel_id: str, service: str = "youtubereporting", version: str = "v1"):
        return build(
            service,
            version,
            http=AuthorizedHttp(Credentials(token=f"owner-{channel_id}"), http=httplib2.Http(timeout=10)),
            static_discovery=True,
            cache_discovery=False,
            client_options={"api_endpoint": self.endpoint},
        )

    def plain(self, token: str | None) -> httpx.Client:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.endpoint, headers=headers, trust_env=False)


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(SETTINGS)


class Switch:
    """An application that hands everything to another, so that one server serves a fresh one to every test."""

    application: Starlette

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.application(scope, receive, send)


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, Switch]]:
    switch = Switch()
    listener = socket.create_server(("127.0.0.1", 0))
    running = uvicorn.Server(uvicorn.Config(switch, log_level="error", lifespan="off"))
    thread = threading.Thread(target=running.run, args=([listener],), daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not running.started and time.monotonic() < deadline:
        time.sleep(0.005)
    assert running.started
    yield f"http://127.0.0.1:{listener.getsockname()[1]}", switch
    running.should_exit = True
    thread.join(timeout=10)
    assert not thread.is_alive()


@pytest.fixture
def simulated(world: World, server: tuple[str, Switch]) -> Simulated:
    endpoint, switch = server
    clock = Clock(SETTINGS.as_of)
    switch.application = Starlette(routes=routes(world, clock))
    return Simulated(endpoint, clock)


@pytest.fixture(scope="module")
def channel(world: World) -> str:
    """A channel with a deleted or private video, so that its reports have a row without an id."""
    return next(video.channel.id for video in world.videos if not video.is_listed)


def every_report(google, job_id: str, page_size: int | None = None, **filters: str) -> list[dict]:
    found: list[dict] = []
    request = google.jobs().reports().list(jobId=job_id, pageSize=page_size, **filters)
    while request is not None:
        answer = request.execute()
        found += answer.get("reports", [])
        request = google.jobs().reports().list_next(request, answer)
    return found


def download(google, report: dict, chunk: int = 1024 * 1024) -> str:
    name = report["downloadUrl"].partition("/v1/media/")[2].removesuffix("?alt=media")
    buffer = io.BytesIO()
    downloader = MediaIoBaseDownload(buffer, google.media().download_media(resourceName=name), chunksize=chunk)
    for _ in range(1000):
        _, done = downloader.next_chunk()
        if done:
            return buffer.getvalue().decode()
    raise AssertionError("The download does not end.")


def refusal(answer: httpx.Response) -> tuple[int, str, str]:
    error = answer.json()["error"]
    assert error["code"] == answer.status_code
    return answer.status_code, error.get("status"), error["errors"][0]["reason"]


def test_googles_client_finds_the_type_makes_a_job_waits_two_days_and_downloads(simulated: Simulated, channel: str):
    google = simulated.google(channel)
    types = google.reportTypes().list().execute()["reportTypes"]
    assert BASIC in [kind["id"] for kind in types]
    job = google.jobs().create(body={"reportTypeId": BASIC, "name": "reach"}).execute()
    assert google.jobs().list().execute()["jobs"] == [job]
    assert google.jobs().get(jobId=job["id"]).execute() == job
    assert every_report(google, job["id"]) == []
    simulated.clock.advance(timedelta(hours=47, minutes=59))
    assert every_report(google, job["id"]) == []
    simulated.clock.advance(timedelta(minutes=1))

    found = every_report(google, job["id"])
    # At the world's beginning it is the afternoon of 31 July in California: that day and the 30 before it.
    starts = {each["startTime"] for each in found}
    assert (len(starts), min(starts), max(starts)) == (31, "2026-07-01T07:00:00Z", "2026-07-31T07:00:00Z")
    (report,) = [each for each in found if each["startTime"] == "2026-07-30T07:00:00Z"]
    assert google.jobs().reports().get(jobId=job["id"], reportId=report["id"]).execute() == report
    assert report["endTime"] == "2026-07-31T07:00:00Z"
    assert report["createTime"] == "2026-08-03T00:00:00Z"
    assert report["downloadUrl"].startswith(f"{simulated.endpoint}/v1/media/CHANNEL/{channel[2:]}/jobs/{job['id']}/")
    text = download(google, report)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {row["date"] for row in rows} == {"20260730"}
    assert "" in [row["video_id"] for row in rows]
    assert download(google, report, chunk=100) == text, "a file in pieces is the same file"


def test_the_newest_edition_of_a_reissued_day_has_other_numbers(simulated: Simulated, channel: str):
    google = simulated.google(channel)
    job = google.jobs().create(body={"reportTypeId": BASIC, "name": "reach"}).execute()
    simulated.clock.advance(timedelta(hours=48))
    first = every_report(google, job["id"])
    simulated.clock.advance(timedelta(days=3))
    later = every_report(google, job["id"], createdAfter=first[0]["createTime"])
    days = {report["startTime"]: report for report in first if report["startTime"] < "2026-07-31"}
    (again,) = [report for report in later if report["startTime"] in days]
    before = days[again["startTime"]]
    assert again["endTime"] == before["endTime"]
    assert again["createTime"] > before["createTime"]
    assert download(google, again) != download(google, before)


def test_reports_can_be_filtered_and_paged_without_loss(simulated: Simulated, channel: str):
    google = simulated.google(channel)
    job = google.jobs().create(body={"reportTypeId": BASIC, "name": "reach"}).execute()
    simulated.clock.advance(timedelta(days=10))
    everything = every_report(google, job["id"])
    assert every_report(google, job["id"], page_size=7) == everything
    ids = [report["id"] for report in everything]
    assert len(set(ids)) == len(ids) > 35
    start, end = "2026-07-10T07:00:00Z", "2026-07-13T07:00:00Z"
    chosen = every_report(google, job["id"], startTimeAtOrAfter=start, startTimeBefore=end)
    assert chosen == [report for report in everything if start <= report["startTime"] < end]
    assert {report["startTime"] for report in chosen} == {f"2026-07-{day}T07:00:00Z" for day in (10, 11, 12)}


def test_report_types_are_paged(simulated: Simulated, channel: str):
    google = simulated.google(channel)
    request, pages = google.reportTypes().list(pageSize=2), []
    while request is not None:
        answer = request.execute()
        pages.append([kind["id"] for kind in answer["reportTypes"]])
        request = google.reportTypes().list_next(request, answer)
    assert [len(page) for page in pages] == [2, 2, 2]
    assert {BASIC, "channel_reach_combined_a1", "channel_basic_a3"} <= {kind for page in pages for kind in page}


def test_a_second_job_of_a_type_is_a_conflict_for_its_owner_only(simulated: Simulated, world: World, channel: str):
    body = {"reportTypeId": BASIC, "name": "reach"}
    google = simulated.google(channel)
    google.jobs().create(body=body).execute()
    with pytest.raises(HttpError) as refused:
        google.jobs().create(body=body).execute()
    assert refused.value.status_code == 409
    with simulated.plain(f"owner-{channel}") as owner:
        assert refusal(owner.post("/v1/jobs", json=body)) == (409, "ALREADY_EXISTS", "alreadyExists")
        assert owner.post("/v1/jobs", json=body | {"reportTypeId": "channel_basic_a3"}).status_code == 200
    other = next(each.id for each in world.channels if each.id != channel)
    assert simulated.google(other).jobs().create(body=body).execute()["name"] == "reach"


def test_a_deleted_job_takes_its_reports_and_files_with_it(simulated: Simulated, channel: str):
    google = simulated.google(channel)
    job = google.jobs().create(body={"reportTypeId": BASIC, "name": "reach"}).execute()
    simulated.clock.advance(timedelta(hours=48))
    report = every_report(google, job["id"])[0]
    assert google.jobs().delete(jobId=job["id"]).execute() == {}
    assert google.jobs().list().execute() == {}
    with simulated.plain(f"owner-{channel}") as owner:
        for path in (f"/v1/jobs/{job['id']}", f"/v1/jobs/{job['id']}/reports", report["downloadUrl"]):
            assert refusal(owner.get(path)) == (404, "NOT_FOUND", "notFound")
        assert owner.delete(f"/v1/jobs/{job['id']}").status_code == 404
    again = google.jobs().create(body={"reportTypeId": BASIC, "name": "reach"}).execute()
    assert again["id"] != job["id"]


def test_an_expired_report_is_gone_from_the_list_and_cannot_be_downloaded(simulated: Simulated, channel: str):
    google = simulated.google(channel)
    job = google.jobs().create(body={"reportTypeId": BASIC, "name": "reach"}).execute()
    simulated.clock.advance(timedelta(hours=48))
    report = every_report(google, job["id"])[-1]
    assert download(google, report)
    simulated.clock.advance(timedelta(days=30))
    assert report["id"] not in [each["id"] for each in every_report(google, job["id"])]
    with simulated.plain(f"owner-{channel}") as owner:
        assert owner.get(report["downloadUrl"]).status_code == 404
        assert owner.get(f"/v1/jobs/{job['id']}/reports/{report['id']}").status_code == 404


def test_a_plain_download_may_be_whole_compressed_or_a_range(simulated: Simulated, channel: str):
    google = simulated.google(channel)
    job = google.jobs().create(body={"reportTypeId": "channel_reach_combined_a1", "name": "reach"}).execute()
    simulated.clock.advance(timedelta(hours=48))
    url = every_report(google, job["id"])[0]["downloadUrl"]
    with simulated.plain(f"owner-{channel}") as owner:
        whole = owner.get(url, headers={"Accept-Encoding": "identity"})
        packed = owner.get(url, headers={"Accept-Encoding": "gzip"})
        part = owner.get(url, headers={"Range": "bytes=0-9"})
        assert owner.get(url.removesuffix("?alt=media")).status_code == 400
    assert whole.headers["content-type"].startswith("text/csv")
    assert "content-encoding" not in whole.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < len(whole.content) / 2
    assert packed.text == whole.text
    assert (part.status_code, part.text) == (206, whole.text[:10])
    assert part.headers["content-range"] == f"bytes 0-9/{len(whole.content)}"
    assert whole.text.splitlines()[0] == (
        "date,channel_id,video_id,live_or_on_demand,subscribed_status,country_code,traffic_source_type,"
        "video_thumbnail_impressions,video_thumbnail_impressions_ctr"
    )


def test_every_path_wants_a_living_token(simulated: Simulated):
    paths = ["/v1/reportTypes", "/v1/jobs", "/v1/jobs/x", "/v1/jobs/x/reports", "/v1/jobs/x/reports/y"]
    with simulated.plain(None) as anyone:
        for path in [*paths, "/v1/media/CHANNEL/x/jobs/y/reports/z?alt=media", "/v2/reports"]:
            for headers in ({}, {"Authorization": "Bearer expired-owner-x"}, {"Authorization": "Bearer nobody"}):
                answer = anyone.get(path, headers=headers)
                assert refusal(answer) == (401, "UNAUTHENTICATED", "authError")
                assert answer.headers["www-authenticate"].startswith("Bearer")
            answer = anyone.get(path, headers={"Authorization": "Bearer owner-UCnobody"})
            assert refusal(answer) == (403, "PERMISSION_DENIED", "forbidden")


def test_one_owner_reaches_nothing_of_another(simulated: Simulated, world: World, channel: str):
    google = simulated.google(channel)
    job = google.jobs().create(body={"reportTypeId": BASIC, "name": "reach"}).execute()
    simulated.clock.advance(timedelta(hours=48))
    report = every_report(google, job["id"])[0]
    other = next(each.id for each in world.channels if each.id != channel)
    with simulated.plain(f"owner-{other}") as stranger:
        assert stranger.get("/v1/jobs").json() == {}
        assert stranger.get(f"/v1/jobs/{job['id']}/reports").status_code == 404
        assert stranger.delete(f"/v1/jobs/{job['id']}").status_code == 404
        assert stranger.get(report["downloadUrl"]).status_code == 403
        # Neither may the owner's channel be claimed for a file of somebody else's job.
        borrowed = report["downloadUrl"].replace(channel[2:], other[2:])
        assert stranger.get(borrowed).status_code == 404
    assert google.jobs().get(jobId=job["id"]).execute() == job


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"\xff\xfe\xfd",
        b"[]",
        b'{"name": "reach"}',
        b'{"reportTypeId": "channel_reach_basic_a1"}',
        b'{"reportTypeId": "channel_reach_basic_a9", "name": "reach"}',
        b'{"reportTypeId": ["channel_reach_basic_a1"], "name": "reach"}',
        b'{"reportTypeId": "channel_reach_basic_a1", "name": "' + b"x" * 101 + b'"}',
    ],
)
def test_a_job_that_cannot_be_read_is_refused(simulated: Simulated, channel: str, body: bytes):
    with simulated.plain(f"owner-{channel}") as owner:
        assert refusal(owner.post("/v1/jobs", content=body)) == (400, "INVALID_ARGUMENT", "badRequest")
        assert owner.get("/v1/jobs").json() == {}


def test_bad_pages_and_times_are_refused(simulated: Simulated, channel: str):
    with simulated.plain(f"owner-{channel}") as owner:
        job = owner.post("/v1/jobs", json={"reportTypeId": BASIC, "name": "reach"}).json()
        for name, value in (
            ("pageSize", "-1"),
            ("pageSize", "many"),
            ("pageSize", "9" * 20),
            ("pageToken", "CAAAAAAAA"),
            ("createdAfter", "yesterday"),
            ("createdAfter", "2026-08-01T00:00:00"),
        ):
            answer = owner.get(f"/v1/jobs/{job['id']}/reports", params={name: value})
            assert answer.status_code == 400, (name, value)
            assert answer.json()["error"]["code"] == 400


def test_analytics_answers_views_by_day_and_refuses_thumbnail_metrics(simulated: Simulated, channel: str):
    google = simulated.google(channel, "youtubeAnalytics", "v2")
    asked = {"ids": "channel==MINE", "startDate": "2026-07-20", "endDate": "2026-08-31", "dimensions": "day"}
    table = google.reports().query(**asked, metrics="views").execute()
    assert table["rows"][-1][0] == "2026-07-29"
    simulated.clock.advance(timedelta(days=2))
    assert google.reports().query(**asked, metrics="views").execute()["rows"][-1][0] == "2026-07-31"
    with pytest.raises(HttpError) as refused:
        google.reports().query(**asked, metrics="videoThumbnailImpressions").execute()
    assert (refused.value.status_code, refused.value.reason) == (400, "The query is not supported.")
    nothing = google.reports().query(**asked | {"startDate": "2026-08-30"}, metrics="views").execute()
    assert "rows" not in nothing
