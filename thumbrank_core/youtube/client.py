"""The Data API v3 through google-api-python-client: the key in a header, one connection per thread, errors in three types.

What belongs here: how a request is sent. What is asked is collect.py and stages/; what an answer means is records.py.
The client's own retries are off (it retries a spent search bucket), and so are httplib2's (it sends a request again without
telling anybody): every attempt passes the meter. The batch endpoint is never used: it ignores the endpoint we set.
"""

import http.client
import select
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, cast

import httplib2
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError
from googleapiclient.http import HttpRequest
from pydantic import SecretStr
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from thumbrank_core.youtube.errors import RetryableYouTubeError, classify
from thumbrank_core.youtube.quota import Bucket, Meter

MAX_IDS = 50
"""Ids per list request; 51 are refused with invalidFilters."""
TIMEOUT_SECONDS = 20
GOOGLE = "https://youtube.googleapis.com"
CHANNEL_PARTS = "snippet,statistics,contentDetails,status"
VIDEO_PARTS = "snippet,statistics,contentDetails,status,liveStreamingDetails,player"
UPLOAD_PARTS = "contentDetails"
# `fields` saves bytes, not units. nextPageToken has to be named, or paging ends after the first page.
SEARCH_FIELDS = "nextPageToken,items(id,snippet/channelId)"
UPLOAD_FIELDS = "nextPageToken,items/contentDetails(videoId,videoPublishedAt)"
VIDEO_FIELDS = (
    "items(id,snippet(channelId,title,publishedAt,thumbnails,liveBroadcastContent,categoryId,tags,defaultLanguage,"
    "defaultAudioLanguage),statistics(viewCount,likeCount,commentCount),contentDetails/duration,status/madeForKids,"
    "liveStreamingDetails,player(embedWidth,embedHeight))"
)
PLAYER_HEIGHT = 360
"""Asking for a player of some height makes the API say its width, and so whether a video is vertical."""


@dataclass(frozen=True)
class Answer:
    """A body and the server's time when it was sent."""

    body: dict[str, Any]
    at: datetime

    @property
    def items(self) -> list[dict[str, Any]]:
        """The resources; channels.list leaves the list out when it is empty."""
        return self.body.get("items") or []


class YouTube:
    """A thread-safe client. `calls` counts attempts: each one costs at least a unit, failed ones too.

    Args:
        key: the one API key.
        endpoint: another than Google's.
        attempts: how often a request that may pass later is sent.
        meter: has to agree before each attempt; without one nothing is counted but `calls`.
    """

    def __init__(
        self, key: SecretStr, endpoint: str | None = None, *, attempts: int = 5, meter: Meter | None = None
    ) -> None:
        self.calls = 0
        self.endpoint = endpoint
        self.meter = meter
        self._attempts = attempts
        self._clock: datetime | None = None
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        local = threading.local()

        def request(
            _http: httplib2.Http, *args: Any, headers: dict[str, str] | None = None, **kwargs: Any
        ) -> HttpRequest:
            if not hasattr(local, "http"):
                local.http = _OneAttemptHttp()  # not thread-safe, and no timeout by default
            return HttpRequest(
                local.http, *args, headers={**(headers or {}), "X-Goog-Api-Key": key.get_secret_value()}, **kwargs
            )

        service = cast(
            Any,
            build(
                "youtube",
                "v3",
                http=_OneAttemptHttp(),  # without it, build() asks for default credentials
                requestBuilder=cast(Any, request),
                static_discovery=True,
                cache_discovery=False,
                client_options={"api_endpoint": endpoint} if endpoint else None,
            ),
        )
        # Each call of service.videos() builds the resource's methods anew, which costs more than the request.
        self._search, self._channels, self._videos = service.search(), service.channels(), service.videos()
        self._playlist_items, self._trainability = service.playlistItems(), service.videoTrainability()

    @property
    def now(self) -> datetime:
        """The server's clock at its last answer; before the first, at the Date header of its front page.

        Counts are as old as the answer that carried them, so ages are measured by the clock that counted. The front page
        is no API method: it costs no unit and is asked without the key.
        """
        if self._clock is None:
            self.ask_the_time()
        return self._clock or datetime.now(UTC)

    def stop(self) -> None:
        """Let no attempt begin any more: waiting retries end with their error."""
        self._stopping.set()

    def search(self, **parameters: object) -> Answer:
        """search.list: one call of its own daily bucket a page; only ids of its answer are to be trusted."""
        return self._send(
            "search",
            lambda: self._search.list(part="snippet", maxResults=MAX_IDS, fields=SEARCH_FIELDS, **parameters),
        )

    def channels(self, ids: Iterable[str]) -> Answer:
        """channels.list for at most 50 ids; unknown ones are silently left out."""
        asked = ",".join(ids)
        return self._send("default", lambda: self._channels.list(part=CHANNEL_PARTS, id=asked, maxResults=MAX_IDS))

    def uploads(self, playlist: str, page_token: str | None) -> Answer:
        """One page of an uploads playlist, newest upload first."""
        parameters = {"pageToken": page_token} if page_token else {}
        return self._send(
            "default",
            lambda: self._playlist_items.list(
                part=UPLOAD_PARTS, playlistId=playlist, maxResults=MAX_IDS, fields=UPLOAD_FIELDS, **parameters
            ),
        )

    def videos(self, ids: Iterable[str]) -> Answer:
        """videos.list for at most 50 ids; deleted and private ones are silently left out."""
        asked = ",".join(ids)
        return self._send(
            "default",
            lambda: self._videos.list(part=VIDEO_PARTS, id=asked, fields=VIDEO_FIELDS, maxHeight=PLAYER_HEIGHT),
        )

    def statistics(self, ids: Iterable[str]) -> Answer:
        """videos.batchGetStats for at most 50 ids: counts only, from a bucket of its own."""
        asked = ",".join(ids)
        return self._send("stats_batch", lambda: self._videos.batchGetStats(part="id,statistics", id=asked))

    def statistics_by_list(self, ids: Iterable[str]) -> Answer:
        """The same counts from videos.list, where batchGetStats is not to be had; a unit of the common bucket."""
        asked = ",".join(ids)
        return self._send("default", lambda: self._videos.list(part="id,statistics", id=asked))

    def trainability(self, video_id: str) -> Answer:
        """videoTrainability.get: whom the creator lets train on this video. Its cost is not documented: one unit."""
        return self._send("default", lambda: self._trainability.get(id=video_id))

    def _send(self, bucket: Bucket, make: Callable[[], HttpRequest]) -> Answer:
        """Send with jittered backoff for what may pass.

        Raises:
            YouTubeError: the last answer's; its message carries no URL and no key.
            BudgetSpentError: the meter does not agree to an attempt.
        """
        request = make()
        seen: list[datetime] = []

        def read_clock(response: httplib2.Response) -> None:
            self._read_clock(response, seen)

        def pause(seconds: float) -> None:
            self._stopping.wait(seconds)

        request.add_response_callback(read_clock)
        retrying = Retrying(
            retry=retry_if_exception_type(RetryableYouTubeError),
            stop=lambda state: stop_after_attempt(self._attempts)(state) or self._stopping.is_set(),
            wait=wait_exponential_jitter(multiplier=0.5, jitter=0.5, max=30),
            sleep=pause,
            reraise=True,
        )
        body = retrying(self._attempt, request, bucket)
        return Answer(body, seen[-1] if seen else self.now)

    def _attempt(self, request: HttpRequest, bucket: Bucket) -> dict[str, Any]:
        if self.meter is not None:
            self.meter.attempt(bucket)
        with self._lock:
            self.calls += 1
        try:
            body = request.execute(num_retries=0)
        except HttpError as error:  # its text carries the URL; ours carries the API's own sentence
            raise classify(int(error.resp.status), error.content) from None
        except (OSError, http.client.HTTPException, httplib2.HttpLib2Error, ValueError) as error:
            raise RetryableYouTubeError(
                type(error).__name__,
                f"YouTube cannot be reached ({type(error).__name__}): check the network and run again.",
            ) from None
        if not isinstance(body, dict):  # the client hands out as text what it cannot read as JSON
            raise RetryableYouTubeError("unreadable", "YouTube's answer is broken or cut off: run again in a while.")
        return cast(dict[str, Any], body)

    def _read_clock(self, response: httplib2.Response, seen: list[datetime]) -> None:
        if "date" in response:
            seen.append(parsedate_to_datetime(str(response["date"])).astimezone(UTC))
            self._clock = seen[-1]

    def ask_the_time(self) -> datetime:
        """Read the server's clock anew: a client that has been idle knows only when it last heard anything."""
        try:
            response, _ = _OneAttemptHttp().request((self.endpoint or GOOGLE) + "/", "HEAD")
        except (OSError, http.client.HTTPException, httplib2.HttpLib2Error) as error:
            raise RetryableYouTubeError(
                type(error).__name__,
                f"YouTube cannot be reached ({type(error).__name__}): check the network and run again.",
            ) from None
        self._read_clock(response, [])
        return self._clock or datetime.now(UTC)


class _OneAttemptHttp(httplib2.Http):
    """httplib2 without its silent second attempt, which no ledger would see, and without redirects, which would carry the
    key to another host.
    """

    def __init__(self) -> None:
        super().__init__(timeout=TIMEOUT_SECONDS)
        self.follow_redirects = False

    def _conn_request(
        self, conn: http.client.HTTPConnection, request_uri: str, method: str, body: Any, headers: dict[str, str]
    ) -> tuple[httplib2.Response, bytes]:
        # A kept connection that the server has closed is readable; nothing has been sent on it, so opening another is
        # no second attempt.
        if conn.sock is not None and select.select([conn.sock], [], [], 0)[0]:
            conn.close()
        try:
            conn.request(method, request_uri, body, headers)
            raw = conn.getresponse()
            content = raw.read()
        except (OSError, http.client.HTTPException):
            conn.close()
            raise
        response = httplib2.Response(raw)
        unpack = cast(Any, httplib2)._decompressContent  # pyright: ignore[reportPrivateUsage]
        return response, unpack(response, content, cast(Any, self).limit_kwargs)
