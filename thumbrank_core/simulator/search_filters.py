"""The filters of search.list that only videos have: length, definition, captions, category, live state."""

from collections.abc import Callable

from thumbrank_core.simulator import traits
from thumbrank_core.simulator.categories import NICHE_CATEGORIES
from thumbrank_core.simulator.requests import Query
from thumbrank_core.simulator.world import Video

Fits = Callable[[Video], bool]

_LENGTHS = {"short": (1, 4 * 60), "medium": (4 * 60, 20 * 60 + 1), "long": (20 * 60 + 1, 1 << 40)}
"""Seconds, the second excluded; what has no length yet has none of them."""

_NOTHING: dict[str, tuple[str, ...]] = {
    "videoDimension": ("3d",),
    "videoLicense": ("creativeCommon",),
    "videoType": ("movie", "episode"),
}
"""What no video of this world is."""


def video_filter(query: Query) -> Fits:
    """Whether a video passes all filters of a query whose values were checked before."""
    tests: list[Fits] = []
    length = _LENGTHS.get(query.get("videoDuration") or "")
    if length is not None:
        shortest, too_long = length
        tests.append(lambda video: shortest <= video.duration_seconds < too_long)
    definition = query.get("videoDefinition")
    if definition in ("standard", "high"):
        tests.append(lambda video: traits.is_high_definition(video) == (definition == "high"))
    caption = query.get("videoCaption")
    if caption in ("closedCaption", "none"):
        tests.append(lambda video: traits.has_captions(video) == (caption == "closedCaption"))
    category = query.get("videoCategoryId")
    if category is not None:
        tests.append(lambda video: NICHE_CATEGORIES[video.channel.niche] == category)
    if query.get("videoPaidProductPlacement") == "true":
        tests.append(traits.is_paid_placement)
    event = query.get("eventType")
    if event is not None:
        tests.append(lambda video: _event(video) == event)
    # No video of this world tells a place or carries a Freebase topic.
    if query.get("location") or query.get("topicId") or any(query.get(name) in of for name, of in _NOTHING.items()):
        tests.append(lambda video: False)
    return lambda video: all(test(video) for test in tests)


def _event(video: Video) -> str:
    if video.state in ("live", "upcoming"):
        return video.state
    return "completed" if traits.is_recorded_live(video) else "none"
