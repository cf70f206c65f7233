"""The frozen niche keys and what a data team says of each in `config/niches.yaml`.

The keys are frozen because Dagster's partitions, the list partitions in Postgres and every stored row use them: renaming
one orphans its history. Display names and queries are data, and live in the file.
"""

from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from thumbrank_core.configuration import called, read_config, written_at
from thumbrank_core.errors import ThumbrankError
from thumbrank_core.paths import config_file

NICHES: tuple[str, ...] = ("tech", "gaming", "education", "entertainment", "beauty", "news")


ChannelId = Annotated[str, Field(pattern=r"^UC[0-9A-Za-z_-]{22}$")]
"""As in the channel's address: /channel/UC..., not its handle and not its name."""


Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]
"""The first part of a BCP 47 tag: en covers en-GB."""


class UnknownNicheError(ThumbrankError):
    """A niche key that does not exist."""


class NicheConfig(BaseModel):
    """One niche as the data team edits it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    enabled: bool = True
    queries: tuple[str, ...] = Field(min_length=1, description="What search.list is asked.")
    channels: tuple[ChannelId, ...] = Field(default=(), description="Channel ids collected in any case.")
    languages: tuple[Language, ...] = Field(
        default=(), description="Videos in other languages do not count, labels/criteria.py; none named: all count."
    )

    @field_validator("queries", "channels", "languages")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(names))


class _File(BaseModel):
    niches: dict[str, NicheConfig] = Field(default_factory=dict[str, NicheConfig])


def require_niche(name: str) -> str:
    """Return `name` if it is a niche key.

    Raises:
        UnknownNicheError: it is not; the sentence lists those that are.
    """
    if name not in NICHES:
        raise UnknownNicheError(f"'{name}' is not a niche: use one of {', '.join(NICHES)}.")
    return name


def load_niches(path: Path | None = None) -> dict[str, NicheConfig]:
    """Read `config/niches.yaml`: every frozen key exactly once, nothing else.

    Raises:
        ThumbrankError: the file is malformed, or a key is missing or unknown.
    """
    source = path or config_file("niches.yaml")
    return dict(_load(source, written_at(source)))


@cache
def _load(source: Path, _modified: int) -> dict[str, NicheConfig]:
    entries = read_config(source, _File).niches
    missing, unknown = set(NICHES) - set(entries), set(entries) - set(NICHES)
    if missing or unknown:
        raise ThumbrankError(
            f"{called(source)} must name the niches {', '.join(NICHES)} and no other: "
            f"missing {sorted(missing) or 'none'}, unknown {sorted(unknown) or 'none'}; to leave a niche out say enabled: false."
        )
    return {key: entries[key] for key in NICHES}


def enabled_niches() -> tuple[str, ...]:
    """The niches a training run uses unless told otherwise, in the frozen order."""
    return tuple(key for key, config in load_niches().items() if config.enabled)
