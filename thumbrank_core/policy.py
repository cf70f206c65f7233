"""What is collected and what counts, as `config/policy.yaml` says it: limits and criteria, never secrets or paths."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from thumbrank_core.configuration import called, checked, read_config
from thumbrank_core.errors import ThumbrankError
from thumbrank_core.paths import config_file

PolicyMode = Literal["unaudited", "audited"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CollectionPolicy(_Section):
    """How much is asked of the API, per niche."""

    per_channel: int = Field(ge=1, le=20_000, description="Uploads listed per channel, newest first.")
    window_days: int = Field(ge=1, description="How far back uploads and searches go, days.")
    search_pages: int = Field(
        ge=0, le=10, description="Pages of search.list per query and kind; 50 results and 1 search unit each."
    )
    max_channels: int = Field(
        ge=1, description="Channels collected per niche: the named ones first, then by subscribers."
    )
    requests: int = Field(ge=1, le=64, description="API requests in flight; what a killed run may spend again.")
    downloads: int = Field(ge=1, le=64, description="Pictures fetched at once.")
    downloads_per_host: int = Field(ge=1, le=64, description="Pictures fetched at once from one host.")
    largest_picture: int = Field(
        ge=180, le=2160, description="Height in pixels above which a listed size is not fetched; encoders see 224."
    )
    trainability: Literal["off", "sample", "require"] = Field(
        description="Ask for the creator's third-party training setting: never, of a sample, of every video."
    )
    trainability_sample: int = Field(
        ge=1, description="Videos of a niche whose answer is known and fresh where trainability is sample."
    )


class QuotaPolicy(_Section):
    """Units a day of the project's three buckets; an audited project's differ."""

    search: int = Field(ge=0, description="0: nothing is searched; name channels in niches.yaml.")
    stats_batch: int = Field(ge=0, description="0: counts come from videos.list.")
    default: int = Field(ge=1)


class RetentionPolicy(_Section):
    """How long API data stays; YouTube's Developer Policies III.E.4 and III.L."""

    days: int = Field(ge=1, le=30, description="Days until a row that was not refreshed is removed.")
    refresh_from_day: int = Field(ge=1, le=29, description="Age in days from which a collection reads a row again.")
    audited_statistics_days: int = Field(
        ge=30, le=1096, description="Days that counts and what is derived from them stay in mode audited."
    )

    @model_validator(mode="after")
    def _refreshed_before_removed(self) -> Self:
        if self.refresh_from_day >= self.days:
            raise ValueError(f"refresh_from_day {self.refresh_from_day} must come before days {self.days}")
        return self


class CriteriaPolicy(_Section):
    """Thresholds of labels/criteria.py."""

    published_within_days: float = Field(gt=0, description="Older videos, by age when counted, are left out; days.")
    min_views: int = Field(ge=0)
    min_subscribers: int = Field(ge=0)
    active_min_videos: int = Field(ge=0, description="A channel is active with so many uploads in the window.")
    active_window_days: int = Field(ge=1)
    min_minutes: float = Field(ge=0, description="Shorter videos are left out; an unknown length is not.")
    max_minutes: float = Field(gt=0)
    shorts: Literal["exclude", "include"]
    made_for_kids: Literal["exclude", "include"] = Field(
        description="Whether videos made for kids count; channels made for kids are then not even listed."
    )
    outlier_sd: float | None = Field(
        gt=0,
        description="Leave out what lies so many standard deviations from its channel's mean views per hour (the guide: 3); "
        "null: off, because it selects on what is to be predicted.",
    )


LabelName = Literal["age_adjusted", "views_per_hour", "window_views"]


class LabelPolicy(_Section):
    """What a video's success is, labels/definitions.py."""

    label: LabelName
    min_age_days: float = Field(ge=0, description="Videos counted younger than this have no label.")
    window_from_day: float = Field(ge=0, description="window_views: views gained from this age on; days.")
    window_to_day: float = Field(gt=0, description="window_views: up to this age; days.")

    @model_validator(mode="after")
    def _window_has_a_length(self) -> Self:
        if self.window_from_day >= self.window_to_day:
            raise ValueError(
                f"window_from_day {self.window_from_day} must come before window_to_day {self.window_to_day}"
            )
        return self


class PairPolicy(_Section):
    """How pairs are drawn, labels/pairs.py."""

    window_days: float = Field(
        gt=0, description="Two videos of a channel are compared when published this close, days."
    )
    later_partners: int | None = Field(
        ge=1,
        description="With how many of the next later videos a video is compared at most; null: with all of the window.",
    )
    soft_target_tau: float = Field(
        ge=0.05,
        le=10,
        description="P(a beats b) = sigmoid(ln(a/b) / tau): with 0.5, twice the label wins with 80 %.",
    )
    ties: Literal["half", "drop"] = Field(description="Pairs of equal labels: kept with outcome 0.5, or left out.")
    min_margin: float = Field(
        ge=0,
        lt=1,
        description="Training pairs below this margin are left out; validation and test pairs never are, it would flatter them.",
    )


class Policy(_Section):
    """The whole of config/policy.yaml, with one profile applied."""

    mode: PolicyMode
    collection: CollectionPolicy
    quota: QuotaPolicy
    retention: RetentionPolicy
    criteria: CriteriaPolicy
    labels: LabelPolicy
    pairs: PairPolicy


class _PolicyFile(Policy):
    """The file itself: a policy and the named changes to it."""

    profiles: dict[str, dict[str, Any]]


def load_policy(path: Path | None = None, *, profile: str = "default") -> Policy:
    """Read and validate the policy with the changes of `profile`.

    Raises:
        ThumbrankError: the file is malformed, or has no such profile; the sentence names the field.
    """
    source = path or config_file("policy.yaml")
    written = read_config(source, _PolicyFile)
    if profile not in written.profiles:
        raise ThumbrankError(f"{called(source)} has no profile '{profile}': use one of {', '.join(written.profiles)}.")
    changed = _changed(written.model_dump(exclude={"profiles"}), written.profiles[profile])
    return checked(source, Policy, changed, ThumbrankError, "profiles", profile)


def _changed(sections: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`sections` with those fields replaced that `changes` names, section by section."""
    return sections | {
        name: sections.get(name, {}) | change if isinstance(change, dict) else change
        for name, change in changes.items()
    }
