"""One HTTP request at a time: bounded in size and attempts, never redirected, and no token in a URL.

What belongs here: sending and retrying. What an answer means is api.py (reports) and oauth.py (tokens). Plain httpx: the
generated client would log, redirect and unpack without a limit, and of its services three methods are needed here.
"""

import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from thumbrank_core.youtube.errors import RETRYABLE
from thumbrank_core.youtube.reach.errors import PassingReachError, ReachError, reasons_of

ATTEMPTS = 5
TIMEOUT = httpx.Timeout(60.0, connect=10.0)
"""Seconds without a byte."""
MAX_JSON_BYTES = 4 * 2**20
MAX_REPORT_BYTES = 128 * 2**20
"""Unpacked. A day of a channel with a million videos has about 80 MB; a body that says more is not read."""
_CHUNK = 64 * 1024
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True)
class Reply:
    """An answer that is not worth another attempt: its status and unpacked body. The repr shows no body."""

    status: int
    body: bytes

    def __repr__(self) -> str:
        return f"Reply({self.status}, {len(self.body):,} bytes)"


class Transport:
    """Sends with jittered backoff for what may pass.

    Args:
        attempts: how often such a request is sent at most.
        pause: waits so many seconds before the next attempt.
    """

    def __init__(self, *, attempts: int = ATTEMPTS, pause: Callable[[float], None] = time.sleep) -> None:
        self._http = httpx.Client(
            timeout=TIMEOUT, follow_redirects=False, headers={"Accept-Encoding": "gzip", "User-Agent": "thumbrank"}
        )
        self._retrying = Retrying(
            retry=retry_if_exception_type(PassingReachError),
            stop=stop_after_attempt(attempts),
            wait=wait_exponential_jitter(multiplier=0.5, jitter=0.5, max=30),
            sleep=pause,
            reraise=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        json: Mapping[str, Any] | None = None,
        limit: int = MAX_JSON_BYTES,
    ) -> Reply:
        """The answer, whatever its status.

        Raises:
            PassingReachError: after the last attempt, Google is still busy or cannot be reached.
            ReachError: the body is larger than `limit` bytes, or is not the gzip it says it is.
        """

        def attempt() -> Reply:
            try:
                with self._http.stream(method, url, headers=headers, params=params, data=form, json=json) as response:
                    reply = Reply(response.status_code, _unpacked(response, limit))
            except httpx.HTTPError as error:  # its text may carry the address; ours does not
                raise PassingReachError(
                    "unreachable",
                    f"Google cannot be reached ({type(error).__name__}): check the network and run again.",
                ) from None
            words, text = reasons_of(reply.body) if reply.status >= 400 else (frozenset[str](), "")
            if reply.status >= 500 or reply.status == 429 or (reply.status == 403 and RETRYABLE & words):
                raise PassingReachError(
                    "busy", f"Google is busy ({text or f'HTTP {reply.status}'}): run again in a while."
                )
            return reply

        return self._retrying(attempt)


def _unpacked(response: httpx.Response, limit: int) -> bytes:
    """The body, unpacked here and not by httpx: neither what arrives nor what it unpacks to may pass the limit."""
    packed = bytearray()
    for chunk in response.iter_raw(_CHUNK):
        packed += chunk
        if len(packed) > limit:
            raise _too_large(limit)
    coding = response.headers.get("content-encoding", "identity").strip().lower()
    # Reports may also be gzip files, with nothing in the headers that says so.
    if coding in ("gzip", "x-gzip") or (coding == "identity" and packed.startswith(_GZIP_MAGIC)):
        return _gunzip(bytes(packed), limit)
    if coding not in ("", "identity"):
        raise ReachError("answer", f"Google sent a body packed as {coding[:20]}, which was not asked for: run again.")
    return bytes(packed)


def _gunzip(packed: bytes, limit: int) -> bytes:
    body = bytearray()
    while True:  # a gzip file may hold several, one after the other
        unpacker = zlib.decompressobj(wbits=31)
        try:
            body += unpacker.decompress(packed, limit + 1 - len(body))
        except zlib.error:
            raise PassingReachError("answer", "Google's answer is broken: run again in a while.") from None
        if len(body) > limit:
            raise _too_large(limit)
        if not unpacker.eof:
            raise PassingReachError("answer", "Google's answer is cut off: run again in a while.")
        if not unpacker.unused_data:
            return bytes(body)
        packed = unpacker.unused_data


def _too_large(limit: int) -> ReachError:
    return ReachError(
        "answer",
        f"Google's answer is larger than {limit / 2**20:.0f} MiB and was not read: run again in a while, and report it where it stays.",
    )
