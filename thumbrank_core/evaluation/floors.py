"""config/gate.yaml: the numbers that the gate decides by. What belongs here: their names, their ranges and reading them; what
is done with them is gate.py. The guide's data minimums are labels/sizes.py's: they are shown, and nothing is refused by them.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from thumbrank_core.configuration import called, read_config
from thumbrank_core.errors import ThumbrankError
from thumbrank_core.paths import config_file

Phase = Literal[1, 2, 3]
"""The guide's: CLIP frozen, its last blocks trained, all of it trained."""


class FloorsError(ThumbrankError):
    """config/gate.yaml cannot be used."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PhaseFloors(_Section):
    """What the guide asks of a phase; a figure must reach it."""

    pair_auc_pooled: float = Field(ge=0.5, le=1)
    spearman_within_channel: float = Field(ge=0, le=1)
    ctr_rank_correlation: float = Field(ge=0, le=1, description="Of every owner whose click-through rates are there.")


class Floors(_Section):
    """The whole of config/gate.yaml."""

    phases: dict[Phase, PhaseFloors]
    channels: int = Field(ge=2, description="Unseen channels below which an interval is too narrow to decide on.")
    ece: float = Field(gt=0, le=0.5, description="Highest expected calibration error of P(a beats b).")
    slice_channels: int = Field(ge=2, description="Channels from which a slice is held against the champion.")
    slice_loss: float = Field(
        ge=0, lt=0.5, description="How much pair accuracy such a slice may lose, 0.02 is two points."
    )

    def of(self, phase: Phase) -> PhaseFloors:
        """The floors of one phase."""
        return self.phases[phase]


def load_gate(path: Path | None = None) -> Floors:
    """Read and validate config/gate.yaml.

    Raises:
        FloorsError: the file is malformed, or lacks a phase; the sentence names the field.
    """
    source = path or config_file("gate.yaml")
    floors = read_config(source, Floors, FloorsError)
    missing = [str(phase) for phase in (1, 2, 3) if phase not in floors.phases]
    if missing:
        raise FloorsError(f"{called(source)}: phases has no {', '.join(missing)}: give each phase its floors.")
    return floors
