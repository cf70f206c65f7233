"""The Data API v3 through google-api-python-client: the key in a header, one connection per thread, errors in three types.

What belongs here: how a request is sent. What is asked is collect.py; what an answer means is records.py.
"""

import threading
from collections.abc import Iterable
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

MAX_IDS = 50
"""Ids per list request; 51 are refused with invalidFilters."""
TIMEOUT_SECONDS = 20.0
CHANNEL_PARTS = "snippet,statistics,contentDetails,status"
VIDEO_PARTS = "snippet,statistics,contentDetails,status"
UPLOAD_PARTS = "contentDetails,status"

Answer = dict[str, Any]


class YouTube:
    """A thread-safe client. `calls` counts attempts: each one costs at least a unit, failed ones too."""

    def __init__(self, key: SecretStr, endpoint: str | None = None, *, attempts: int = 5) -> None:
        self.calls = 0
        self.endpoint = endpoint
        self._attempts = attempts
        self._clock: datetime | None = None
        self._lock = threading.Lock()
        local = threading.local()

        def request(
            _http: httplib2.Http, *args: Any, headers: dict[str, str] | None = None, **kwargs: Any
        ) -> HttpRequest:
            if not hasattr(local, "http"):
                local.http = httplib2.Http(timeout=int(TIMEOUT_SECONDS))  # not thread-safe, and no timeout by default
            return HttpRequest(
                local.http, *args, headers={**(headers or {}), "X-Goog-Api-Key": key.get_secret_value()}, **kwargs
            )

        self._service = cast(
            Any,
            build(
                "youtube",
                "v3",
                http=httplib2.Http(timeout=int(TIMEOUT_SECONDS)),  # without it, build() asks for default credentials
                requestBuilder=cast(Any, request),
                static_discovery=True,
                cache_discovery=False,
                client_options={"api_endpoint": endpoint} if endpoint else None,
            ),
        )

    @property
    def now(self) -> datetime:
        """The server's clock at its last answer (this machine's before the first).

        Counts are as old as the answer that carried them, so ages are measured by the clock that counted.
        """
        return self._clock or datetime.now(UTC)

    def search(self, **parameters: object) -> Answer:
        """search.list: one call of its own daily bucket a page; only ids of its answer are to be trusted."""
        return self._send(self._service.search().list(part="snippet", maxResults=MAX_IDS, **parameters))

    def channels(self, ids: Iterable[str]) -> Answer:
        """channels.list for at most 50 ids; unknown ones are silently left out."""
        return self._send(self._service.channels().list(part=CHANNEL_PARTS, id=",".join(ids), maxResults=MAX_IDS))

    def uploads(self, playlist: str, page_token: str | None) -> Answer:
        """One page of an uploads playlist, newest upload first."""
        parameters = {"pageToken": page_token} if page_token else {}
        return self._send(
            self._service.playlistItems().list(part=UPLOAD_PARTS, playlistId=playlist, maxResults=MAX_IDS, **parameters)
        )

    def videos(self, ids: Iterable[str]) -> Answer:
        """videos.list for at most 50 ids; deleted and private ones are silently left out."""
        return self._send(self._service.videos().list(part=VIDEO_PARTS, id=",".join(ids)))

    def _send(self, request: HttpRequest) -> Answer:
        """Send with jittered backoff for what may pass.

        Raises:
            YouTubeError: the last answer's; its message carries no URL and no key.
        """
        request.add_response_callback(self._read_clock)
        retrying = Retrying(
            retry=retry_if_exception_type(RetryableYouTubeError),
            stop=stop_after_attempt(self._attempts),
            wait=wait_exponential_jitter(multiplier=0.5, max=30),
            reraise=True,
        )
        return retrying(self._attempt, request)

    def _attempt(self, request: HttpRequest) -> Answer:
        with self._lock:
            self.calls += 1
        try:
            return cast(Answer, request.execute(num_retries=0))
        except HttpError as error:  # its text carries the URL; ours carries the API's own sentence
            raise classify(int(error.resp.status), error.content) from None
        except (OSError, httplib2.HttpLib2Error, ValueError) as error:
            raise RetryableYouTubeError(
                type(error).__name__,
                f"YouTube cannot be reached ({type(error).__name__}): check the network and run again.",
            ) from None

    def _read_clock(self, response: httplib2.Response) -> None:
        if "date" in response:
            self._clock = parsedate_to_datetime(str(response["date"])).astimezone(UTC)
