"""The consents we hold: one private file an owner below THUMBRANK_HOME, outside the database and its backups.

What belongs here: keeping refresh tokens. Files are 0600 in a folder that is 0700, from their first moment on and whatever
the umask; access tokens are never written at all.
"""

import fcntl
import os
import re
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError, field_serializer

from thumbrank_core.progress import say
from thumbrank_core.store.files import PART, write_text
from thumbrank_core.youtube.reach.errors import ReachError

_OWNER_ID = re.compile(r"UC[A-Za-z0-9_-]{22}")
_AS_BEFORE = "run as the account that ran `thumbrank reach login`."


class Consent(BaseModel):
    """What an owner gave us, and to which client. The refresh token shows as asterisks."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, extra="forbid")

    owner_id: str
    refresh_token: SecretStr
    client_id: str
    token_uri: str
    granted_at: datetime

    @field_serializer("refresh_token", when_used="json")
    def _reveal(self, value: SecretStr) -> str:
        """Only JSON, which only `TokenStore.write` makes."""
        return value.get_secret_value()


def require_owner_id(text: str) -> str:
    """The id of a channel, which then may be part of a file's name.

    Raises:
        ReachError: it is none.
    """
    if _OWNER_ID.fullmatch(text) is None:
        raise ReachError("not_given", f"'{text[:60]}' is not the id of a channel: it has UC and 22 more characters.")
    return text


class TokenStore:
    """Consents by owner in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def owners(self) -> list[str]:
        """The ids of all owners whose consent is here, sorted."""
        return sorted(path.stem for path in self.folder.glob("UC*.json") if _OWNER_ID.fullmatch(path.stem))

    def path(self, owner_id: str) -> Path:
        """Where an owner's consent is kept."""
        return self.folder / f"{require_owner_id(owner_id)}.json"

    def read(self, owner_id: str) -> Consent | None:
        """An owner's consent, or None.

        Raises:
            ReachError: the file can be read by others, or is broken.
        """
        path = self.path(owner_id)
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ReachError("file_unreadable", f"{path} cannot be read ({error.strerror}): {_AS_BEFORE}") from None
        with os.fdopen(handle, encoding="utf-8") as file:
            if stat.S_IMODE(os.fstat(handle).st_mode) & 0o077:
                raise ReachError("file_open", f"{path} can be read by others: run chmod 600 {path}")
            text = file.read()
        try:
            return Consent.model_validate_json(text)
        except ValidationError:
            raise ReachError(
                "file_broken", f"{path} is broken: remove it and run `thumbrank reach login` again (its rows stay)."
            ) from None

    def write(self, consent: Consent) -> None:
        """Keep a consent in place of the owner's last one: all of it or nothing, and on the disk when this returns."""
        path = self.path(consent.owner_id)
        self._make_folder()
        write_text(path, consent.model_dump_json(indent=2) + "\n", private=True, durable=True)

    def delete(self, owner_id: str) -> bool:
        """Forget a consent; False where there was none."""
        path = self.path(owner_id)
        path.with_name(path.name + PART).unlink(missing_ok=True)  # of a login that was killed
        with suppress(FileNotFoundError):
            path.unlink()
            return True
        return False

    @contextmanager
    def locked(self) -> Generator[None]:
        """Keep other processes' logins, syncs and logouts on this folder waiting; ends with this process at the latest."""
        self._make_folder()
        handle = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("Another `thumbrank reach` is at work on the same owners: waiting for it.")
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _make_folder(self) -> None:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            self.folder.mkdir(mode=0o700)
        try:
            self.folder.chmod(0o700)  # a backup that was restored may have opened it
        except PermissionError:
            raise ReachError("file_unreadable", f"{self.folder} is not ours to use: {_AS_BEFORE}") from None
