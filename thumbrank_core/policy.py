"""What is collected and what counts, as `config/policy.yaml` says it: limits and criteria, never secrets or paths."""

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.paths import config_file


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CollectionPolicy(_Section):
    """How much is asked of the API, per niche."""

    per_channel: int = Field(ge=1, le=20_000, description="Uploads listed per channel, newest first.")
    window_days: int = Field(ge=1, description="How far back uploads and searches go, days.")
    search_pages: int = Field(
        ge=0, description="Pages of search.list per query and kind; 50 results and 1 search unit each."
    )
    max_channels: int = Field(ge=1, description="Channels kept per niche.")
    retention_days: int = Field(ge=1, le=30, description="How long API data may be kept without a refresh, days.")
    downloads: int = Field(ge=1, le=64, description="Pictures fetched at once.")


class CriteriaPolicy(_Section):
    """Thresholds of labels/criteria.py."""

    min_views: int = Field(ge=0)
    min_subscribers: int = Field(ge=0)
    active_min_videos: int = Field(ge=0, description="A channel is active with so many uploads in the window.")
    active_window_days: int = Field(ge=1)


class PairPolicy(_Section):
    """How pairs are drawn, labels/pairs.py."""

    window_days: float = Field(
        gt=0, description="Two videos of a channel are compared when published this close, days."
    )


class Policy(_Section):
    """The whole of config/policy.yaml."""

    collection: CollectionPolicy
    criteria: CriteriaPolicy
    pairs: PairPolicy


def load_policy(path: Path | None = None) -> Policy:
    """Read and validate the policy.

    Raises:
        ThumbrankError: the file is malformed; the sentence names the field.
    """
    source = path or config_file("policy.yaml")
    try:
        return Policy.model_validate(yaml.safe_load(source.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ThumbrankError(f"{source.name}: {field or 'the file'} is wrong ({first['msg']}).") from None
    except yaml.YAMLError as error:
        raise ThumbrankError(f"{source.name} is not YAML: {' '.join(str(error).split())[:200]}") from None
