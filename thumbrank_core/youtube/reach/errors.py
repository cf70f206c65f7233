"""What can go wrong between us, an owner's consent and the Reporting API; each type says what to do next."""

import json
from typing import Any, Literal

from thumbrank_core.errors import ThumbrankError, TransientError

ReachKind = Literal[
    "report_gone",
    "report_line",
    "report_unreadable",
    "report_elsewhere",
    "busy",
    "unreachable",
    "answer",
    "listing",
    "refused",
    "not_allowed",
    "api_disabled",
    "no_token",
    "other_client",
    "forgotten",
    "logged_out",
    "consent_ended",
    "first_report",
    "file_open",
    "file_broken",
    "file_unreadable",
    "not_given",
]
"""What a sentence about an owner is of: for those who count and may not repeat it, as it names owners and reports."""


class ReachError(ThumbrankError):
    """Something about consent or reports that a person can mend. `kind`: what may be told of it without naming anybody."""

    def __init__(self, kind: ReachKind, message: str) -> None:
        super().__init__(message)
        self.kind: ReachKind = kind


class PassingReachError(ReachError, TransientError):
    """The same request may succeed in a while: Google is busy, or the network is away."""


class ConsentEndedError(ReachError):
    """Google no longer accepts the refresh token: the owner withdrew the consent, or it expired."""


class ReportUnreadableError(ReachError):
    """One report is not what it should be, or is gone; the others can be read."""


def reasons_of(body: bytes) -> tuple[frozenset[str], str]:
    """The machine words and the sentence of a Google error body; HTML and broken bodies have neither."""
    try:
        parsed = json.loads(body)
    except ValueError:
        return frozenset(), ""
    error = parsed.get("error") if isinstance(parsed, dict) else None
    if isinstance(error, str):  # the token endpoint's shape (RFC 6749 §5.2)
        return frozenset({error}), str(parsed.get("error_description") or error)[:200]
    if not isinstance(error, dict):
        return frozenset(), ""
    entries: list[Any] = [*(error.get("errors") or []), *(error.get("details") or [])]
    words = {str(entry["reason"]) for entry in entries if isinstance(entry, dict) and entry.get("reason")}
    if error.get("status"):
        words.add(str(error["status"]))
    return frozenset(words), str(error.get("message") or "")[:200]
