"""What can go wrong with the Data API, in three types, parsed from the body and not from the status alone."""

import json
import re
from typing import Any

from thumbrank_core.errors import ThumbrankError


class YouTubeError(ThumbrankError):
    """An answer of the API that is an error. `reason` is the API's own word for it."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class FatalYouTubeError(YouTubeError):
    """Going on makes no sense: a wrong key, a disabled API, a bug of ours, a spent quota."""


class RetryableYouTubeError(YouTubeError):
    """The same request may succeed in a while."""


class SkippableYouTubeError(YouTubeError):
    """This channel, playlist or video cannot be had; the others can."""


RETRYABLE = {
    "backendError",
    "internalError",
    "notReady",
    "userRateLimitExceeded",
    "servingLimitExceeded",
    "rateLimitExceeded",
}
SKIPPABLE = {
    "playlistNotFound",
    "playlistItemsNotAccessible",
    "videoNotFound",
    "channelNotFound",
    "channelClosed",
    "channelSuspended",
    "forbidden",
    "notFound",
}
KEY_TROUBLE = {
    "API_KEY_INVALID",
    "keyInvalid",
    "keyExpired",
    "API_KEY_SERVICE_BLOCKED",
    "SERVICE_DISABLED",
    "accessNotConfigured",
}


def classify(status: int, body: bytes) -> YouTubeError:
    """Turn an error answer into the type that says what to do next. HTML and broken bodies count by their status."""
    error = _envelope(body)
    reasons = _reasons(error)
    text = re.sub(r"<[^>]+>", "", str(error.get("message", "")))[:200] or f"HTTP {status} without a readable body"
    reason = reasons[0] if reasons else f"http{status}"
    if KEY_TROUBLE & set(reasons):
        return FatalYouTubeError(
            reason, f"YouTube refuses the API key ({text}): check YOUTUBE_API_KEY and its project."
        )
    if reason in {"quotaExceeded", "dailyLimitExceeded"} or (status == 429 and "per day" in text):
        return FatalYouTubeError(
            reason, f"YouTube's daily quota is spent ({text}): run again after midnight, Pacific time."
        )
    if status >= 500 or status == 429 or reason in RETRYABLE:
        return RetryableYouTubeError(reason, f"YouTube is busy ({text}): run again in a while.")
    if reason in SKIPPABLE:
        return SkippableYouTubeError(reason, f"YouTube does not give this item ({text}).")
    return FatalYouTubeError(reason, f"YouTube refuses the request ({text}).")


def _envelope(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}
    error = parsed.get("error", {}) if isinstance(parsed, dict) else {}
    return error if isinstance(error, dict) else {"message": str(error)}


def _reasons(error: dict[str, Any]) -> list[str]:
    """`errors[].reason` first (the specific word), then `details[].reason`; the client library hides the former."""
    entries = [*(error.get("errors") or []), *(error.get("details") or [])]
    return [str(entry["reason"]) for entry in entries if isinstance(entry, dict) and entry.get("reason")]
