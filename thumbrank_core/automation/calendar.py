"""When a month begins, and how long anything is waited for: `config/automation.yaml`.

What belongs here: the file and the calendar. Who asks what of it is decisions.py.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator

from thumbrank_core.configuration import read_config, written_at
from thumbrank_core.errors import ThumbrankError
from thumbrank_core.niches import NICHES
from thumbrank_core.paths import config_file

WaitFor = Literal["all", "settled"]


class AutomationError(ThumbrankError):
    """`config/automation.yaml` cannot be used."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Beginning(_Part):
    """When a month begins: `day` 1 to 28, `hour` 0 to 23, both in `timezone` (IANA)."""

    day: int = Field(ge=1, le=28)
    hour: int = Field(ge=0, le=23)
    timezone: str

    @field_validator("timezone")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):  # a name with no file, no name, a folder
            raise ValueError(f"{name} is no time zone: write one such as America/Los_Angeles or UTC") from None
        return name

    @property
    def cron(self) -> str:
        """As a schedule's cron expression, to be read in `timezone`."""
        return f"0 {self.hour} {self.day} * *"


class Training(_Part):
    """When the month is trained.

    `wait_for`: all niches refreshed, or all settled. `fresh_at_least`: of a settled month. `patience_days`: how long a settled
    month waits for niches that are neither refreshed nor failed, and how long every other trigger waits for the month's own.
    """

    wait_for: WaitFor
    fresh_at_least: int = Field(ge=1, le=len(NICHES))
    patience_days: int = Field(ge=1, le=20)


class Automation(_Part):
    """The file. `champion_oldest_days`: a champion that serves longer is trained anew."""

    month: Beginning
    training: Training
    champion_oldest_days: int = Field(ge=1)


@dataclass(frozen=True)
class Month:
    """A month of the calendar: its `key` (2026-11), and when it began."""

    key: str
    begins_at: datetime

    def patience_ends(self, rules: Automation) -> datetime:
        """Until when the month's own training comes first."""
        return self.begins_at + timedelta(days=rules.training.patience_days)


def month_of(now: datetime, beginning: Beginning) -> Month:
    """The month that `now` (aware) lies in: the last one that began.

    Where its hour exists twice (summer time ends), it begins at the first of the two; where it does not exist (summer time
    begins), an hour later on the clock.
    """
    zone = ZoneInfo(beginning.timezone)
    local = now.astimezone(zone)
    begun = _begins(local.year, local.month, beginning, zone)
    if begun > now:
        before = datetime(local.year, local.month, 1) - timedelta(days=1)
        return Month(f"{before:%Y-%m}", _begins(before.year, before.month, beginning, zone))
    return Month(f"{local:%Y-%m}", begun)


def _begins(year: int, month: int, beginning: Beginning, zone: ZoneInfo) -> datetime:
    return datetime(year, month, beginning.day, beginning.hour, tzinfo=zone).astimezone(UTC)


def load_automation(path: Path | None = None) -> Automation:
    """Read `config/automation.yaml`.

    Raises:
        AutomationError: it is malformed; the sentence names the field.
    """
    source = path or config_file("automation.yaml")
    return _load(source, written_at(source))


@cache
def _load(source: Path, _modified: int) -> Automation:
    return read_config(source, Automation, AutomationError)
