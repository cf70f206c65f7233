"""What a team never collects: channels and videos in `config/exclusions.yaml`, each with a reason and who decided it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from thumbrank_core.configuration import read_config
from thumbrank_core.niches import ChannelId
from thumbrank_core.paths import config_file

VideoId = Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{11}$")]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    channel: ChannelId | None = None
    video: VideoId | None = None
    reason: str = Field(min_length=1)
    who: str = Field(min_length=1)

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if (self.channel is None) == (self.video is None):
            raise ValueError("name either a channel or a video")
        return self


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    exclusions: tuple[_Entry, ...] = ()


@dataclass(frozen=True)
class Exclusions:
    """Ids with the reason why each is left alone."""

    channels: dict[str, str]
    videos: dict[str, str]


def load_exclusions(path: Path | None = None) -> Exclusions:
    """Read `config/exclusions.yaml`; a missing file excludes nothing.

    Raises:
        ThumbrankError: the file is malformed; the sentence names the entry.
    """
    source = path or config_file("exclusions.yaml")
    if not source.exists():
        return Exclusions({}, {})
    file = read_config(source, _File)
    return Exclusions(
        {entry.channel: entry.reason for entry in file.exclusions if entry.channel is not None},
        {entry.video: entry.reason for entry in file.exclusions if entry.video is not None},
    )
