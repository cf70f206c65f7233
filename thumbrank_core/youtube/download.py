"""One picture on its way from its host into the store: bounded, judged by its content, asked for again where that may help.

What belongs here: requests and answers. Which pictures are wanted, and what is written down of them, is pictures.py.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, stop_when_event_set, wait_exponential_jitter
from tenacity.nap import sleep_using_event

from thumbrank_core.errors import TransientError
from thumbrank_core.store.images import ImageStore
from thumbrank_core.store.picture import MAX_BYTES, Picture, PictureError

ATTEMPTS = 3
TIMEOUT = httpx.Timeout(20.0, connect=10.0)
"""Seconds without a byte."""
_TRANSIENT_STATUSES = frozenset({408, 425, 429})
"""Beside everything from 500 on."""
_PASSING = frozenset({"timeout", "unreachable", "interrupted"})
"""What a TransientPictureError without an answer is called."""
_CUT_OFF = frozenset({"empty", "truncated"})
"""What a picture is found to be when its transfer ended early without anyone saying so."""


class TransientPictureError(PictureError, TransientError):
    """What may pass: a busy or a broken host, a lost connection, a picture cut off on its way."""


def may_pass(reason: str) -> bool:
    """Whether a miss of this reason was a TransientPictureError, so that another run may have the picture."""
    kind, _, status = reason.partition("http_")
    if not kind and status.isdecimal():
        return _is_transient(int(status))
    return reason in _PASSING | _CUT_OFF


@dataclass(frozen=True)
class Downloaded:
    """A picture that is in the store now, and when its host showed it."""

    picture: Picture
    seen_at: datetime


class Downloader:
    """Fetches pictures for several threads at once; connections are kept open between requests.

    Args:
        images: where pictures go.
        at_once: requests in flight.
        per_host: requests in flight to one host.
        clock: the time for answers that do not carry one.
        first_wait: seconds before the second attempt, doubled before the third; up to as much again is added by chance.
    """

    def __init__(
        self, images: ImageStore, *, at_once: int, per_host: int, clock: Callable[[], datetime], first_wait: float = 0.5
    ) -> None:
        self._images = images
        self._clock = clock
        self._per_host = per_host
        self._hosts: dict[str, threading.BoundedSemaphore] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._http = httpx.Client(
            timeout=TIMEOUT,
            limits=httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once),
            follow_redirects=False,
            headers={"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "thumbrank"},
        )
        self._retrying = Retrying(
            retry=retry_if_exception_type(TransientPictureError),
            stop=stop_after_attempt(ATTEMPTS) | stop_when_event_set(self._stopping),
            wait=wait_exponential_jitter(multiplier=first_wait, jitter=first_wait),
            sleep=sleep_using_event(self._stopping),
            reraise=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._http.close()

    def fetch(self, url: str) -> Downloaded:
        """Fetch one picture into the store.

        Raises:
            PictureError: it cannot be had; after several attempts where that was worth while.
            BlobError: the store cannot be written.
        """
        return self._retrying(self._attempt, url)

    def _attempt(self, url: str) -> Downloaded:
        data, seen_at = self._download(url)
        try:
            return Downloaded(self._images.put(data), seen_at)
        except PictureError as error:
            if error.reason in _CUT_OFF:
                raise TransientPictureError(error.reason, str(error)) from None
            raise

    def _download(self, url: str) -> tuple[bytes, datetime]:
        """The bytes, and the time by the host's clock: pictures and counts are dated by the same one."""
        try:
            address = httpx.URL(url)
            if address.scheme not in ("http", "https") or not address.host:
                raise PictureError("bad_url", "the picture's address is not http(s).")
            with self._place(address.netloc), self._http.stream("GET", address) as response:
                _check_status(response.status_code)
                return self._body(response), _time_of(response.headers) or self._clock()
        except httpx.InvalidURL:
            raise PictureError("bad_url", "the picture's address is not http(s).") from None
        except httpx.TimeoutException:
            raise TransientPictureError("timeout", "the picture host took too long.") from None
        except httpx.HTTPError as error:
            raise TransientPictureError(
                "unreachable", f"the picture host did not answer ({type(error).__name__})."
            ) from None

    def _body(self, response: httpx.Response) -> bytes:
        data = bytearray()
        for chunk in response.iter_bytes():
            data += chunk
            if len(data) > MAX_BYTES:
                raise PictureError("too_large", f"the picture is larger than {MAX_BYTES:,} bytes.")
            if self._stopping.is_set():
                raise TransientPictureError("interrupted", "the download was interrupted.")
        return bytes(data)

    def _place(self, netloc: bytes) -> threading.BoundedSemaphore:
        host = netloc.decode("ascii")
        with self._lock:
            return self._hosts.setdefault(host, threading.BoundedSemaphore(self._per_host))


def _check_status(status: int) -> None:
    """Only 200 is a picture: a missing size answers 404 with a grey picture as its body, and redirects lead elsewhere."""
    if status == 200:
        return
    kind = TransientPictureError if _is_transient(status) else PictureError
    raise kind(f"http_{status}", f"the picture host answered {status}.")


def _is_transient(status: int) -> bool:
    return status >= 500 or status in _TRANSIENT_STATUSES


def _time_of(headers: httpx.Headers) -> datetime | None:
    """When the answer left: its Date and, where a cache kept it since, its Age. None where it does not say."""
    try:
        sent = parsedate_to_datetime(headers["date"])
        kept = timedelta(seconds=max(int(headers.get("age", "0")), 0))
    except (KeyError, ValueError, OverflowError):
        return None
    return (sent if sent.tzinfo else sent.replace(tzinfo=UTC)).astimezone(UTC) + kept
