"""The columns of a team's own data set: ours, what else they are called, and what a row must have.

The Data API's own names are understood without a map, flat (`videoId`) or nested as the API nests them
(`snippet.channelId`, `statistics.viewCount`); a map given by hand goes before both.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from thumbrank_core.errors import ThumbrankError


class ColumnError(ThumbrankError):
    """A column that is needed and not there, or a map that names what does not exist."""


@dataclass(frozen=True)
class ColumnSpec:
    """One of our columns. `also` lists other names, best first; `says` is its documentation."""

    name: str
    required: bool
    also: tuple[str, ...]
    says: str


COLUMNS: tuple[ColumnSpec, ...] = (
    ColumnSpec(
        "video_id", True, ("videoId", "id", "id.videoId"), "YouTube's video id; also the name of its picture file."
    ),
    ColumnSpec("channel_id", True, ("channelId", "snippet.channelId"), "YouTube's channel id."),
    ColumnSpec("title", True, ("videoTitle", "snippet.title"), "The title as shown."),
    ColumnSpec(
        "published_at",
        True,
        ("publishedAt", "snippet.publishedAt", "publishTime", "date"),
        "ISO 8601; UTC without a zone.",
    ),
    ColumnSpec(
        "view_count", True, ("viewCount", "views", "statistics.viewCount"), "Views when observed; may be empty."
    ),
    ColumnSpec("like_count", False, ("likeCount", "likes", "statistics.likeCount"), "Likes when observed."),
    ColumnSpec(
        "comment_count", False, ("commentCount", "comments", "statistics.commentCount"), "Comments when observed."
    ),
    ColumnSpec("duration", False, ("contentDetails.duration", "duration_seconds"), "ISO 8601 (PT4M13S) or seconds."),
    ColumnSpec(
        "observed_at",
        False,
        ("observedAt", "fetched_at", "collected_at"),
        "When the counts were seen; else --observed-at.",
    ),
    ColumnSpec("channel_title", False, ("channelTitle", "snippet.channelTitle"), "The channel's name."),
    ColumnSpec("subscriber_count", False, ("subscriberCount",), "The channel's subscribers."),
    ColumnSpec("category_id", False, ("categoryId", "snippet.categoryId"), "YouTube's category."),
    ColumnSpec(
        "language",
        False,
        ("defaultAudioLanguage", "defaultLanguage", "snippet.defaultAudioLanguage", "snippet.defaultLanguage"),
        "BCP 47.",
    ),
)


def resolve(present: Iterable[str], mapping: Mapping[str, str]) -> dict[str, str]:
    """Which of their columns is which of ours: ours -> theirs.

    Args:
        present: the columns of the file.
        mapping: theirs -> ours, as given with --map.

    Raises:
        ColumnError: a required column is missing, or the map names an unknown column on either side.
    """
    theirs, ours = list(present), {column.name for column in COLUMNS}
    for their, our in mapping.items():
        if their not in theirs:
            raise ColumnError(f"--map {their}={our}: the file has no column '{their}' (it has {some(theirs)}).")
        if our not in ours:
            raise ColumnError(f"--map {their}={our}: '{our}' is not one of our columns ({', '.join(sorted(ours))}).")
    found = {our: their for their, our in mapping.items()}
    for column in COLUMNS:
        name = next((name for name in (column.name, *column.also) if name in theirs), None)
        if name is not None:
            found.setdefault(column.name, name)
    missing = [column for column in COLUMNS if column.required and column.name not in found]
    if missing:
        names = ", ".join(f"{column.name} (or {column.also[0]})" for column in missing)
        raise ColumnError(
            f"The file has no column {names}: rename it, or say which it is with --map THEIRS={missing[0].name} "
            f"(the file has {some(theirs)})."
        )
    return found


def some(names: Sequence[str]) -> str:
    """The first twelve, and how many more there are."""
    shown = ", ".join(names[:12])
    return shown + (f" and {len(names) - 12} more" if len(names) > 12 else "") if names else "no columns"
