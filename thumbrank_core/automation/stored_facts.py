"""What the database knows of niches, champion and drift, for the decisions. Reads only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg

from thumbrank_core.automation.calendar import Automation
from thumbrank_core.youtube.quota import AFTER_MIDNIGHT, next_reset


@dataclass(frozen=True)
class Paused:
    """A collection that stands still: since when, until when by its own word, and why."""

    at: datetime
    until: datetime | None
    why: str

    @property
    def continues_at(self) -> datetime:
        """When it is worth going on with: on the next day that Google counts units by, a little after it has begun. Not sooner, even
        where it could: a YouTube that answers nothing would be asked every five minutes.
        """
        return max(self.until or self.at, next_reset(self.at)) + AFTER_MIDNIGHT


def paused_collections(connection: psycopg.Connection, niches: Sequence[str]) -> dict[str, Paused]:
    """The niches whose collection is partial."""
    rows = connection.execute(
        "select niche::text, last_run_at, resumes_at, reason from thumbrank.collection_runs "
        "where state = 'partial' and niche::text = any(%s) order by array_position(%s::text[], niche::text)",
        (list(niches), list(niches)),
    ).fetchall()
    return {str(niche): Paused(at, until, why or "") for niche, at, until, why in rows}


def champion_is_old(connection: psycopg.Connection, rules: Automation, now: datetime) -> str | None:
    """The sentence about a champion that has served for too long; None: it has not, or there is none.

    Counted from when its version first served: a rollback makes no model younger.
    """
    row = connection.execute(
        "select version, min(happened_at) from thumbrank.promotions where kind in ('promoted', 'forced') and version = "
        "(select version from thumbrank.promotions where kind <> 'refused' order by promotion_id desc limit 1) group by version"
    ).fetchone()
    if row is None or now - row[1] <= timedelta(days=rules.champion_oldest_days):
        return None
    return f"The champion (version {row[0]}) first served {(now - row[1]).days} days ago; {rules.champion_oldest_days} are allowed."


def drift_since(connection: psycopg.Connection, since: datetime | None) -> str | None:
    """The sentence about niches whose pictures drifted since the last training was asked for; None: none did.

    A reading compares a niche with its own run before, so that a drift that stays is read once only: the strongest counts.
    """
    rows = connection.execute(
        "select distinct on (niche) niche::text, ks, pictures_then, pictures_now from thumbrank.drift_readings "
        "where drifted and (%(since)s::timestamptz is null or read_at > %(since)s) order by niche, ks desc",
        {"since": since},
    ).fetchall()
    if not rows:
        return None
    said = ", ".join(f"{niche} (KS {ks:.2f}, {then:,} and {now:,} pictures)" for niche, ks, then, now in rows)
    return f"Pictures drifted since the last training: {said}."


def last_asked(connection: psycopg.Connection) -> datetime | None:
    """When a month's training was last asked for; None: never."""
    row = connection.execute(
        "select max(requested_at) from thumbrank.training_months where state <> 'skipped'"
    ).fetchone()
    return None if row is None else row[0]
