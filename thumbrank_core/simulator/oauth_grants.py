"""Consents in this world: codes, refresh tokens and access tokens under the simulator's clock. What HTTP says is `oauth`.

An access token names its channel, `owner-<channel_id>`, so that a reader of a test sees whose it is; what is issued here
has a number behind it, ends after an hour, and ends at once when its consent is withdrawn. A bare `owner-<channel_id>`,
which nobody issued, always opens: tests of the Reporting API alone need no consent. Real tokens are opaque.
"""

import hashlib
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime, timedelta

from thumbrank_core.simulator.clock import Clock

CODE_LIFETIME = timedelta(minutes=10)
ACCESS_LIFETIME = timedelta(seconds=3599)


@dataclass(frozen=True)
class Asked:
    """What an application asked for, and is held to when it brings the code."""

    redirect_uri: str
    scopes: tuple[str, ...]
    challenge: str
    offline: bool
    again: bool
    """prompt=consent: without it a channel that consented before gets no second refresh token."""


@dataclass(frozen=True)
class _Code:
    channel_id: str
    asked: Asked
    expires_at: datetime


@dataclass(frozen=True)
class _Access:
    channel_id: str
    expires_at: datetime


class Grants:
    """Who consented to what. In memory; ends with the application."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._codes: dict[str, _Code] = {}
        self._refresh: dict[str, str] = {}
        self._access: dict[str, _Access] = {}
        self._consented: set[str] = set()

    def consent(self, channel_id: str, asked: Asked) -> str:
        """The owner of a channel consents; the code that the browser takes back."""
        code = f"4/{secrets.token_urlsafe(24)}"
        self._codes[code] = _Code(channel_id, asked, self._clock.now + CODE_LIFETIME)
        return code

    def exchange(self, code: str, redirect_uri: str, verifier: str) -> tuple[str, str | None, tuple[str, ...]] | None:
        """Access token, refresh token where one is due, and scopes; None for a code that is not good (any more)."""
        found = self._codes.pop(code, None)  # once, whatever comes of it
        if found is None or found.expires_at < self._clock.now or found.asked.redirect_uri != redirect_uri:
            return None
        challenge = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        if not secrets.compare_digest(challenge, found.asked.challenge):
            return None
        refresh = None
        if found.asked.offline and (found.asked.again or found.channel_id not in self._consented):
            refresh = f"1//{secrets.token_urlsafe(48)}"
            self._refresh[refresh] = found.channel_id
        self._consented.add(found.channel_id)
        return self._new_access(found.channel_id), refresh, found.asked.scopes

    def refresh(self, token: str) -> str | None:
        """A new access token; None for a refresh token that is not good (any more)."""
        channel_id = self._refresh.get(token)
        return None if channel_id is None else self._new_access(channel_id)

    def revoke(self, token: str) -> bool:
        """Withdraw the consent that a token of either kind comes from; False where there is none."""
        access = self._access.get(token)
        channel_id = self._refresh.get(token) or (access.channel_id if access else None)
        if channel_id is None:
            return False
        self._refresh = {each: channel for each, channel in self._refresh.items() if channel != channel_id}
        self._access = {each: found for each, found in self._access.items() if found.channel_id != channel_id}
        self._consented.discard(channel_id)
        return True

    def channel_of(self, access_token: str) -> str | None:
        """Whose living access token this is."""
        found = self._access.get(access_token)
        return found.channel_id if found is not None and self._clock.now < found.expires_at else None

    def _new_access(self, channel_id: str) -> str:
        token = f"owner-{channel_id}.{secrets.token_urlsafe(12)}"
        self._access[token] = _Access(channel_id, self._clock.now + ACCESS_LIFETIME)
        return token
