"""Telling a team something: a webhook that takes {"text": …}, as Slack's, Mattermost's and many others do.

What belongs here: posting, and keeping secrets out of what is posted, logged or raised. What is said is digest_text.py's and
the orchestrator's.
"""

import logging
import re
import unicodedata
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import httpx
from pydantic import SecretStr
from tenacity import Retrying, retry_if_result, stop_after_attempt, wait_exponential

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.settings import Settings

VARIABLE = "THUMBRANK_ALERT_WEBHOOK"
LONGEST = 3_500
"""Characters of a message: what Slack shows without folding it, and a phone without scrolling for ever."""
CUT = "\n… (cut; the rest stands in Dagster)"
PLAIN_LONGEST = 500
LOCAL = ("localhost", "127.0.0.1", "::1")
SHORTEST_SECRET = 4
"""A setting of fewer characters would take letters out of the middle of words, and protects nothing."""


class AlertError(ThumbrankError):
    """A message that could not be posted, or a webhook that cannot be one. The sentence names its host and nothing more of it."""


class AlertRefusedError(AlertError):
    """The webhook answers and does not take this message (4xx): it may take another one."""


@dataclass(frozen=True)
class _Answer:
    """What came of an attempt. `problem`: None: it was taken. `again`: whether another attempt may end otherwise. `refused`: the
    message was read, and is not wanted."""

    problem: str | None = None
    again: bool = False
    refused: bool = False


@dataclass(frozen=True)
class Webhook:
    """Where messages go. Safe to print: the address is a secret, since whoever knows it can post there.

    Args:
        url: https, or http to this machine.
        timeout_s: for one attempt.
        attempts: at most, of a message that the other side could not take just now (5xx, 429, no answer).
        pause_s: before the second attempt; twice as long before the third.

    Raises:
        AlertError: the address is none that a message could be posted to.
    """

    url: SecretStr
    timeout_s: float = 5.0
    attempts: int = 3
    pause_s: float = 0.5

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url.get_secret_value())
            usable = bool(parts.hostname) and (
                parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOCAL)
            )
        except ValueError:  # its message repeats parts of the address
            usable = False
        if not usable:
            raise AlertError(f"{VARIABLE} must begin with https:// and name a host (http:// only for this machine).")

    @property
    def host(self) -> str:
        """The only part of the address that may be shown."""
        return urlsplit(self.url.get_secret_value()).hostname or "?"

    def post(self, text: str) -> None:
        """Post a message, cut to LONGEST.

        Raises:
            AlertRefusedError: the other side is there, and refuses this message.
            AlertError: it was not taken, and no other message would be just now.
        """
        retrying = Retrying(
            stop=stop_after_attempt(self.attempts),
            wait=wait_exponential(multiplier=self.pause_s, max=4 * self.pause_s),
            retry=retry_if_result(_may_end_otherwise),
            # The last answer as it is: its own error would carry every attempt.
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else _Answer("was not asked"),
        )
        body = {"text": text if len(text) <= LONGEST else text[: LONGEST - len(CUT)] + CUT}
        # This machine's own receiver is never behind a proxy.
        with httpx.Client(timeout=self.timeout_s, follow_redirects=False, trust_env=self.host not in LOCAL) as client:
            answer = retrying(self._attempt, client, body)
        if answer.problem is not None:
            kind = AlertRefusedError if answer.refused else AlertError
            raise kind(f"The webhook on {self.host} {answer.problem}")

    def _attempt(self, client: httpx.Client, body: dict[str, str]) -> _Answer:
        """One attempt. No exception leaves it: httpx's hold the request, and so the address."""
        try:
            with _unlogged():
                status = client.post(self.url.get_secret_value(), json=body).status_code
        except httpx.TimeoutException:
            return _Answer(f"did not answer within {self.timeout_s:g} s: see whether it is up.", again=True)
        except httpx.TransportError as error:
            return _Answer(
                f"could not be reached ({type(error).__name__}): start what listens there, or correct {VARIABLE}.",
                again=True,
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return _Answer(f"cannot be posted to ({type(error).__name__}): correct {VARIABLE}.")
        if status < 300:
            return _Answer()
        if status < 400:
            return _Answer(
                f"sends messages elsewhere (HTTP {status}), which is not followed: set {VARIABLE} to where they are to go."
            )
        if status == 429 or status >= 500:
            return _Answer(f"cannot take the message now (HTTP {status}): see whether it is up.", again=True)
        return _Answer(f"refuses the message (HTTP {status}): correct {VARIABLE}, or make a new webhook.", refused=True)


def webhook_of(settings: Settings) -> Webhook | None:
    """The webhook that the settings name; None: none is set.

    Raises:
        AlertError: it cannot be one.
    """
    return None if settings.alert_webhook is None else Webhook(settings.alert_webhook)


def plainer(text: str) -> str:
    """The message in plain ASCII words of at most PLAIN_LONGEST characters, its longest lines cut first.

    For a message that was refused: what stands between us and the webhook may take the SQL or the markup of somebody's error
    for an attack, and an address at the end must still be there.
    """
    ascii_only = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    lines = [" ".join(re.sub(r"[^\w .,:/-]+", " ", line).split()) for line in ascii_only.splitlines()]
    while (over := len("\n".join(lines)) - PLAIN_LONGEST) > 0:
        longest = max(range(len(lines)), key=lambda place: len(lines[place]))
        if not lines[longest]:
            return "\n".join(lines)[:PLAIN_LONGEST]
        most = len(lines[longest])
        second = max((len(line) for place, line in enumerate(lines) if place != longest), default=0)
        # Down to the next longest one, so that none is cut away while another keeps all of it; of two alike, half each.
        kept = max(most - over, second) if second < most else most - max(1, over // 2)
        lines[longest] = lines[longest][: max(0, kept)].rstrip()
    return "\n".join(lines)


def without_secrets(text: str, settings: Settings) -> str:
    """The text without any value of a secret setting, nor the password in one: other people's errors may quote them."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if not isinstance(value, SecretStr):
            continue
        secret = value.get_secret_value()
        # Without a login it is no secret, and a person has to read which MLflow does not answer.
        if name == "mlflow_tracking_uri" and "@" not in secret:
            continue
        for part in (secret, *_passwords(secret)):
            if len(part) >= SHORTEST_SECRET:
                text = text.replace(part, "***")
    return text


def _passwords(secret: str) -> tuple[str, ...]:
    try:
        password = urlsplit(secret).password
    except ValueError:  # no address, and so none with a password in it
        return ()
    return () if password is None else (password, unquote(password))


def _may_end_otherwise(answer: _Answer) -> bool:
    return answer.again


_POSTING: ContextVar[bool] = ContextVar("posting", default=False)


def _of_no_post(_: logging.LogRecord) -> bool:
    return not _POSTING.get()


# httpx writes the whole address of every request into its log, and httpcore where a redirect leads. A filter holds for its own logger
# alone, and not for those below it.
for _name in ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy"):
    logging.getLogger(_name).addFilter(_of_no_post)


@contextmanager
def _unlogged() -> Generator[None]:
    token = _POSTING.set(True)
    try:
        yield
    finally:
        _POSTING.reset(token)
