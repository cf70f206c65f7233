"""What a team never collects: channels and videos in `config/exclusions.yaml`, each with a reason and who decided it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from thumbrank_core.errors import ThumbrankError
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
    try:
        file = _File.model_validate(yaml.safe_load(source.read_text(encoding="utf-8")) or {})
    except FileNotFoundError:
        return Exclusions({}, {})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ThumbrankError(f"{source.name}: {field or 'the file'} is wrong ({first['msg']}).") from None
    except yaml.YAMLError as error:
        raise ThumbrankError(f"{source.name} is not YAML: {' '.join(str(error).split())[:200]}") from None
    return Exclusions(
        {entry.channel: entry.reason for entry in file.exclusions if entry.channel is not None},
        {entry.video: entry.reason for entry in file.exclusions if entry.video is not None},
    )
