"""Handing out a file as Google's media service does: whole, compressed, or a range of it. Knows nothing of reports."""

import gzip
import re

from starlette.responses import Response

# 18 digits hold every size there is, and int() refuses thousands of them.
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def media_answer(body: bytes, *, range_header: str | None, accept_encoding: str, media_type: str) -> Response:
    """The answer to a download of `body`.

    A range is of the plain bytes and is sent plain (206, or 416 beyond the end); a whole file is compressed for whoever
    accepts gzip. A Range header that is malformed or names several ranges is ignored, as HTTP wants it.
    """
    asked = _RANGE.fullmatch(range_header.strip()) if range_header else None
    bounds = None if asked is None else _bounds(asked[1], asked[2], len(body))
    headers = {"Accept-Ranges": "bytes", "Vary": "Accept-Encoding"}
    if bounds is not None:
        first, last = bounds
        if first >= len(body):
            return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{len(body)}"})
        headers["Content-Range"] = f"bytes {first}-{last}/{len(body)}"
        return Response(body[first : last + 1], 206, headers, media_type)
    if "gzip" in (coding.partition(";")[0].strip().lower() for coding in accept_encoding.split(",")):
        return Response(gzip.compress(body, mtime=0), 200, {**headers, "Content-Encoding": "gzip"}, media_type)
    return Response(body, 200, headers, media_type)


def _bounds(first: str, last: str, size: int) -> tuple[int, int] | None:
    """First and last byte of a range, the last one clamped to the file; None where there is no such range."""
    if first:
        start, end = int(first), min(int(last), size - 1) if last else size - 1
        return None if last and int(last) < start else (start, end)
    return (max(0, size - int(last)), size - 1) if last else None
