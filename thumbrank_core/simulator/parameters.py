"""Which parameters each method takes and which values they may have: tables from the discovery document, and the check.

What a parameter does is in `methods` and `search`.
"""

from collections.abc import Container, Sequence

from thumbrank_core.simulator import api_errors
from thumbrank_core.simulator.requests import Query

_GLOBAL = frozenset(
    (
        "$.xgafv",
        "access_token",
        "alt",
        "callback",
        "fields",
        "key",
        "oauth_token",
        "prettyPrint",
        "quotaUser",
        "uploadType",
        "upload_protocol",
    )
)
VIDEO_FILTERS: tuple[str, ...] = (
    "eventType",
    "location",
    "locationRadius",
    "videoCaption",
    "videoCategoryId",
    "videoDefinition",
    "videoDimension",
    "videoDuration",
    "videoEmbeddable",
    "videoLicense",
    "videoPaidProductPlacement",
    "videoSyndicated",
    "videoType",
)
"""Parameters of search.list that need type=video."""

CHANNEL_FILTERS: tuple[str, ...] = ("id", "forHandle", "forUsername", "mine", "managedByMe", "categoryId")
"""channels.list takes exactly one of them."""

_OWNERS: tuple[str, ...] = (
    "forContentOwner",
    "forDeveloper",
    "forMine",
    "managedByMe",
    "mine",
    "myRating",
    "mySubscribers",
    "onBehalfOfContentOwner",
)
"""What only an account's owner may ask: an API key is not enough."""

_SEARCH = (
    "part q type order maxResults pageToken publishedAfter publishedBefore regionCode relevanceLanguage topicId channelId "
    "channelType safeSearch forContentOwner forDeveloper forMine onBehalfOfContentOwner"
)
PARAMETERS: dict[str, frozenset[str]] = {
    "search.list": _GLOBAL | {*_SEARCH.split(), *VIDEO_FILTERS},
    "channels.list": _GLOBAL
    | {"part", "hl", "maxResults", "pageToken", "mySubscribers", "onBehalfOfContentOwner", *CHANNEL_FILTERS},
    "playlistItems.list": _GLOBAL
    | {"part", "id", "playlistId", "videoId", "maxResults", "pageToken", "onBehalfOfContentOwner"},
    "videos.list": _GLOBAL
    | {"part", "id", "chart", "myRating", "hl", "locale", "maxHeight", "maxWidth", "maxResults", "pageToken"}
    | {"regionCode", "videoCategoryId", "onBehalfOfContentOwner"},
    "videos.batchGetStats": _GLOBAL | {"part", "id", "onBehalfOfContentOwner"},
    "videoCategories.list": _GLOBAL | {"part", "id", "regionCode", "hl"},
    "i18nLanguages.list": _GLOBAL | {"part", "hl"},
    "i18nRegions.list": _GLOBAL | {"part", "hl"},
    "videoTrainability.get": _GLOBAL | {"id"},
}
"""By method, everything that may stand in its address."""

ENUMS: dict[str, tuple[str, ...]] = {
    "alt": ("json",),
    "chart": ("chartUnspecified", "mostPopular"),
    "channelType": ("channelTypeUnspecified", "any", "show"),
    "eventType": ("none", "upcoming", "live", "completed"),
    "order": ("searchSortUnspecified", "date", "rating", "viewCount", "relevance", "title", "videoCount"),
    "prettyPrint": ("true", "false"),
    "safeSearch": ("safeSearchSettingUnspecified", "none", "moderate", "strict"),
    "type": ("video", "channel", "playlist"),
    "videoCaption": ("videoCaptionUnspecified", "any", "closedCaption", "none"),
    "videoDefinition": ("any", "standard", "high"),
    "videoDimension": ("any", "2d", "3d"),
    "videoDuration": ("videoDurationUnspecified", "any", "short", "medium", "long"),
    "videoEmbeddable": ("videoEmbeddableUnspecified", "any", "true"),
    "videoLicense": ("any", "youtube", "creativeCommon"),
    "videoPaidProductPlacement": ("videoPaidProductPlacementUnspecified", "any", "true"),
    "videoSyndicated": ("videoSyndicatedUnspecified", "any", "true"),
    "videoType": ("videoTypeUnspecified", "any", "movie", "episode"),
}


def check_parameters(method: str, query: Query) -> None:
    """400 for a parameter that the method does not have or a value that it does not take; 401 for an owner's."""
    unknown = [name for name in query.values if name not in PARAMETERS[method]]
    if unknown:
        raise api_errors.unexpected_parameter(unknown[0])
    for name in query.values:
        if name in ENUMS:
            for value in query.all(name):
                if value not in ENUMS[name]:
                    raise api_errors.invalid_value(name, value)
        elif name in _OWNERS and query.get(name) not in (None, "false") and not (name == "mine" and query.owner):
            raise api_errors.authorization_required()


def given(query: Query, names: Sequence[str]) -> list[str]:
    """Which of these parameters have a value."""
    return [name for name in names if query.get(name) is not None]


def check_video_filters(query: Query) -> None:
    """400 invalidSearchFilter where something that only videos have is asked of other things too."""
    if query.all("type") != ["video"] and given(query, VIDEO_FILTERS):
        raise api_errors.invalid_search_filter()
    if (query.get("location") is None) != (query.get("locationRadius") is None):
        raise api_errors.invalid_search_filter()


def check_codes(query: Query, regions: Container[str], languages: Container[str]) -> None:
    """400 for a region or a language that does not exist."""
    region, language = query.get("regionCode"), query.get("relevanceLanguage")
    if region is not None and region.upper() not in regions:
        raise api_errors.invalid_region()
    if language is not None and language not in languages:
        raise api_errors.invalid_language()
