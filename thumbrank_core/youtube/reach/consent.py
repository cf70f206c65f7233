"""Asking a channel's owner for consent: the browser goes to Google and comes back to a port of this machine (RFC 8252).

What belongs here: one consent, until there is a refresh token. The address with its state and PKCE challenge and the
exchange of the code are the library's. The listener is ours: the library's ends at the first request that comes, be it a
browser's empty preconnection or its wish for an icon, writes the code into its log, and says "completed" after a refusal.
"""

import logging
import os
import queue
import secrets
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

from google_auth_oauthlib.flow import InstalledAppFlow
from oauthlib.oauth2 import OAuth2Error
from pydantic import SecretStr
from requests.exceptions import RequestException

from thumbrank_core.youtube.reach.errors import PassingReachError, ReachError
from thumbrank_core.youtube.reach.oauth import OAuthClient

SCOPES: tuple[str, ...] = (
    "https://www.googleapis.com/auth/yt-analytics.readonly",
    "https://www.googleapis.com/auth/youtube.readonly",
)
"""Reports; and, once, which channel they are about."""
WAIT_SECONDS = 600.0
TIMEOUT_SECONDS = 20
AGAIN = "run `thumbrank reach login` again."

_DONE = "Thumbrank has your consent. You may close this window."
_DECLINED = "No consent was given. You may close this window."
_ALLOW_HTTP = "OAUTHLIB_INSECURE_TRANSPORT"
_TALKATIVE = "requests_oauthlib.oauth2_session"


@dataclass(frozen=True)
class Granted:
    """What a consent gives. Both tokens show as asterisks."""

    access_token: SecretStr
    refresh_token: SecretStr


def ask_for_consent(
    client: OAuthClient, show: Callable[[str, int], None], *, wait_seconds: float = WAIT_SECONDS
) -> Granted:
    """Show the owner where to consent, wait for the answer and exchange it for tokens. Nothing is kept.

    Args:
        client: who asks.
        show: is given the address to open in a browser, and the port on 127.0.0.1 to which the browser comes back.
        wait_seconds: how long the owner has.

    Raises:
        ReachError: the owner declined, took too long, or left a box unticked; or Google refuses the client.
    """
    config = {
        "client_id": client.client_id,
        "client_secret": client.client_secret.get_secret_value(),
        "auth_uri": client.auth_uri,
        "token_uri": client.token_uri,
    }
    flow = InstalledAppFlow.from_client_config({"installed": config}, list(SCOPES))
    with _listening() as listener, _plain_http(client.is_local), _quiet():
        flow.redirect_uri = f"http://127.0.0.1:{listener.port}/"
        # Google hands out a refresh token at the first consent only, unless it asks again.
        address, state = flow.authorization_url(access_type="offline", prompt="consent")
        listener.state = state
        show(address, listener.port)
        return _exchange(flow, listener.wait(wait_seconds))


def _exchange(flow: InstalledAppFlow, code: SecretStr) -> Granted:
    try:
        flow.fetch_token(code=code.get_secret_value(), timeout=TIMEOUT_SECONDS)
    except Warning:  # this is how oauthlib says that other scopes came than were asked for
        raise ReachError(
            "not_given", f"Not everything that was asked for was granted: {AGAIN[:-1]}, and tick every box."
        ) from None
    except OAuth2Error as error:
        raise ReachError("not_given", f"Google refuses the consent ({error.error}): {AGAIN}") from None
    except (RequestException, ValueError) as error:  # their texts may hold what was sent
        raise PassingReachError("unreachable", f"Google cannot be reached ({type(error).__name__}): {AGAIN}") from None
    token = flow.oauth2session.token
    access, refresh = token.get("access_token"), token.get("refresh_token")
    if not access or not refresh:
        raise ReachError(
            "not_given",
            f"Google gave no lasting consent: remove Thumbrank at https://myaccount.google.com/connections, then {AGAIN}",
        )
    return Granted(SecretStr(access), SecretStr(refresh))


@dataclass
class _Listener:
    """What the browser came back with. Whoever does not know the state is sent away and changes nothing."""

    port: int = 0
    state: str = ""
    answers: "queue.Queue[dict[str, str]]" = field(default_factory=queue.Queue[dict[str, str]])

    def wait(self, seconds: float) -> SecretStr:
        try:
            answer = self.answers.get(timeout=seconds)
        except queue.Empty:
            raise ReachError("not_given", f"No consent came within {seconds / 60:.0f} minutes: {AGAIN}") from None
        if "code" not in answer:
            raise ReachError(
                "not_given", f"No consent was given (Google: {answer.get('error', 'no code')[:60]}): {AGAIN}"
            )
        return SecretStr(answer["code"])

    def take(self, target: str) -> str | None:
        """The page for a request, or None where it is not the browser that we sent."""
        values = {name: found[0] for name, found in parse_qs(urlsplit(target).query).items()}
        state = values.get("state", "")
        if not self.state or not secrets.compare_digest(state.encode(), self.state.encode()):
            return None
        self.answers.put(values)
        return _DONE if "code" in values else _DECLINED


@contextmanager
def _listening() -> Generator[_Listener]:
    """A server on a free port of 127.0.0.1. A thread a request: a preconnection that says nothing holds up nobody."""
    listener = _Listener()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = listener.take(self.path)
            body = (page or "Nothing is here.").encode()
            self.send_response(200 if page else 404)
            for name, value in (
                ("Content-Type", "text/plain; charset=utf-8"),
                ("Content-Length", str(len(body))),
                ("Cache-Control", "no-store"),
                ("Referrer-Policy", "no-referrer"),
                ("Connection", "close"),
            ):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class's name
            """Say nothing: the line would hold the code."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        listener.port = server.server_address[1]
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield listener
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def _plain_http(allowed: bool) -> Generator[None]:
    """Let oauthlib speak to a simulator on this machine, which has no certificate."""
    before = os.environ.get(_ALLOW_HTTP)
    if allowed:
        os.environ[_ALLOW_HTTP] = "1"
    try:
        yield
    finally:
        if allowed:
            os.environ.pop(_ALLOW_HTTP)
            if before is not None:
                os.environ[_ALLOW_HTTP] = before


@contextmanager
def _quiet() -> Generator[None]:
    """requests-oauthlib logs the client's secret, the code and the tokens at level DEBUG: not while we use it."""

    def nothing(_record: logging.LogRecord) -> bool:
        return False

    logger = logging.getLogger(_TALKATIVE)
    logger.addFilter(nothing)
    try:
        yield
    finally:
        logger.removeFilter(nothing)
