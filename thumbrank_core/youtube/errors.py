"""What can go wrong with the Data API, in three types, parsed from the body and not from the status alone."""

import json
import re
from typing import Any

from thumbrank_core.errors import ThumbrankError, TransientError


class YouTubeError(ThumbrankError):
    """An answer of the API that is an error. `reason` is the API's own word for it."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class FatalYouTubeError(YouTubeError):
    """Going on makes no sense: a wrong key, a disabled API, a bug of ours."""


class KeyRefusedError(FatalYouTubeError):
    """The key, or its project, may not ask anything."""


class QuotaSpentError(FatalYouTubeError):
    """YouTube says that the bucket is spent until midnight Pacific. Retrying would only waste time."""


class RetryableYouTubeError(YouTubeError, TransientError):
    """The same request may succeed in a while."""


class SkippableYouTubeError(YouTubeError):
    """This channel, playlist or video cannot be had; the others can."""


class PageTokenRefusedError(SkippableYouTubeError):
    """The list has to be read from its first page again."""


SPENT = {"quotaExceeded", "dailyLimitExceeded", "dailyLimitExceededUnreg"}
RETRYABLE = {
    "backendError",
    "internalError",
    "notReady",
    "userRateLimitExceeded",
    "servingLimitExceeded",
    "rateLimitExceeded",
    "processingFailure",
}
SKIPPABLE = {
    "playlistNotFound",
    "playlistItemsNotAccessible",
    "videoNotFound",
    "channelNotFound",
    "channelClosed",
    "channelSuspended",
    "notFound",
}
KEY_TROUBLE = {
    "API_KEY_INVALID",
    "API_KEY_SERVICE_BLOCKED",
    "API_KEY_HTTP_REFERRER_BLOCKED",
    "API_KEY_IP_ADDRESS_BLOCKED",
    "SERVICE_DISABLED",
    "accessNotConfigured",
    "keyExpired",
    "keyInvalid",
    "ipRefererBlocked",
}


def classify(status: int, body: bytes) -> YouTubeError:
    """Turn an error answer into the type that says what to do next. HTML and broken bodies count by their status."""
    error = _envelope(body)
    entries = _entries(error)
    reasons = [str(entry["reason"]) for entry in entries if entry.get("reason")]
    text = re.sub(r"<[^>]+>", "", str(error.get("message", "")))[:200] or f"HTTP {status} without a readable body"
    reason = reasons[0] if reasons else f"http{status}"
    if KEY_TROUBLE & set(reasons) or status == 401:
        return KeyRefusedError(reason, f"YouTube refuses the API key ({text}): check YOUTUBE_API_KEY and its project.")
    # Only the words "per day" tell a spent search bucket from a throttle: both are 429 rateLimitExceeded.
    if reason in SPENT or (status == 429 and "per day" in text):
        return QuotaSpentError(
            reason, f"YouTube's daily quota is spent ({text}): run again after midnight, Pacific time."
        )
    if reason == "invalidPageToken":
        return PageTokenRefusedError(reason, f"YouTube refuses the page ({text}).")
    if reason in SKIPPABLE:
        return SkippableYouTubeError(reason, f"YouTube does not give this item ({text}).")
    if status >= 500 or status == 429 or reason in RETRYABLE:
        return RetryableYouTubeError(reason, f"YouTube is busy ({text}): run again in a while.")
    # `forbidden` of a resource's own domain is about that resource; of the global one it is about the caller.
    if reason == "forbidden" and any(str(entry.get("domain", "")).startswith("youtube.") for entry in entries):
        return SkippableYouTubeError(reason, f"YouTube does not give this item ({text}).")
    if status == 403 and reason == "forbidden":
        return KeyRefusedError(reason, f"YouTube refuses the caller ({text}): check YOUTUBE_API_KEY and its project.")
    return FatalYouTubeError(
        reason,
        f"YouTube refuses the request ({text}): correct what config/niches.yaml asks for, or, where that is right, report this sentence.",
    )


def _envelope(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}
    error = parsed.get("error", {}) if isinstance(parsed, dict) else {}
    return error if isinstance(error, dict) else {"message": str(error)}


def _entries(error: dict[str, Any]) -> list[dict[str, Any]]:
    """`errors[]` first (the specific words), then `details[]`; the client library hides the former."""
    entries = [*(error.get("errors") or []), *(error.get("details") or [])]
    return [entry for entry in entries if isinstance(entry, dict)]
