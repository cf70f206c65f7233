"""The simulated YouTube Reporting API v1, and what matters of the Analytics API v2, under the simulator's clock.

Only HTTP is here. Identity and refusals lie in `reporting_access`, jobs and their reports in `reporting_jobs`, the
numbers in `reporting_reach`, the Analytics query in `reporting_analytics`, ranges and compression in `reporting_media`.
Jobs are kept in memory and end with the application; all else follows from the world and the clock.
"""

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from thumbrank_core.simulator.api_errors import ApiError, Json
from thumbrank_core.simulator.channels import Channel
from thumbrank_core.simulator.clock import Clock
from thumbrank_core.simulator.oauth_grants import Grants
from thumbrank_core.simulator.reporting_access import (
    already_exists,
    forbidden,
    invalid_argument,
    not_found,
    owner_of,
)
from thumbrank_core.simulator.reporting_analytics import views_by_day
from thumbrank_core.simulator.reporting_jobs import REPORT_TYPES, Job, JobStore, Report, reports
from thumbrank_core.simulator.reporting_media import media_answer
from thumbrank_core.simulator.reporting_reach import reach_csv
from thumbrank_core.simulator.requests import MAX_RESULTS, Query, page
from thumbrank_core.simulator.world import World

LONGEST_NAME = 100
"""Characters of a job's name."""

_MEDIA_NAME = re.compile(r"CHANNEL/(?P<channel>[^/]+)/jobs/(?P<job>[^/]+)/reports/(?P<report>[^/]+)")


@dataclass(frozen=True)
class _Call:
    """One authenticated request, read to its end."""

    owner: Channel
    query: Query
    request: Request
    body: bytes

    def named(self, name: str) -> str:
        """A parameter of the path."""
        return str(self.request.path_params[name])


def routes(world: World, clock: Clock, grants: Grants | None = None) -> list[BaseRoute]:
    """The routes of both APIs, with a job store of their own. Without `grants` no issued token opens anything."""
    service = _Service(world, clock, JobStore())

    def answering(handle: Callable[[_Call], Response]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                owner = owner_of(world, request.headers.get("authorization"), grants)
                values = parse_qs(request.url.query, keep_blank_values=True)
                query = Query(values, host=str(request.base_url).rstrip("/"))
                return handle(_Call(owner, query, request, await request.body()))
            except ApiError as error:
                challenge = {"WWW-Authenticate": 'Bearer realm="https://accounts.google.com/"'}
                return _json(error.body(), error.code, challenge if error.code == 401 else None)

        return answer

    return [
        Route("/v1/reportTypes", answering(service.list_report_types), methods=["GET"]),
        Route("/v1/jobs", answering(service.list_jobs), methods=["GET"]),
        Route("/v1/jobs", answering(service.create_job), methods=["POST"]),
        Route("/v1/jobs/{job}", answering(service.get_job), methods=["GET"]),
        Route("/v1/jobs/{job}", answering(service.delete_job), methods=["DELETE"]),
        Route("/v1/jobs/{job}/reports", answering(service.list_reports), methods=["GET"]),
        Route("/v1/jobs/{job}/reports/{report}", answering(service.get_report), methods=["GET"]),
        Route("/v1/media/{name:path}", answering(service.download), methods=["GET"]),
        Route("/v2/reports", answering(service.query_analytics), methods=["GET"]),
    ]


@dataclass(frozen=True)
class _Service:
    """The methods of both APIs; each raises ApiError where it refuses."""

    world: World
    clock: Clock
    jobs: JobStore

    def list_report_types(self, call: _Call) -> Response:
        types: list[Json] = [{"id": identity, "name": name} for identity, name in REPORT_TYPES.items()]
        return _list_answer(call, "reportTypes", types, "reportTypes")

    def list_jobs(self, call: _Call) -> Response:
        jobs = [_job_resource(job) for job in self.jobs.of(call.owner.id)]
        return _list_answer(call, "jobs", jobs, f"jobs/{call.owner.id}")

    def create_job(self, call: _Call) -> Response:
        report_type, name = _new_job(call.body)
        job = self.jobs.add(call.owner.id, report_type, name, self.clock.now)
        if job is None:
            raise already_exists()
        return _json(_job_resource(job))

    def get_job(self, call: _Call) -> Response:
        return _json(_job_resource(self._job(call, call.named("job"))))

    def delete_job(self, call: _Call) -> Response:
        self.jobs.remove(self._job(call, call.named("job")))
        return _json({})

    def list_reports(self, call: _Call) -> Response:
        job = self._job(call, call.named("job"))
        created_after = call.query.time("createdAfter")
        start_from, start_before = call.query.time("startTimeAtOrAfter"), call.query.time("startTimeBefore")
        found = [
            _report_resource(call, job, report)
            for report in reports(job, self.clock.now)
            if (created_after is None or report.created_at > created_after)
            and (start_from is None or report.start >= start_from)
            and (start_before is None or report.start < start_before)
        ]
        return _list_answer(call, "reports", found, f"{job.id}/{created_after}/{start_from}/{start_before}")

    def get_report(self, call: _Call) -> Response:
        job = self._job(call, call.named("job"))
        return _json(_report_resource(call, job, self._report(job, call.named("report"))))

    def download(self, call: _Call) -> Response:
        named = _MEDIA_NAME.fullmatch(call.named("name"))
        if named is None:
            raise not_found()
        if "UC" + named["channel"] != call.owner.id:
            raise forbidden()
        job = self._job(call, named["job"])
        report = self._report(job, named["report"])
        if call.query.get("alt") != "media":
            # What the real service answers is not known; whoever forgets it should learn so.
            raise invalid_argument("Download is supported on the URI /v1/media/{+name}?alt=media.")
        text = reach_csv(self.world, job.report_type, job.channel_id, report.day, preliminary=report.is_preliminary)
        headers = call.request.headers
        return media_answer(
            text.encode(),
            range_header=headers.get("range"),
            accept_encoding=headers.get("accept-encoding", ""),
            media_type="text/csv",
        )

    def query_analytics(self, call: _Call) -> Response:
        return _json(views_by_day(self.world, call.owner, call.query, self.clock.now))

    def _job(self, call: _Call, job_id: str) -> Job:
        job = self.jobs.find(call.owner.id, job_id)
        if job is None:
            raise not_found()
        return job

    def _report(self, job: Job, report_id: str) -> Report:
        for report in reports(job, self.clock.now):
            if report.id == report_id:
                return report
        raise not_found()


def _new_job(body: bytes) -> tuple[str, str]:
    """Report type and name from the body of jobs.create."""
    try:
        asked = json.loads(body)
    except ValueError as error:
        raise invalid_argument("Invalid JSON payload received.") from error
    report_type, name = (
        (asked.get(key) for key in ("reportTypeId", "name")) if isinstance(asked, dict) else (None, None)
    )
    if not isinstance(report_type, str) or report_type not in REPORT_TYPES:
        raise invalid_argument("The job's reportTypeId is missing or names no report type.")
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        raise invalid_argument(f"The job's name is missing or longer than {LONGEST_NAME} characters.")
    return report_type, name


def _job_resource(job: Job) -> Json:
    return {
        "id": job.id,
        "reportTypeId": job.report_type,
        "name": job.name,
        "createTime": _timestamp(job.created_at),
    }


def _report_resource(call: _Call, job: Job, report: Report) -> Json:
    # The real media name also holds the channel id without its "UC".
    name = f"CHANNEL/{job.channel_id[2:]}/jobs/{job.id}/reports/{report.id}"
    return {
        "id": report.id,
        "jobId": job.id,
        "startTime": _timestamp(report.start),
        "endTime": _timestamp(report.end),
        "createTime": _timestamp(report.created_at),
        "downloadUrl": f"{call.query.host}/v1/media/{name}?alt=media",
    }


def _list_answer(call: _Call, field: str, items: Sequence[Json], of: str) -> Response:
    """One page of a list. Like every empty field of these APIs, an empty list is left out."""
    text = call.query.get("pageSize") or "0"
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise invalid_argument(f"Invalid value for page_size: '{text}'.")
    # 0 leaves the size to the server, and "server may return fewer than requested".
    size = min(int(text) or MAX_RESULTS, MAX_RESULTS)
    token = call.query.get("pageToken")
    asked = {"maxResults": [str(size)], "pageToken": [token] if token else []}
    chosen = page(Query(asked, call.query.host), items, of)
    body: Json = {field: list(chosen.items)} if chosen.items else {}
    if chosen.next_token is not None:
        body["nextPageToken"] = chosen.next_token
    return _json(body)


def _timestamp(when: datetime) -> str:
    """RFC 3339 in UTC, with microseconds where there are any: a reader sends it back as `createdAfter`."""
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _json(body: Json, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(body, status, headers, media_type="application/json; charset=UTF-8")
