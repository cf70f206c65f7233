"""Google's sign-in for installed applications as far as `reach` meets it: the page, the token and the revoke endpoint.

Only HTTP is here; who consented to what is in `oauth_grants`. Shapes and words after RFC 6749, 7009, 7636 and 8252 and
Google's "OAuth 2.0 for Mobile & Desktop Apps"; the sentences are recalled, so rely on `error` alone.
"""

import base64
import binascii
import html
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from thumbrank_core.simulator.oauth_grants import ACCESS_LIFETIME, Asked, Grants
from thumbrank_core.simulator.world import World

CLIENT_ID = "123456789012-simulator.apps.googleusercontent.com"
CLIENT_SECRET = "GOCSPX-simulated-secret-0000"  # noqa: S105 -- of a world without secrets
CHANNELS_SHOWN = 50
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_AUTH, _TOKEN, _REVOKE = "/o/oauth2/auth", "/token", "/revoke"
_Values = dict[str, str]


def client_secrets(endpoint: str) -> dict[str, dict[str, object]]:
    """What Google's console would write into client_secret.json for a Desktop app of this world."""
    return {
        "installed": {
            "client_id": CLIENT_ID,
            "project_id": "simulator",
            "auth_uri": endpoint + _AUTH,
            "token_uri": endpoint + _TOKEN,
            "client_secret": CLIENT_SECRET,
            "redirect_uris": ["http://localhost"],
        }
    }


def routes(world: World, grants: Grants) -> list[BaseRoute]:
    """The three endpoints."""

    async def authorize(request: Request) -> Response:
        return _authorize(world, grants, dict(request.query_params))

    async def token(request: Request) -> Response:
        values = _form(await request.body())
        if (refusal := _wrong_client(request, values)) is not None:
            return refusal
        return (
            _exchanged(grants, values)
            if values.get("grant_type") == "authorization_code"
            else _refreshed(grants, values)
        )

    async def revoke(request: Request) -> Response:
        if grants.revoke(_form(await request.body()).get("token", "")):
            return JSONResponse({})
        return _refused("invalid_token", "Token expired or revoked")

    return [
        Route(_AUTH, authorize, methods=["GET"]),
        Route(_TOKEN, token, methods=["POST"]),
        Route(_REVOKE, revoke, methods=["POST"]),
    ]


def _authorize(world: World, grants: Grants, values: _Values) -> Response:
    """The page that asks whose channel it is; its links are this address with a choice, which sends the browser back."""
    redirect_uri = values.get("redirect_uri", "")
    trouble = _trouble(values, urlsplit(redirect_uri).hostname)
    if trouble is not None:  # never a redirect to somewhere that was not checked
        return HTMLResponse(f"<h1>Access blocked: this app's request is invalid</h1><p>Error 400: {trouble}", 400)
    choice = values.pop("channel_id", None)
    if choice == "none":
        return _back(redirect_uri, {"error": "access_denied"}, values)
    if choice is not None and world.find_channel(choice) is not None:
        asked = Asked(
            redirect_uri,
            tuple(values.get("scope", "").split()),
            values["code_challenge"],
            values.get("access_type") == "offline",
            "consent" in values.get("prompt", "").split(),
        )
        return _back(redirect_uri, {"code": grants.consent(choice, asked), "scope": values.get("scope", "")}, values)
    options = [(channel.id, channel.id) for channel in world.channels[:CHANNELS_SHOWN]] + [("none", "Cancel")]
    links = "".join(
        f'<li><a href="{_AUTH}?{html.escape(urlencode({**values, "channel_id": each}))}">{html.escape(name)}</a>'
        for each, name in options
    )
    return HTMLResponse(f"<h1>Choose a channel</h1><ul>{links}</ul>")


def _trouble(values: _Values, host: str | None) -> str | None:
    """What is wrong with a request for consent."""
    if values.get("client_id") != CLIENT_ID:
        return "invalid_client"
    if not values.get("redirect_uri", "").startswith("http://") or host not in _LOOPBACK:
        return "redirect_uri_mismatch"
    if values.get("response_type") != "code" or not values.get("scope"):
        return "invalid_request"
    if not values.get("code_challenge") or values.get("code_challenge_method") != "S256":
        return "invalid_request"
    return None


def _back(redirect_uri: str, answer: _Values, values: _Values) -> Response:
    state = {"state": values["state"]} if "state" in values else {}
    return RedirectResponse(f"{redirect_uri}?{urlencode({**state, **answer})}", 302)


def _wrong_client(request: Request, values: _Values) -> Response | None:
    """The client says who it is in the form or, as requests-oauthlib does, in a Basic header."""
    found = (values.get("client_id", ""), values.get("client_secret", ""))
    scheme, _, packed = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            name, _, secret = base64.b64decode(packed, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            name, secret = "", ""
        found = (name, secret)
    return None if found == (CLIENT_ID, CLIENT_SECRET) else _refused("invalid_client", "Unauthorized", 401)


def _exchanged(grants: Grants, values: _Values) -> Response:
    found = grants.exchange(values.get("code", ""), values.get("redirect_uri", ""), values.get("code_verifier", ""))
    if found is None:
        return _refused("invalid_grant", "Malformed auth code.")
    access, refresh, scopes = found
    return _tokens(access, {"scope": " ".join(scopes), **({"refresh_token": refresh} if refresh else {})})


def _refreshed(grants: Grants, values: _Values) -> Response:
    if values.get("grant_type") != "refresh_token":
        return _refused("unsupported_grant_type", f"Invalid grant_type: {values.get('grant_type', '')}")
    access = grants.refresh(values.get("refresh_token", ""))
    return _refused("invalid_grant", "Token has been expired or revoked.") if access is None else _tokens(access, {})


def _tokens(access: str, more: _Values) -> Response:
    body: dict[str, object] = {
        "access_token": access,
        "expires_in": int(ACCESS_LIFETIME.total_seconds()),
        "token_type": "Bearer",
    }
    return JSONResponse({**body, **more}, headers={"Cache-Control": "no-store"})


def _refused(error: str, description: str, status: int = 400) -> Response:
    return JSONResponse({"error": error, "error_description": description}, status)


def _form(body: bytes) -> _Values:
    return {name: found[-1] for name, found in parse_qs(body.decode("latin-1")).items()}
