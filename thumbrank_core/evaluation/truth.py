"""What a simulated world knows and real data never has: why its videos are watched, and how their views grow.

What belongs here: the one file in which a demo hands it on (`truth.json`), its form and how it is read. What is measured
against it is evaluate.py; a world's own knowledge is the simulator's.
"""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from thumbrank_core.errors import ThumbrankError


class TrueGrowth(BaseModel):
    """The log of the share of its final views that a niche's video has at some ages."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    days: list[Annotated[FiniteFloat, Field(gt=0)]] = Field(min_length=2)
    """(K,) ascending."""
    log_growth: list[FiniteFloat]
    """(K,)."""

    @model_validator(mode="after")
    def _is_a_curve(self) -> Self:
        if len(self.days) != len(self.log_growth) or self.days != sorted(set(self.days)):
            raise ValueError("a growth curve has one log_growth for each of its ascending days")
        return self


class Truth(BaseModel):
    """What a world knows of its videos and niches."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    effects: dict[str, FiniteFloat]
    """By video id, the effect of picture and title on log views."""
    growth: dict[str, TrueGrowth]
    """By niche."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ThumbrankError: the file holds something else.
            OSError: it cannot be read; real data have none.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise ThumbrankError(
                f"{path} is not a simulated world's truth: run `thumbrank demo` again, or remove it."
            ) from error

    def save(self, path: Path) -> None:
        """Write the file, its folder included."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.model_dump_json(), encoding="utf-8")
