"""Checkpoints: everything that a resumed run needs to be the run that was not interrupted, in one file, written atomically.

Tensors and plain values only, so that torch reads them back with `weights_only=True`; a file that holds anything else is
refused. A checkpoint knows the recipe and the data it belongs to, and continues nothing else.
"""

import json
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.store.files import replacing

FORMAT = 1


class CheckpointError(ThumbrankError):
    """A checkpoint that cannot be read, or that belongs to another training."""


@dataclass(frozen=True)
class Origin:
    """What a checkpoint belongs to. `recipe`: its fields. `data`: the data set's digest; `versions`: niche -> data version.
    `world`: how many processes take part: each has its own share of a step."""

    recipe: dict[str, Any]
    data: str
    versions: dict[str, str]
    world: int


def save(path: Path, origin: Origin, state: dict[str, Any]) -> None:
    """Put `state` (tensors, numbers, text, and dicts and lists of them) in its place, on the disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, durable=True) as part, part.open("wb") as file:
        torch.save({"format": FORMAT, "origin": json.dumps(origin.__dict__), "state": state}, file)


def load(path: Path, origin: Origin) -> dict[str, Any]:
    """Read the state back.

    Raises:
        CheckpointError: there is none, it is damaged, or it is of another recipe, other data or another number of processes;
            the sentence names what differs.
    """
    theirs, state = _read(path)
    changed = [
        f"{name} was {theirs.recipe.get(name)!r} and is {value!r}"
        for name, value in origin.recipe.items()
        if theirs.recipe.get(name) != value
    ]
    if changed:
        raise CheckpointError(
            f"{path.name} is of another recipe ({'; '.join(changed[:3])}): train with its fields, or start anew without it."
        )
    if theirs.data != origin.data:
        niches = sorted(
            niche
            for niche in origin.versions.keys() | theirs.versions.keys()
            if origin.versions.get(niche) != theirs.versions.get(niche)
        )
        named = f"those of {', '.join(niches)} changed" if niches else "vectors, labels or splits changed"
        raise CheckpointError(
            f"{path.name} is of other data ({named}): a run continues only on the rows it began with; start anew without it."
        )
    if theirs.world != origin.world:
        raise CheckpointError(
            f"{path.name} is of {theirs.world} processes and this is {origin.world}: continue with as many."
        )
    return state


def _read(path: Path) -> tuple[Origin, dict[str, Any]]:
    try:
        # On the CPU: the generators' states belong there, and the rest is copied into tensors that know their device.
        found = torch.load(path, map_location="cpu", weights_only=True)
        if found["format"] != FORMAT:
            raise CheckpointError(f"{path} is a checkpoint of another version of Thumbrank: start anew without it.")
        return Origin(**json.loads(found["origin"])), found["state"]
    except FileNotFoundError:
        raise CheckpointError(f"There is no checkpoint {path}: see what lies in {path.parent}.") from None
    except (pickle.UnpicklingError, RuntimeError, KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile):
        raise CheckpointError(
            f"{path} is not a checkpoint of Thumbrank, or it is damaged: name another, or start anew without it."
        ) from None
