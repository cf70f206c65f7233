"""The error answers of the Data API, as exceptions that carry the body YouTube would send."""

from collections.abc import Sequence
from dataclasses import dataclass

Json = dict[str, object]

_CONSUMER = "project_number:123456789012"


@dataclass(frozen=True)
class ApiError(Exception):
    """A refusal; raised anywhere below a request and turned into its answer at the edge."""

    code: int
    message: str
    reason: str
    domain: str = "youtube.parameter"
    location: str | None = None
    location_type: str | None = None
    status: str | None = None
    details: tuple[Json, ...] = ()

    def body(self) -> Json:
        """The JSON envelope."""
        entry: Json = {"message": self.message, "domain": self.domain, "reason": self.reason}
        if self.location is not None:
            entry["location"] = self.location
            entry["locationType"] = self.location_type
        error: Json = {"code": self.code, "message": self.message, "errors": [entry]}
        if self.status is not None:
            error["status"] = self.status
        if self.details:
            error["details"] = list(self.details)
        return {"error": error}


def no_key() -> ApiError:
    """A request without any identity."""
    return ApiError(
        403,
        "Method doesn't allow unregistered callers (callers without established identity). "
        "Please use API Key or other form of API consumer identity to call this API.",
        "forbidden",
        domain="global",
        status="PERMISSION_DENIED",
    )


def bad_key() -> ApiError:
    """A key that Google does not know."""
    return ApiError(
        400,
        "API key not valid. Please pass a valid API key.",
        "badRequest",
        domain="global",
        status="INVALID_ARGUMENT",
        details=(
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "API_KEY_INVALID",
                "domain": "googleapis.com",
                "metadata": {"service": "youtube.googleapis.com"},
            },
        ),
    )


def service_disabled() -> ApiError:
    """A key whose project has not enabled the Data API."""
    return ApiError(
        403,
        "YouTube Data API v3 has not been used in project 123456789012 before or it is disabled. Enable it by visiting "
        "https://console.developers.google.com/apis/api/youtube.googleapis.com/overview?project=123456789012 then "
        "retry. If you enabled this API recently, wait a few minutes for the action to propagate to our systems and "
        "retry.",
        "accessNotConfigured",
        domain="usageLimits",
        status="PERMISSION_DENIED",
        details=(
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "SERVICE_DISABLED",
                "domain": "googleapis.com",
                "metadata": {"service": "youtube.googleapis.com", "consumer": _CONSUMER},
            },
        ),
    )


def quota_exceeded() -> ApiError:
    """The day's units are spent."""
    return ApiError(
        403,
        "The request cannot be completed because you have exceeded your "
        '<a href="/youtube/v3/getting-started#quota">quota</a>.',
        "quotaExceeded",
        domain="youtube.quota",
    )


def too_many(metric: str, per: str) -> ApiError:
    """429: more than a limit allows; only `per` tells a spent day ("day") from a passing throttle ("minute")."""
    return ApiError(
        429,
        f"Quota exceeded for quota metric '{metric}' and limit '{metric} per {per}' of service "
        f"'youtube.googleapis.com' for consumer '{_CONSUMER}'.",
        "rateLimitExceeded",
        domain="global",
        status="RESOURCE_EXHAUSTED",
        details=(
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "RATE_LIMIT_EXCEEDED",
                "domain": "googleapis.com",
                "metadata": {
                    "service": "youtube.googleapis.com",
                    "consumer": _CONSUMER,
                    "quota_limit": f"{metric} per {per}",
                },
            },
        ),
    )


def user_rate_limit() -> ApiError:
    """A passing throttle in its older dress."""
    return ApiError(403, "User Rate Limit Exceeded", "userRateLimitExceeded", domain="usageLimits")


def internal_error() -> ApiError:
    """Their fault, and it may pass."""
    return ApiError(500, "Internal error encountered.", "internalError", domain="global", status="INTERNAL")


def backend_error() -> ApiError:
    """Their fault, and it usually passes."""
    return ApiError(503, "The service is currently unavailable.", "backendError", domain="global", status="UNAVAILABLE")


def authorization_required() -> ApiError:
    """Something that only the owner may ask, with an OAuth token."""
    return ApiError(
        401,
        "The request uses the <code>mine</code> parameter but is not properly authorized.",
        "authorizationRequired",
        domain="youtube.header",
        location="Authorization",
        location_type="header",
    )


def unexpected_parameter(name: str) -> ApiError:
    """A parameter that the method does not have."""
    return ApiError(
        400, f"Unexpected parameter: {name}", "unexpectedParameter", location=name, location_type="parameter"
    )


def incompatible_parameters(names: Sequence[str]) -> ApiError:
    """Parameters that exclude each other."""
    return ApiError(
        400,
        f"Incompatible parameters specified in the request: {', '.join(names)}",
        "incompatibleParameters",
        location="parameters.",
        location_type="other",
    )


def invalid_criteria(filters: Sequence[str]) -> ApiError:
    """More than one filter of channels.list."""
    return ApiError(
        400,
        f"A maximum of one of the following filters may be specified: {', '.join(filters)}.",
        "invalidCriteria",
        domain="youtube.channel",
        location="parameters.",
        location_type="other",
    )


def invalid_search_filter() -> ApiError:
    """Something that only videos have, asked of everything."""
    return ApiError(
        400,
        "The request contains an invalid combination of search filters and/or restrictions. Note that you must set the "
        "<code>type</code> parameter to <code>video</code> if you set either the <code>forContentOwner</code> or "
        "<code>forMine</code> parameters to <code>true</code>, or a value for a parameter that only videos have.",
        "invalidSearchFilter",
        domain="youtube.search",
        location="parameters.",
        location_type="other",
    )


def invalid_channel_id() -> ApiError:
    """Something that is no channel's id."""
    return ApiError(
        400,
        "The <code>channelId</code> parameter specified an invalid channel ID.",
        "invalidChannelId",
        domain="youtube.search",
        location="channelId",
        location_type="parameter",
    )


def invalid_region() -> ApiError:
    """A country that does not exist."""
    return ApiError(
        400,
        "The <code>regionCode</code> parameter specifies an invalid region code.",
        "invalidRegionCode",
        location="regionCode",
        location_type="parameter",
    )


def invalid_language() -> ApiError:
    """A language that does not exist."""
    return ApiError(
        400,
        "The <code>relevanceLanguage</code> parameter specifies an invalid language code.",
        "invalidRelevanceLanguage",
        domain="youtube.search",
        location="relevanceLanguage",
        location_type="parameter",
    )


def invalid_fields(text: str) -> ApiError:
    """A `fields` parameter that cannot be read or names what the answer never has."""
    return ApiError(
        400,
        f"Invalid field selection {text}",
        "invalidFieldSelection",
        domain="global",
        location="fields",
        location_type="parameter",
        status="INVALID_ARGUMENT",
    )


def channel_suspended() -> ApiError:
    """A channel that YouTube has taken down."""
    return ApiError(
        403,
        "The channel specified in the request has been suspended.",
        "channelSuspended",
        domain="youtube.playlistItem",
        location="playlistId",
        location_type="parameter",
    )


def video_not_found() -> ApiError:
    """No such video, where exactly one was asked for."""
    return ApiError(
        404,
        "The video identified by the <code>id</code> parameter could not be found.",
        "videoNotFound",
        domain="youtube.video",
        location="id",
        location_type="parameter",
    )


def missing_parameter(name: str) -> ApiError:
    """A required parameter that is not there."""
    return ApiError(
        400,
        f"Required parameter: {name}",
        "missingRequiredParameter",
        domain="global",
        location=name,
        location_type="parameter",
    )


def no_filter(expected: Sequence[str]) -> ApiError:
    """None of the filters of which one is needed."""
    return ApiError(
        400,
        f"No filter selected. Expected one of: {', '.join(expected)}",
        "missingRequiredParameter",
        location="parameters.",
        location_type="other",
    )


def unknown_part(part: str) -> ApiError:
    """A part that the resource does not have."""
    return ApiError(400, f"'{part}'", "unknownPart", domain="youtube.part", location="part", location_type="parameter")


def invalid_filters() -> ApiError:
    """More than 50 ids."""
    return ApiError(
        400,
        "The request specifies an invalid filter parameter.",
        "invalidFilters",
        location="parameters.",
        location_type="other",
    )


def invalid_value(name: str, value: str, expected: str = "") -> ApiError:
    """A value that cannot be read or lies outside its range."""
    return ApiError(
        400,
        f"Invalid value '{value}'.{' ' + expected if expected else ''}",
        "invalidParameter",
        domain="global",
        location=name,
        location_type="parameter",
        status="INVALID_ARGUMENT",
    )


def invalid_page_token() -> ApiError:
    """A page token that this list never gave out."""
    return ApiError(
        400,
        "The request specifies an invalid page token.",
        "invalidPageToken",
        location="pageToken",
        location_type="parameter",
    )


def playlist_not_found() -> ApiError:
    """No such playlist: also the uploads of a channel that has none."""
    return ApiError(
        404,
        "The playlist identified with the request's <code>playlistId</code> parameter cannot be found.",
        "playlistNotFound",
        domain="youtube.playlistItem",
        location="playlistId",
        location_type="parameter",
    )


def chart_not_found() -> ApiError:
    """This world keeps no charts."""
    return ApiError(
        404,
        "The requested video chart is not supported or is not available.",
        "videoChartNotFound",
        domain="youtube.video",
        location="chart",
        location_type="parameter",
    )


def method_not_allowed() -> ApiError:
    """A POST that does not stand for a GET: this YouTube cannot be written to."""
    return ApiError(405, "The method POST is not allowed here.", "httpMethodNotAllowed", domain="global")
