"""A training recipe: validated, hashed, logged. What belongs here: numbers that shape training; data and paths do not."""

import hashlib
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.paths import config_file


class RecipeError(ThumbrankError):
    """A recipe that does not exist or is malformed."""


class Recipe(BaseModel):
    """One file of config/recipes/."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    hidden_dim: int = Field(ge=8, description="Width of the shared features.")
    dropout: float = Field(ge=0, lt=1)
    epochs: int = Field(ge=1, description="Upper bound; early stopping usually ends it.")
    patience: int = Field(ge=1, description="Epochs without a better validation pair accuracy before it stops.")
    channels_per_step: int = Field(
        ge=1, description="Channels scored in one step; all their pairs come from those scores."
    )
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    warmup_fraction: float = Field(ge=0, lt=1, description="Share of all steps with a rising rate; cosine afterwards.")
    gradient_clip: float = Field(gt=0)
    ema_decay: float = Field(ge=0, lt=1, description="Of the averaged weights, which are validated and shipped.")
    engagement_weight: float = Field(ge=0, description="Of the engagement loss beside the pair loss.")
    seed: int = Field(ge=0)

    @property
    def sha256(self) -> str:
        """The digest of what the recipe says."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def load_recipe(name: str, overrides: dict[str, Any] | None = None, folder: Path | None = None) -> Recipe:
    """Read config/recipes/<name>.yaml, with fields overridden.

    Raises:
        RecipeError: no such recipe, or a field is unknown or out of range; the sentence names it.
    """
    place = folder or config_file("recipes")
    path = place / f"{name}.yaml"
    if not path.is_file() or path.parent != place:
        known = ", ".join(sorted(file.stem for file in place.glob("*.yaml")))
        raise RecipeError(f"'{name}' is not a recipe: use one of {known} (config/recipes/).")
    try:
        return Recipe.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) | (overrides or {}))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise RecipeError(f"Recipe {name}: {field or 'the file'} is wrong ({first['msg']}).") from None
    except (yaml.YAMLError, TypeError) as error:
        raise RecipeError(f"Recipe {name} cannot be read: {' '.join(str(error).split())[:160]}") from None
