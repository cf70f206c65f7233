"""A training recipe: validated, hashed, logged. What belongs here: numbers that shape training; data and paths do not."""

import hashlib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from thumbrank_core.configuration import called, read_yaml
from thumbrank_core.errors import ThumbrankError
from thumbrank_core.paths import config_file

LATE = 0.75
"""Where weight averaging starts in runs that are too short for their recipe's `swa_start`: the guide's 150 of 200."""


class RecipeError(ThumbrankError):
    """A recipe that does not exist or is malformed."""


class Recipe(BaseModel):
    """One file of config/recipes/."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    # The network.
    hidden_dim: int = Field(ge=8, description="Width of the shared features.")
    norm: Literal["layer", "batch"] = Field(description="batch: the guide's heads, with BatchNorm in the absolute one.")
    dropout: float = Field(ge=0, lt=1, description="On the shared features, half of it on the input (norm: layer).")
    head_dropout: float = Field(ge=0, le=4, description="A factor of the heads' own rates; 1 as in the guide.")
    wide: bool = Field(description="Add a linear function of the input to the ranking score (wide and deep).")
    read_out: Literal["shared", "head"] = Field(
        description="Engagement from the ranking score itself, or from a head of its own."
    )
    # What is learnt.
    pair_loss: Literal["margin", "logistic"] = Field(description="MarginRankingLoss, or RankNet / Bradley-Terry.")
    margin: float = Field(ge=0, description="Of the margin loss, in units of the score.")
    soft_targets: bool = Field(description="P(a beats b) by the size of the gap, instead of who won (logistic loss).")
    pair_smoothing: float = Field(ge=0, lt=1, description="Draws the pairs' targets towards one half (logistic loss).")
    channel_weighted: bool = Field(description="Each channel counts once, however many pairs it has.")
    engagement_loss: Literal["mse", "logistic"]
    engagement_weight: float = Field(ge=0, description="Of the absolute head's loss beside the pair loss.")
    label_smoothing: float = Field(ge=0, lt=1, description="Draws the absolute head's targets towards one half.")
    ctr_owner: str | None = Field(
        description="Whose real click-through rates train the absolute head (an owner's channel id). null: the only owner's there is."
    )
    use_ctr: bool = Field(description="Whether the absolute head learns real click-through rates where there are some.")
    sub_scores: Literal["engagement", "signals"] = Field(
        description="engagement: six heads on the absolute head's target, as in the guide. signals: each on its own signal, "
        "fitted on the shipped features, which they cannot bend."
    )
    sub_score_weight: float = Field(ge=0, description="Of the sub-scores' loss beside the pair loss (engagement).")
    sub_score_epochs: int = Field(ge=1, description="How often the heads see the training items (signals).")
    mixup_alpha: float = Field(ge=0, description="Beta(alpha, alpha) of the guide's mixup of a pair's sides; 0: none.")
    # Steps.
    batch_by: Literal["pair", "channel"] = Field(
        description="A step takes pairs, or channels with all pairs between their items, each item scored once."
    )
    batch_size: int = Field(ge=1, description="How many of them.")
    epochs: int = Field(ge=1, description="Upper bound where `patience` ends it.")
    patience: int | None = Field(
        ge=1, description="Epochs without a better validation pair accuracy before it stops; null: never."
    )
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0, description="AdamW's, on matrices only.")
    schedule: Literal["constant", "cosine"]
    warmup_fraction: float = Field(ge=0, lt=1, description="Share of all steps with a rising rate.")
    gradient_clip: float = Field(gt=0, description="Largest norm of the gradient.")
    averaging: Literal["none", "ema", "swa"] = Field(description="Of the weights over steps (ema) or epochs (swa).")
    ema_decay: float = Field(ge=0, lt=1)
    swa_start: int = Field(ge=0, description="First epoch that is averaged; 75 % of the epochs where they are fewer.")
    ship: Literal["best", "last"] = Field(description="The weights of the best epoch on validation, or the last.")
    # How it runs.
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        description="auto: bfloat16 where the device gains by it."
    )
    compile: bool = Field(description="Run the network through torch.compile.")
    checkpoint_every: int = Field(ge=1, description="Epochs between two checkpoints.")
    log_every: int = Field(ge=1, description="Epochs between two lines on the console.")
    # CLIP itself.
    freeze_clip: bool
    fine_tune_blocks: int | Literal["all"] = Field(
        description="CLIP's last blocks that are trained; 0 with freeze_clip."
    )
    tower_learning_rate: float = Field(gt=0, description="Of CLIP's blocks; real ones want 1e-6 to 1e-5.")
    layer_decay: float = Field(gt=0, le=1, description="Factor of the rate from each block to the one below.")
    gradient_checkpointing: bool = Field(description="Recompute activations of CLIP's blocks instead of keeping them.")
    seed: int = Field(ge=0)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.freeze_clip and self.fine_tune_blocks != 0:
            raise ValueError("fine_tune_blocks trains CLIP: set freeze_clip to false, or fine_tune_blocks to 0")
        if not self.freeze_clip and self.fine_tune_blocks == 0:
            raise ValueError("freeze_clip is false and fine_tune_blocks is 0: say how many blocks are trained")
        if isinstance(self.fine_tune_blocks, int) and self.fine_tune_blocks < 0:
            raise ValueError("fine_tune_blocks is below 0")
        if self.mixup_alpha > 0 and self.batch_by == "channel":
            raise ValueError("mixup_alpha mixes the two sides of a pair: set batch_by to pair, or mixup_alpha to 0")
        return self

    @property
    def sha256(self) -> str:
        """The digest of what the recipe says."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def averages_from(self) -> int:
        """The first epoch whose weights enter the average (SWA)."""
        return self.swa_start if self.swa_start < self.epochs else int(LATE * self.epochs)

    def with_overrides(self, overrides: Mapping[str, Any]) -> "Recipe":
        """The recipe with fields changed.

        Raises:
            RecipeError: a field is unknown or out of range; the sentence names it.
        """
        return _validated(self.name, self.model_dump() | dict(overrides))


def load_recipe(name: str, overrides: Mapping[str, Any] | None = None, folder: Path | None = None) -> Recipe:
    """Read config/recipes/<name>.yaml, with fields overridden.

    A recipe says only what differs from the one it names in `base`.

    Raises:
        RecipeError: no such recipe, or a field is unknown or out of range; the sentence names it.
    """
    return _validated(name, _read(name, folder or config_file("recipes")) | dict(overrides or {}))


def known_recipes(folder: Path | None = None) -> list[str]:
    """The recipes there are."""
    return sorted(file.stem for file in (folder or config_file("recipes")).glob("*.yaml"))


def _read(name: str, place: Path, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields of a recipe and of those it is based on; `above`: the recipes that are based on it."""
    path = place / f"{name}.yaml"
    if not path.is_file() or path.parent != place:
        raise RecipeError(f"'{name}' is not a recipe: use one of {', '.join(known_recipes(place))} (config/recipes/).")
    said = read_yaml(path, RecipeError)
    if not isinstance(said, dict):
        raise RecipeError(f"{called(path)} names no fields: write them as `epochs: 20`, one a line.")
    fields = cast(dict[str, Any], said)
    base = fields.pop("base", None)
    if base is None:
        return fields
    if base in (*above, name):
        raise RecipeError(
            f"Recipe {name} is its own base ({' > '.join((*above, name, base))}): name another in `base`, or take that line out of "
            "one of them."
        )
    return _read(str(base), place, (*above, name)) | fields


def _validated(name: str, fields: dict[str, Any]) -> Recipe:
    try:
        return Recipe.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"] if part not in ("int", "literal['all']"))
        says = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            near = get_close_matches(field, Recipe.model_fields, n=3, cutoff=0.6)
            meant = f"did you mean {' or '.join(near)}? " if near else ""
            raise RecipeError(
                f"Recipe {name}: a recipe has no field {field}: {meant}`thumbrank train --dry-run` shows all of them."
            ) from None
        raise RecipeError(f"Recipe {name}: {field + ' is wrong (' + says + ')' if field else says}.") from None
