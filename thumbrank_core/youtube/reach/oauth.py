"""Google's side of a consent after it was given: the client file, fresh access tokens, and giving the consent back.

What belongs here: the token and revoke endpoints. Asking for the consent is consent.py; keeping it is tokens.py.
"""

import json
from pathlib import Path
from typing import Self
from urllib.parse import urljoin, urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError, field_validator

from thumbrank_core.settings import Settings, SettingsError
from thumbrank_core.youtube.reach.errors import ConsentEndedError, ReachError, reasons_of
from thumbrank_core.youtube.reach.tokens import Consent
from thumbrank_core.youtube.reach.transport import Transport

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_ENDED = "invalid_grant"
_MAKE_ONE = (
    "make an OAuth client of type Desktop app in the Google Cloud console (Credentials), download its JSON file"
    " and set THUMBRANK_OAUTH_CLIENT to its path."
)


class OAuthClient(BaseModel):
    """What a client file says: who asks for consent, and where. Source: Google's client_secret.json, `installed`."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    client_id: str
    client_secret: SecretStr
    auth_uri: str
    token_uri: str

    @field_validator("auth_uri", "token_uri")
    @classmethod
    def _is_private(cls, value: str) -> str:
        """Codes and tokens travel there: encrypted, or to this machine (the simulator)."""
        parts = urlsplit(value)
        if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK):
            return value
        raise ValueError("is not an https address")

    @property
    def is_local(self) -> bool:
        """Whether this is a simulator's client."""
        return urlsplit(self.token_uri).scheme == "http"

    @classmethod
    def read(cls, path: Path) -> Self:
        """The client of a file that Google's console made.

        Raises:
            SettingsError: there is no such file, or it is of another kind.
        """
        try:
            content = json.loads(path.expanduser().read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"THUMBRANK_OAUTH_CLIENT names {path}, which cannot be read ({type(error).__name__}): {_MAKE_ONE}"
            ) from None
        if not isinstance(content, dict) or not isinstance(content.get("installed"), dict):
            raise SettingsError(f"{path} is not the file of a Desktop app: {_MAKE_ONE}")
        try:
            return cls.model_validate(content["installed"])
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            raise SettingsError(f"{path}: {'.'.join(map(str, first['loc']))} {first['msg']}: {_MAKE_ONE}") from None


def client_of(settings: Settings) -> OAuthClient:
    """The client that the settings name.

    Raises:
        SettingsError: none is named, its file is not one, or it and YOUTUBE_API_ENDPOINT are of two worlds.
    """
    if settings.oauth_client is None:
        raise SettingsError(f"THUMBRANK_OAUTH_CLIENT is not set: {_MAKE_ONE}")
    client = OAuthClient.read(settings.oauth_client)
    # An owner's token must never be sent to a simulator, nor a simulated one to Google.
    if client.is_local != (settings.youtube_api_endpoint is not None):
        raise SettingsError(
            "THUMBRANK_OAUTH_CLIENT and YOUTUBE_API_ENDPOINT do not go together, one is Google's and the other a simulator's: "
            "set both to the simulator's, or neither."
        )
    return client


class Access:
    """An owner's access token: asked for when it is first needed, and again when it is refused. Kept in memory only.

    Raises:
        ReachError: the consent was given to another client than this one.
    """

    def __init__(self, transport: Transport, client: OAuthClient, consent: Consent) -> None:
        # Google answers a foreign client with the same word as a withdrawn consent, and that one would cost the rows.
        if (consent.client_id, consent.token_uri) != (client.client_id, client.token_uri):
            raise ReachError(
                "other_client",
                f"{consent.owner_id} consented to another OAuth client than THUMBRANK_OAUTH_CLIENT names: "
                "set it to that one, or run `thumbrank reach login` again.",
            )
        self._transport, self._client, self._consent = transport, client, consent
        self._token: SecretStr | None = None

    @property
    def token(self) -> SecretStr:
        """A token for the next request."""
        return self._token or self.renew()

    def renew(self) -> SecretStr:
        """Exchange the refresh token for a new access token.

        Raises:
            ConsentEndedError: Google says that the consent is no longer there.
            PassingReachError: Google is busy or cannot be reached.
            ReachError: anything else, such as a client that was deleted.
        """
        reply = self._transport.send(
            "POST",
            self._client.token_uri,
            form={
                "grant_type": "refresh_token",
                "refresh_token": self._consent.refresh_token.get_secret_value(),
                "client_id": self._client.client_id,
                "client_secret": self._client.client_secret.get_secret_value(),
            },
        )
        words, text = reasons_of(reply.body)
        if _ENDED in words:
            raise ConsentEndedError(
                "consent_ended", f"The consent of {self._consent.owner_id} has ended (Google: {text})"
            )
        if reply.status != 200:
            raise ReachError(
                "no_token",
                f"Google gives no access token for {self._consent.owner_id} ({text or f'HTTP {reply.status}'}): "
                "check that the OAuth client of THUMBRANK_OAUTH_CLIENT still exists.",
            )
        self._token = _access_token(reply.body)
        return self._token


def _access_token(body: bytes) -> SecretStr:
    try:
        found = json.loads(body)["access_token"]
    except (ValueError, KeyError, TypeError):
        found = None
    if not isinstance(found, str) or not found.isascii() or not found.isprintable():
        raise ReachError("no_token", "Google's answer holds no access token: run again in a while.")
    return SecretStr(found)


def revoke(transport: Transport, consent: Consent) -> bool:
    """Give the consent back at Google; True where it is gone, also when it already was.

    Raises:
        PassingReachError: Google is busy or cannot be reached.
    """
    # Google's revoke endpoint lies beside the token endpoint, and takes the token in the body.
    reply = transport.send(
        "POST",
        urljoin(consent.token_uri, "revoke"),
        form={"token": consent.refresh_token.get_secret_value()},
    )
    return reply.status == 200 or "invalid_token" in reasons_of(reply.body)[0]
