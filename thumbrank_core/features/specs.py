"""Encoder sets as `config/encoders.yaml` names them, and where their files are. No model is loaded here."""

import hashlib
import importlib.util
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from thumbrank_core.configuration import called, checked, read_config
from thumbrank_core.errors import ThumbrankError
from thumbrank_core.paths import config_file, project_root

Resize = Literal["squash", "longest", "crop"]
"""How a 16:9 picture becomes a square (preprocess.py). A crop, CLIP's own way, throws away 44 % of the width."""
Precision = Literal["float32", "bfloat16", "float16"]
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "float16")
WEIGHTS = "model.safetensors"


class EncoderError(ThumbrankError):
    """An encoder that is not known, cannot be found, or is not what it should be. Nothing is ever substituted."""


class _Spec(BaseModel, ABC, frozen=True):
    model_config = ConfigDict(extra="forbid")

    model: str
    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    dimension: int = Field(ge=1)
    precision: Precision | Literal["auto"] = "auto"
    """What the model computes in. auto: as the vectors that are stored, else what this machine gains by (precision.py)."""

    @property
    @abstractmethod
    def kind(self) -> str:
        """The first part of the id: which maker's code runs the model."""

    @property
    def called(self) -> str:
        """The model's name in the id."""
        return self.model

    @property
    def preprocessing(self) -> str:
        """What happens before the model, as part of the id."""
        return "nfc"

    @property
    def pinned_in(self) -> str:
        """The file that says what the model must be."""
        return "config/encoders.yaml"

    def id_in(self, precision: Precision) -> str:
        """The id of its vectors when they are computed in that precision."""
        pin = self.revision or (self.sha256 or "unpinned")[:16]
        return f"{self.kind}:{self.called}@{pin}:{self.preprocessing}:{precision}"

    @property
    def encoder_id(self) -> str:
        """What makes two vectors comparable: model, revision, preprocessing, precision.

        Raises:
            EncoderError: the precision is still to be settled.
        """
        if self.precision == "auto":
            raise EncoderError(f"The precision of {self.model} is not settled yet: see features/precision.py.")
        return self.id_in(self.precision)


class ImageSpec(_Spec, frozen=True):
    """A CLIP image tower and how pictures are brought to its square input."""

    resize: Resize

    @property
    def kind(self) -> str:
        """CLIP."""
        return "clip"

    @property
    def preprocessing(self) -> str:
        """How the picture became a square."""
        return self.resize


class TunedSpec(ImageSpec, frozen=True):
    """An image tower whose blocks were fine-tuned here (tuned.py); `model` is the folder beside its bundle.

    Its vectors are not in the space of the tower it was before, and so not in that of the captions.
    """

    base: ImageSpec
    """What it was before, its precision settled."""

    @property
    def kind(self) -> str:
        """CLIP, changed."""
        return "clip-tuned"

    @property
    def called(self) -> str:
        """As it was called before: where its folder lies must not change the id."""
        return self.base.model

    @property
    def pinned_in(self) -> str:
        """The card beside the weights."""
        return "the encoder.json beside them"


class CaptionSpec(_Spec, frozen=True):
    """The text tower of the same CLIP: its vectors and the image tower's lie in one space."""

    @property
    def kind(self) -> str:
        """CLIP's other tower."""
        return "clip-text"


class TitleSpec(_Spec, frozen=True):
    """A sentence-transformers model."""

    @property
    def kind(self) -> str:
        """sentence-transformers."""
        return "sentence"


Spec = ImageSpec | CaptionSpec | TitleSpec


class EncoderSet(BaseModel):
    """Named encoders: CLIP for pictures, sentence-transformers for titles."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    image: ImageSpec
    title: TitleSpec
    speaks: bool
    """Whether CLIP's text tower knows words of real titles and prompts; the tiny one knows only the simulator's."""

    @property
    def caption(self) -> CaptionSpec:
        """CLIP's text tower, for what a picture and a title have in common."""
        shared = {"model", "revision", "sha256", "dimension", "precision"}
        return CaptionSpec.model_validate(self.before_tuning.image.model_dump(include=shared))

    @property
    def specs(self) -> tuple[ImageSpec, TitleSpec, CaptionSpec]:
        """Its encoders, CLIP's text tower among them."""
        return self.image, self.title, self.caption

    @property
    def before_tuning(self) -> Self:
        """The set whose image tower has a text tower beside it: this one, unless its image tower was fine-tuned."""
        return self.model_copy(update={"image": self.image.base}) if isinstance(self.image, TunedSpec) else self

    def settled(self, image: Precision, title: Precision) -> Self:
        """The same encoders with their precisions."""
        return self.model_copy(
            update={
                "image": self.image.model_copy(update={"precision": image}),
                "title": self.title.model_copy(update={"precision": title}),
            }
        )


class _File(BaseModel):
    sets: dict[str, dict[str, Any]]


def load_set(name: str, path: Path | None = None) -> EncoderSet:
    """The encoder set of that name.

    Raises:
        EncoderError: there is none, or the file is malformed.
    """
    source = path or config_file("encoders.yaml")
    sets = load_sets(source)
    if name not in sets:
        raise EncoderError(f"'{name}' is not an encoder set: use one of {', '.join(sets)} ({called(source)}).")
    return sets[name]


def load_sets(path: Path | None = None) -> dict[str, EncoderSet]:
    """Every encoder set, by name.

    Raises:
        EncoderError: the file is malformed.
    """
    source = path or config_file("encoders.yaml")
    sets = read_config(source, _File, EncoderError).sets
    return {
        name: checked(source, EncoderSet, {"name": name, **entry}, EncoderError, "sets", name)
        for name, entry in sets.items()
    }


@dataclass(frozen=True)
class Located:
    """Where a model is: a local folder, or a hub name with its revision."""

    name_or_path: str
    revision: str | None
    is_local: bool


def locate(spec: Spec) -> Located:
    """Find the files of a spec and check the pinned sha256 of local weights.

    Raises:
        EncoderError: the folder or package is not there, or its weights are not the pinned ones.
    """
    folder = _local_folder(spec.model)
    if folder is None:
        if spec.revision is None:
            raise EncoderError(f"{spec.model} comes from the hub and has no revision: pin one in config/encoders.yaml.")
        return Located(spec.model, spec.revision, is_local=False)
    if not (folder / WEIGHTS).is_file():
        raise EncoderError(f"{spec.model} has no {WEIGHTS}: only safetensors weights are loaded.")
    found = weights_digest(folder)
    if spec.sha256 is None:
        raise EncoderError(
            f"{spec.model} is a folder and has no sha256: pin its weights in {spec.pinned_in} (sha256: {found}), or other "
            "weights in it would pass for these."
        )
    if found != spec.sha256:
        raise EncoderError(
            f"The weights of {spec.model} are not those that {spec.pinned_in} pins: restore them, or pin the new sha256."
        )
    return Located(str(folder), None, is_local=True)


def weights_digest(folder: Path) -> str:
    """The sha256 of the weights in a folder; the same file is read once a process."""
    weights = folder / WEIGHTS
    return _sha256(weights, weights.stat().st_mtime_ns)


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
