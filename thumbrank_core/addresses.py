"""Addresses of servers as they may be shown, and the login that one can carry. What belongs here: taking them apart."""

import re
from urllib.parse import unquote, urlsplit

# Up to the last @: a password may hold a / or a ? that should have been a %-code, and is not to be shown for that.
_LOGIN = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)?.*@", re.DOTALL)


def without_login(address: str) -> str:
    """What a link, a log or a sentence may hold of it: neither user nor password, and no query or fragment."""
    return re.split(r"[?#]", _LOGIN.sub(r"\1", address), maxsplit=1)[0]


def login_of(address: str) -> tuple[str, str] | None:
    """User and password as they are meant (%-codes read); None where it lacks one, or where they cannot be told for certain."""
    try:
        parts = urlsplit(address)
        certain = bool(parts.hostname) and parts.port != 0 and "@" not in parts.path + parts.query + parts.fragment
    except ValueError:  # its text holds parts of the address
        return None
    if not (certain and parts.username and parts.password):
        return None
    return unquote(parts.username), unquote(parts.password)
