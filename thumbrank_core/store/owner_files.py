"""Files made of one owner's own figures, which nobody else's file may hold: `<models>/<model>/owners/<owner>.json`.

What belongs here: where they lie, that they are private (0600 in a folder 0700), and that they go with the owner. What
is in them is training/read_outs.py; when they go, retention/ and youtube/reach/.
"""

import re
from contextlib import suppress
from pathlib import Path

from thumbrank_core.store.files import PART, write_text

OWNERS = "owners"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def nameable(owner_id: str) -> bool:
    """Whether an id may be part of a file's name; every channel's id of YouTube may."""
    return _NAME.fullmatch(owner_id) is not None


class OwnerFiles:
    """The owners' files beside every model in one folder."""

    def __init__(self, models: Path) -> None:
        self.models = models

    def path(self, model: str, owner_id: str) -> Path:
        """Where an owner's file of the model in the folder `model` lies.

        Raises:
            ValueError: the id may not be part of a file's name.
        """
        if not nameable(owner_id):
            raise ValueError(f"'{owner_id[:60]}' is not the id of a channel.")
        return self.models / model / OWNERS / f"{owner_id}.json"

    def owners(self) -> set[str]:
        """The owners of whom there is a file beside any model."""
        return {path.stem for path in self.models.glob(f"*/{OWNERS}/*.json")}

    def of(self, owner_id: str) -> list[Path]:
        """An owner's files, one a model."""
        return sorted(path for path in self.models.glob(f"*/{OWNERS}/*.json") if path.stem == owner_id)

    def write(self, model: str, owner_id: str, text: str) -> Path:
        """Put a file in place of the owner's last one: all of it or nothing, private from its first moment on,
        and on the disk when this returns."""
        path = self.path(model, owner_id)
        path.parent.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            path.parent.mkdir(mode=0o700)
        path.parent.chmod(0o700)  # a backup that was restored may have opened it
        write_text(path, text, private=True, durable=True)
        return path

    def delete(self, owner_id: str) -> int:
        """Remove an owner's files beside every model; returns how many there were. Safe to repeat."""
        for left in self.models.glob(f"*/{OWNERS}/*.json{PART}"):  # of a run that was killed
            if left.name == f"{owner_id}.json{PART}":
                left.unlink(missing_ok=True)
        paths = self.of(owner_id)
        for path in paths:
            path.unlink(missing_ok=True)
        return len(paths)
