"""Encoder sets as `config/encoders.yaml` names them, and where their files are. No model is loaded here."""

import hashlib
import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.paths import config_file, project_root

Resize = Literal["squash"]
"""squash keeps the whole 16:9 picture: a centre crop throws away 44 % of its width."""
DTYPE = "float32"


class EncoderError(ThumbrankError):
    """An encoder that is not known, cannot be found, or is not what it should be. Nothing is ever substituted."""


class _Spec(BaseModel, frozen=True):
    model_config = ConfigDict(extra="forbid")

    model: str
    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    dimension: int = Field(ge=1)


class ImageSpec(_Spec, frozen=True):
    """A CLIP image tower and how pictures are brought to its square input."""

    resize: Resize

    @property
    def encoder_id(self) -> str:
        """What makes two vectors comparable: model, revision, preprocessing, dtype."""
        return f"clip:{self.model}@{_pin(self)}:{self.resize}:{DTYPE}"


class TitleSpec(_Spec, frozen=True):
    """A sentence-transformers model."""

    @property
    def encoder_id(self) -> str:
        """What makes two vectors comparable: model, revision, normalisation of the text, dtype."""
        return f"sentence:{self.model}@{_pin(self)}:nfc:{DTYPE}"


class EncoderSet(BaseModel):
    """A named pair of encoders."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    image: ImageSpec
    title: TitleSpec


def _pin(spec: _Spec) -> str:
    return spec.revision or (spec.sha256 or "unpinned")[:16]


def load_set(name: str, path: Path | None = None) -> EncoderSet:
    """The encoder set of that name.

    Raises:
        EncoderError: there is none, or the file is malformed.
    """
    source = path or config_file("encoders.yaml")
    try:
        sets = yaml.safe_load(source.read_text(encoding="utf-8"))["sets"]
        if name not in sets:
            raise EncoderError(f"'{name}' is not an encoder set: use one of {', '.join(sets)} (config/{source.name}).")
        return EncoderSet.model_validate({"name": name, **sets[name]})
    except (yaml.YAMLError, ValidationError, KeyError, TypeError) as error:
        raise EncoderError(f"config/{source.name} cannot be read: {' '.join(str(error).split())[:200]}") from None


@dataclass(frozen=True)
class Located:
    """Where a model is: a local folder, or a hub name with its revision."""

    name_or_path: str
    revision: str | None
    is_local: bool


def locate(spec: ImageSpec | TitleSpec) -> Located:
    """Find the files of a spec and check the pinned sha256 of local weights.

    Raises:
        EncoderError: the folder or package is not there, or its weights are not the pinned ones.
    """
    folder = _local_folder(spec.model)
    if folder is None:
        if spec.revision is None:
            raise EncoderError(f"{spec.model} comes from the hub and has no revision: pin one in config/encoders.yaml.")
        return Located(spec.model, spec.revision, is_local=False)
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise EncoderError(f"{spec.model} has no model.safetensors: only safetensors weights are loaded.")
    if spec.sha256 is not None and _sha256(weights, weights.stat().st_mtime_ns) != spec.sha256:
        raise EncoderError(
            f"The weights of {spec.model} are not those that config/encoders.yaml pins: reinstall them, or pin the new sha256."
        )
    return Located(str(folder), None, is_local=True)


def _local_folder(model: str) -> Path | None:
    if model.startswith("package:"):
        package, _, inner = model.removeprefix("package:").partition("/")
        found = importlib.util.find_spec(package)  # does not run the package
        places = list(found.submodule_search_locations or []) if found else []
        if not places:
            raise EncoderError(f"{model} needs the package {package}: pip install 'thumbrank[demo]'.")
        return Path(places[0]) / inner
    for candidate in (Path(model), project_root() / model, Path(__file__).resolve().parents[2] / model):
        if candidate.is_dir():
            return candidate
    return None


@cache
def _sha256(path: Path, _modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
