"""Real click-through rates over days: one owner's `reach_daily` rows, weighted by impressions.

What belongs here: from days and periods to one rate a video. A rate here is clicks on a thumbnail over the times it was
shown, as YouTube counted both; views per hour and every label made of views are another quantity and never mixed in. Rates
are of one owner at a time: YouTube's policy (III.E.2.a) forbids figures over several, and there is no function for it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from typing import Literal

import psycopg

Source = Literal["reporting_api", "studio"]


@dataclass(frozen=True)
class PeriodReach:
    """A row of `reach_daily`: one video over some whole Pacific days. `click_rate` is None without impressions."""

    video_id: str
    source: Source
    first_day: date
    last_day: date
    impressions: int
    click_rate: float | None
    issued_at: datetime

    def overlaps(self, other: "PeriodReach") -> bool:
        """Whether the two count a day in common."""
        return self.first_day <= other.last_day and other.first_day <= self.last_day


@dataclass(frozen=True)
class ClickRate:
    """One video: `click_rate` = sum(impressions x rate) / sum(impressions); `clicks` is the numerator, rounded."""

    video_id: str
    impressions: int
    clicks: int
    click_rate: float
    first_day: date
    last_day: date


@dataclass(frozen=True)
class ClickRates:
    """The rates of one owner's videos, by video id, and what was left out of them.

    `beside_reports`: Studio rows with a day that the Reporting API has too; `beside_studio`: Studio rows with a day of a
    Studio row that was taken; `below_minimum`: videos with too few impressions for a rate.
    """

    rates: tuple[ClickRate, ...]
    beside_reports: int
    beside_studio: int
    below_minimum: int


def click_rates(connection: psycopg.Connection, owner_id: str, *, min_impressions: int = 1) -> ClickRates:
    """The rates of one owner's videos from everything that is stored of them; see `rates_of` for the rule."""
    rows = connection.execute(
        "select video_id, source, first_day, last_day, impressions, click_rate, issued_at from thumbrank.reach_daily "
        "where owner_id = %s",
        (owner_id,),
    )
    return rates_of((PeriodReach(*row) for row in rows), min_impressions=min_impressions)


def rates_of(rows: Iterable[PeriodReach], *, min_impressions: int = 1) -> ClickRates:
    """One rate a video, no day counted twice. Pure.

    A day that the Reporting API has is taken from there. A Studio row is a total over a period that cannot be taken apart,
    so one that shares a day with the Reporting API's rows of its video is left out whole. Of Studio rows that share a day
    the one issued last is taken; of those issued at one time the longest; of those as long the earliest.

    Args:
        rows: rows of one owner, in any order.
        min_impressions: videos with fewer have no rate; at least 1.
    """
    if min_impressions < 1:
        raise ValueError("A click-through rate needs at least one impression.")
    rates: list[ClickRate] = []
    beside_reports = beside_studio = below_minimum = 0
    for video_id, found in groupby(sorted(rows, key=lambda row: row.video_id), key=lambda row: row.video_id):
        of_video = list(found)
        taken = [row for row in of_video if row.source == "reporting_api"]
        studio = [row for row in of_video if row.source == "studio"]
        apart = [row for row in studio if not any(row.overlaps(report) for report in taken)]
        chosen = _without_overlap(apart)
        beside_reports += len(studio) - len(apart)
        beside_studio += len(apart) - len(chosen)
        rate = _weighted(video_id, taken + chosen, min_impressions)
        if rate is None:
            below_minimum += 1
        else:
            rates.append(rate)
    return ClickRates(tuple(rates), beside_reports, beside_studio, below_minimum)


def _without_overlap(rows: list[PeriodReach]) -> list[PeriodReach]:
    """The rows that are taken of those that share days: newest issue first, then longest, then earliest."""
    earliest_first = sorted(rows, key=lambda row: row.first_day)
    order = sorted(earliest_first, key=lambda row: (row.issued_at, row.last_day - row.first_day), reverse=True)
    chosen: list[PeriodReach] = []
    for row in order:
        if not any(row.overlaps(other) for other in chosen):
            chosen.append(row)
    return chosen


def _weighted(video_id: str, rows: list[PeriodReach], min_impressions: int) -> ClickRate | None:
    """Never a mean of rates: a day with ten impressions is worth a hundredth of one with a thousand."""
    impressions = sum(row.impressions for row in rows)
    if impressions < min_impressions:
        return None
    clicks = sum(row.impressions * row.click_rate for row in rows if row.click_rate is not None)
    return ClickRate(
        video_id,
        impressions,
        round(clicks),
        clicks / impressions,
        min(row.first_day for row in rows),
        max(row.last_day for row in rows),
    )
