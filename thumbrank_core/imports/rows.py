"""What one row of a team's data set says: checked, typed, or refused with a reason to count by."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from thumbrank_core.store.catalog import ChannelSeen, VideoSeen
from thumbrank_core.youtube.records import seconds_of, time_of

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What YouTube's ids are made of. Ids name files, so nothing else is let through."""


class RowError(Exception):
    """A row that cannot be used: `reason` to count by, `detail` for a person."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True)
class Parsed:
    """A row as the records the API's rows become."""

    channel: ChannelSeen
    video: VideoSeen


def parse(values: Mapping[str, Any], observed_at: datetime | None) -> Parsed:
    """Read a row whose keys are our column names.

    Args:
        values: our column -> their value; text or typed, empty counts as missing.
        observed_at: when the counts were seen, for rows that do not say.

    Raises:
        RowError: something needed is missing or malformed.
    """
    row = {name: _clean(value) for name, value in values.items()}
    video_id = _identifier(row, "video_id")
    absent = [name for name in ("channel_id", "title", "published_at") if row.get(name) is None]
    if absent and row.get("view_count") is None:
        raise RowError("no_views", f"it has no view count, and no {', '.join(absent)} either")
    if absent:
        raise RowError(f"no_{absent[0]}", f"it has no {', '.join(absent)}")
    seen_at = _time(row, "observed_at") or observed_at
    if seen_at is None:
        raise RowError("no_observed_at", "it does not say when its counts were seen")
    published_at = _time(row, "published_at")
    assert published_at is not None, "its absence was refused above"
    title = _text(row["title"])
    channel_id = _identifier(row, "channel_id")
    channel = ChannelSeen(
        channel_id=channel_id,
        title=None if row.get("channel_title") is None else _text(row["channel_title"]),
        source="import",
        fetched_at=seen_at,
        subscriber_count=_count(row, "subscriber_count"),
    )
    video = VideoSeen(
        video_id=video_id,
        channel_id=channel_id,
        title=title,
        published_at=published_at,
        source="import",
        seen_at=seen_at,
        duration_seconds=_duration(row),
        category_id=_category(row.get("category_id")),
        language=None if row.get("language") is None else _text(row["language"]),
        view_count=_count(row, "view_count"),
        like_count=_count(row, "like_count"),
        comment_count=_count(row, "comment_count"),
    )
    return Parsed(channel, video)


def _clean(value: Any) -> Any:
    """Empty text and NaN are missing; titles such as 'NA' or 'null' are ordinary text."""
    if isinstance(value, str):
        return value if value.strip() else None
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def _text(value: Any) -> str:
    text = str(value)
    if "\x00" in text:
        raise RowError("bad_text", "its text holds a NUL character")
    return text


def _identifier(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if value is None:
        raise RowError(f"no_{name}", f"it has no {name}")
    text = str(value).strip()
    if not _ID.fullmatch(text):
        raise RowError(f"bad_{name}", f"its {name} {text[:40]!r} is not an id of letters, figures, '-' and '_'")
    return text


def _time(row: Mapping[str, Any], name: str) -> datetime | None:
    value = row.get(name)
    if value is None:
        return None
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    try:
        return time_of(str(value).strip())
    except ValueError:
        raise RowError(f"bad_{name}", f"its {name} {str(value)[:40]!r} is not an ISO 8601 time") from None


def _count(row: Mapping[str, Any], name: str) -> int | None:
    """A whole number of 0 or more; '3055.0' is what a data frame makes of 3055."""
    value = row.get(name)
    if value is None:
        return None
    try:
        number = float(str(value).strip())
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number < 0 or number != int(number) or number >= 2**63:
        raise RowError(f"bad_{name}", f"its {name} {str(value)[:40]!r} is not a count")
    return int(str(value).strip()) if str(value).strip().isdigit() else int(number)


def _duration(row: Mapping[str, Any]) -> int | None:
    value = row.get("duration")
    if value is None:
        return None
    text = str(value).strip()
    try:
        return seconds_of(text) if text.startswith("P") else int(float(text)) or None
    except (ValueError, OverflowError):
        raise RowError("bad_duration", f"its duration {text[:40]!r} is neither ISO 8601 nor seconds") from None


def _category(value: Any) -> str | None:
    """'20.0' is what a data frame makes of category 20."""
    return None if value is None else str(value).strip().removesuffix(".0")
