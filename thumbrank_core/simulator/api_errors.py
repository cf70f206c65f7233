"""The error answers of the Data API, as exceptions that carry the body YouTube would send."""

from collections.abc import Sequence
from dataclasses import dataclass

Json = dict[str, object]


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
