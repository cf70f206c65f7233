"""Who may read which channel through the Reporting and Analytics APIs, and how the two refuse. Pure functions.

A bearer token of this world says by itself whose data it opens: `owner-<channel_id>` is that channel's owner,
`expired-<anything>` was somebody's once, and every other token is nobody's. One that the token endpoint issued,
`owner-<channel_id>.<number>`, opens it while the consent lives. Real tokens are opaque. The envelope is
that of Google's newer services (a `status` beside the legacy `errors`); messages and details are recalled, not
verified, so that nobody should rely on more than `code`, `status` and `errors[0].reason`.
"""

from thumbrank_core.simulator.api_errors import ApiError
from thumbrank_core.simulator.channels import Channel
from thumbrank_core.simulator.oauth_grants import Grants
from thumbrank_core.simulator.world import World

OWNER_PREFIX = "owner-"
EXPIRED_PREFIX = "expired-"

_LOGIN = (
    "Expected OAuth 2 access token, login cookie or other valid authentication credential. "
    "See https://developers.google.com/identity/sign-in/web/devconsole-project."
)


def owner_of(world: World, authorization: str | None, grants: Grants | None = None) -> Channel:
    """The channel that an Authorization header opens; ApiError 401 without a living token, 403 for an unknown owner."""
    scheme, _, token = (authorization or "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise unauthenticated(f"Request is missing required authentication credential. {_LOGIN}", "CREDENTIALS_MISSING")
    if token.startswith(EXPIRED_PREFIX):
        raise unauthenticated(f"Request had expired authentication credentials. {_LOGIN}", "ACCESS_TOKEN_EXPIRED")
    if not token.startswith(OWNER_PREFIX):
        raise unauthenticated(f"Request had invalid authentication credentials. {_LOGIN}", "ACCESS_TOKEN_INVALID")
    owner = token.removeprefix(OWNER_PREFIX)
    if "." in owner:
        issued_to = grants.channel_of(token) if grants is not None else None
        if issued_to is None:
            raise unauthenticated(f"Request had invalid authentication credentials. {_LOGIN}", "ACCESS_TOKEN_EXPIRED")
        owner = issued_to
    channel = world.find_channel(owner)
    if channel is None:
        raise forbidden()
    return channel


def unauthenticated(message: str, detail: str) -> ApiError:
    """No token, or none that is still valid."""
    return ApiError(
        401,
        message,
        "authError",
        domain="global",
        location="Authorization",
        location_type="header",
        status="UNAUTHENTICATED",
        details=({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": detail, "domain": "googleapis.com"},),
    )


def forbidden() -> ApiError:
    """A token that does not open what was asked for."""
    return ApiError(
        403, "The caller does not have permission", "forbidden", domain="global", status="PERMISSION_DENIED"
    )


def not_found() -> ApiError:
    """A job or report that never was, was deleted or has expired."""
    return ApiError(404, "Requested entity was not found.", "notFound", domain="global", status="NOT_FOUND")


def already_exists() -> ApiError:
    """A second job of one type for one owner."""
    return ApiError(409, "Requested entity already exists", "alreadyExists", domain="global", status="ALREADY_EXISTS")


def invalid_argument(message: str) -> ApiError:
    """A request that cannot be read."""
    return ApiError(400, message, "badRequest", domain="global", status="INVALID_ARGUMENT")


def query_not_supported() -> ApiError:
    """Analytics has no report of these metrics, dimensions and filters; thumbnail metrics are always among these."""
    return ApiError(400, "The query is not supported.", "badRequest", domain="global")
