"""The three methods of the Reporting API v1 that are needed, and the one of the Data API that names the owner's channel.

What belongs here: requests and what their answers mean. Sending is transport.py, the rows of a report are reports.py.
"""

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from thumbrank_core.youtube.client import GOOGLE
from thumbrank_core.youtube.reach.errors import ReachError, ReportUnreadableError, reasons_of
from thumbrank_core.youtube.reach.oauth import Access
from thumbrank_core.youtube.reach.reports import Report
from thumbrank_core.youtube.reach.tokens import require_owner_id
from thumbrank_core.youtube.reach.transport import MAX_JSON_BYTES, MAX_REPORT_BYTES, Reply, Transport

REPORTING = "https://youtubereporting.googleapis.com"
REPORT_TYPE = "channel_reach_basic_a1"
JOB_NAME = "thumbrank reach"
MOST_PAGES = 1000
_DISABLED = {"SERVICE_DISABLED", "accessNotConfigured"}


@dataclass(frozen=True)
class ReportingJob:
    """YouTube's standing order to make a channel's reports. History begins 30 days before `created_at`."""

    job_id: str
    created_at: datetime


@dataclass(frozen=True)
class Channel:
    """Whose consent it is."""

    channel_id: str
    title: str


def own_channel(transport: Transport, token: SecretStr, endpoint: str | None) -> Channel:
    """The channel that a consent opens. One unit of the Data API's quota.

    Raises:
        ReachError: the account has no channel, or the Data API refuses.
    """
    reply = transport.send(
        "GET",
        f"{endpoint or GOOGLE}/youtube/v3/channels",
        params={"part": "snippet", "mine": "true", "fields": "items(id,snippet/title)"},
        headers=_bearer(token),
    )
    items = _object(_accepted(reply, "YouTube Data API v3")).get("items") or []
    if not items:
        raise ReachError(
            "not_given",
            "This Google account has no YouTube channel: run `thumbrank reach login` again and choose the channel's account.",
        )
    return Channel(require_owner_id(str(items[0]["id"])), str(items[0].get("snippet", {}).get("title", "")))


class ReportingApi:
    """One owner's reports. A refused access token is renewed once a request.

    Args:
        transport: sends.
        access: the owner's token.
        endpoint: another than Google's.
    """

    def __init__(self, transport: Transport, access: Access, endpoint: str | None = None) -> None:
        self._transport, self._access = transport, access
        self._base = (endpoint or REPORTING).rstrip("/")

    def ensure_job(self) -> ReportingJob:
        """The owner's job for reach reports; made where there is none, so that calling it again changes nothing."""
        job = self._find_job()
        if job is None:
            reply = self._ask("POST", f"{self._base}/v1/jobs", json={"reportTypeId": REPORT_TYPE, "name": JOB_NAME})
            # 409: somebody made it between our look and our wish.
            job = self._find_job() if reply.status == 409 else _job(_object(_accepted(reply, "YouTube Reporting API")))
        if job is None:
            raise ReachError(
                "listing", "YouTube says that the reporting job exists and does not list it: run again in a while."
            )
        return job

    def reports(self, job: ReportingJob, created_after: datetime | None) -> list[Report]:
        """The job's reports that still exist; only those made after a time, where one is given."""
        params = {} if created_after is None else {"createdAfter": _timestamp(created_after)}
        return [_report(entry) for entry in self._pages(f"/v1/jobs/{job.job_id}/reports", "reports", params)]

    def download(self, report: Report) -> bytes:
        """The unpacked CSV of a report.

        Raises:
            ReportUnreadableError: it expired since it was listed, or its address is not the API's.
        """
        here, there = urlsplit(self._base), urlsplit(report.url)
        if (there.scheme, there.netloc) != (here.scheme, here.netloc):  # the owner's token goes nowhere else
            raise ReportUnreadableError(
                "report_elsewhere", f"Report {report.report_id} lies at {there.netloc[:80]}, which is not the API."
            )
        reply = self._ask("GET", report.url, limit=MAX_REPORT_BYTES)
        if reply.status == 404:
            raise ReportUnreadableError(
                "report_gone", f"Report {report.report_id} of {report.first_day} is no longer there."
            )
        return _accepted(reply, "YouTube Reporting API")

    def _find_job(self) -> ReportingJob | None:
        found = [
            _job(entry) for entry in self._pages("/v1/jobs", "jobs", {}) if entry.get("reportTypeId") == REPORT_TYPE
        ]
        return min(found, key=lambda job: job.created_at) if found else None

    def _pages(self, path: str, field: str, params: Mapping[str, str]) -> Generator[dict[str, Any]]:
        """Every item of a list; an empty list leaves its field out."""
        token: str | None = None
        for _ in range(MOST_PAGES):
            asked = {**params, **({"pageToken": token} if token else {})}
            body = _object(_accepted(self._ask("GET", self._base + path, params=asked), "YouTube Reporting API"))
            yield from body.get(field) or []
            token = body.get("nextPageToken")
            if not token:
                return
        raise ReachError("listing", f"YouTube's list of {field} does not end: run again in a while.")

    def _ask(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Mapping[str, Any] | None = None,
        limit: int = MAX_JSON_BYTES,
    ) -> Reply:
        def send(token: SecretStr) -> Reply:
            return self._transport.send(method, url, headers=_bearer(token), params=params, json=json, limit=limit)

        reply = send(self._access.token)
        return send(self._access.renew()) if reply.status == 401 else reply


def _bearer(token: SecretStr) -> dict[str, str]:
    return {"Authorization": f"Bearer {token.get_secret_value()}"}


def _accepted(reply: Reply, service: str) -> bytes:
    """The body of a 200.

    Raises:
        ReachError: any other status, as one sentence.
    """
    if reply.status == 200:
        return reply.body
    words, text = reasons_of(reply.body)
    said = text or f"HTTP {reply.status}"
    if _DISABLED & words:
        raise ReachError(
            "api_disabled",
            f"{service} is not enabled: enable it in the Google Cloud project of THUMBRANK_OAUTH_CLIENT.",
        )
    if reply.status == 401:
        raise ReachError(
            "no_token", f"{service} refuses a fresh access token ({said}): run `thumbrank reach login` again."
        )
    if reply.status == 403:
        raise ReachError(
            "not_allowed", f"{service} does not let this owner read reports ({said}): log in as the channel's owner."
        )
    raise ReachError(
        "refused",
        f"{service} refuses the request ({said}): run again in a while, and report this sentence where it stays.",
    )


def _object(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise ReachError("answer", "Google's answer is broken: run again in a while.")
    return parsed


def _job(entry: dict[str, Any]) -> ReportingJob:
    try:
        return ReportingJob(str(entry["id"]), _time(entry["createTime"]))
    except (KeyError, ValueError, TypeError) as error:
        raise _unusable("job", error) from None


def _report(entry: dict[str, Any]) -> Report:
    try:
        return Report(
            report_id=str(entry["id"]),
            starts_at=_time(entry["startTime"]),
            ends_at=_time(entry["endTime"]),
            issued_at=_time(entry["createTime"]),
            url=str(entry["downloadUrl"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise _unusable("report", error) from None


def _unusable(kind: str, error: Exception) -> ReachError:
    return ReachError(
        "listing",
        f"YouTube lists a {kind} that cannot be used ({type(error).__name__}: {error}): run again in a while.",
    )


def _time(text: str) -> datetime:
    """RFC 3339 with up to nine digits of a second, of which six are kept."""
    return datetime.fromisoformat(text).astimezone(UTC)


def _timestamp(when: datetime) -> str:
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")
