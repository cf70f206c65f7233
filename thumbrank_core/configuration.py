"""Reading a file of `config/`: YAML into a model, and one sentence that names file, key and mend where that cannot be.

What belongs here: what all of them have in common. What each file says, and where it lies, is its reader's.
"""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from thumbrank_core.errors import ThumbrankError

Model = TypeVar("Model", bound=BaseModel)


def read_config(path: Path, model: type[Model], error: type[ThumbrankError] = ThumbrankError) -> Model:
    """The file as that model says it has to be; an empty one is an empty mapping.

    Raises:
        error: the file is missing, unreadable, not UTF-8, not YAML, or a field of it is wrong.
    """
    return checked(path, model, read_yaml(path, error), error)


def read_yaml(path: Path, error: type[ThumbrankError] = ThumbrankError) -> Any:
    """What the file says, unchecked.

    Raises:
        error: it is missing, unreadable, not UTF-8 or not YAML.
    """
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise error(f"{called(path)} is missing: restore it from the project.") from None
    except OSError as reason:
        raise error(f"{called(path)} cannot be read ({reason.strerror}): give this account the right to.") from None
    except UnicodeDecodeError as reason:
        raise error(f"{called(path)} is not UTF-8 text (at byte {reason.start}): save it as UTF-8.") from None
    except (yaml.YAMLError, ValueError) as reason:  # ValueError: such as a date that no calendar has
        raise error(f"{called(path)} is not YAML ({' '.join(str(reason).split())[:200]}): correct it there.") from None
    return {} if said is None else said


def checked(path: Path, model: type[Model], said: Any, error: type[ThumbrankError], *place: str) -> Model:
    """What a file says, or the part of it at `place`, as that model says it has to be.

    Raises:
        error: a field is wrong; the first one is named.
    """
    try:
        return model.model_validate(said)
    except ValidationError as reason:
        first = reason.errors()[0]
        key = ".".join(str(part) for part in (*place, *first["loc"]) if part != "[key]") or "the whole of it"
        says = first["msg"].removeprefix("Value error, ")
        raise error(f"{called(path)}: {key} is wrong ({says}): correct it there.") from None


def called(path: Path) -> str:
    """The file as sentences call it: config/policy.yaml."""
    return f"{path.parent.name}/{path.name}"


def written_at(path: Path) -> int:
    """When it was last written, for a cache of what it says; 0 where it is missing, which is for its reader to say."""
    return path.stat().st_mtime_ns if path.is_file() else 0
