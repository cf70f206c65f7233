"""The month as the team is told of it: what came, what was lost, what drifted, how the model changed and why, what it cost.

What belongs here: gathering the facts and keeping the text. The words are digest_text.py. A digest outlives the rows it was made
of, so it holds counts and figures over niches, and neither a title nor a channel.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg

from thumbrank_core.automation.alerts import without_secrets
from thumbrank_core.automation.calendar import Automation, Month, month_of
from thumbrank_core.automation.digest_text import write
from thumbrank_core.automation.month_facts import (
    DeploymentDecision,
    DriftFound,
    Figure,
    MonthFacts,
    NicheMonth,
)
from thumbrank_core.automation.months import TrainingMonth, read_month
from thumbrank_core.bootstrap import Interval
from thumbrank_core.errors import ThumbrankError
from thumbrank_core.evaluation.figures import CHAMPION, MODEL
from thumbrank_core.evaluation.gate import Verdict
from thumbrank_core.evaluation.records import ALL
from thumbrank_core.labels.evidence import staleness
from thumbrank_core.niches import NICHES, enabled_niches
from thumbrank_core.registry import Registry
from thumbrank_core.settings import Settings
from thumbrank_core.store.database import Connection, Database
from thumbrank_core.youtube.quota import pacific_date

_LONGER_THAN_A_MONTH = timedelta(days=32)
TOLD_METRICS = ("pair_accuracy_micro", "pair_auc_pooled", "spearman_within_channel", "ece")
UNSEEN = "test"
TAKEN_WITHIN = timedelta(days=1)
"""How long a digest that the webhook did not take is due again."""


class DigestError(ThumbrankError):
    """A month that no digest can be written of."""


@dataclass(frozen=True)
class Digest:
    """What the team is told of a month. `delivered_at`: when the webhook took this very text; None: it did not yet."""

    month: str
    body: str
    delivered_at: datetime | None


@dataclass(frozen=True)
class DueDigest:
    """A month that the team is to be told of. `about`: what of it, as a key that changes with it."""

    month: str
    about: str


def digests_due(connection: Connection, rules: Automation, now: datetime, *, webhook: bool) -> list[DueDigest]:
    """The months to be told of, of this one and the one before, which may end after this one began.

    A month is told of once when its training has ended or was skipped, or when nobody trained in time; again if it is trained
    after all; and again within a day where a webhook is set that did not take the text.

    Args:
        connection: to the database.
        rules: config/automation.yaml.
        now: when.
        webhook: whether one is set that can take it.
    """
    current = month_of(now, rules.month)
    months = (month_of(current.begins_at - timedelta(seconds=1), rules.month), current)
    due: list[DueDigest] = []
    for month in months:
        row = connection.execute(
            "select m.state, m.attempt, m.ended_at, d.written_at, d.delivered_at from (select %s::text as month) asked "
            "left join thumbrank.training_months m using (month) left join thumbrank.monthly_digests d using (month)",
            (month.key,),
        ).fetchone()
        assert row is not None, "the month that is asked for is a row"
        state, attempt, ended_at, written_at, delivered_at = row
        if state is None:
            # Of a month that nobody asked to train the digest is written while it lasts, so that a new deployment does not begin
            # with a month in which it was not there.
            ended = now >= month.patience_ends(rules)
            untold = written_at is None and month == current
        else:
            ended = ended_at is not None
            untold = ended and (written_at is None or written_at < ended_at)
        untaken = webhook and written_at is not None and delivered_at is None and now - written_at <= TAKEN_WITHIN
        if ended and (untold or untaken):
            due.append(DueDigest(month.key, "untrained" if state is None else f"{state}-{attempt}"))
    return due


def month_named(key: str, rules: Automation) -> Month:
    """The month of that key, such as 2026-11.

    Raises:
        DigestError: it is no month.
    """
    try:
        year, month = map(int, key.split("-"))
        # Every month has begun by the end of its 28th, whatever day it begins on.
        late = datetime(year, month, 28, 23, 59, tzinfo=ZoneInfo(rules.month.timezone))
    except ValueError:
        raise DigestError(f"{key} is no month: write it as 2026-11.") from None
    return month_of(late, rules.month)


def write_digest(
    database: Database, settings: Settings, registry: Registry | None, month: Month, rules: Automation, now: datetime
) -> Digest:
    """Write the month's digest, in place of an earlier one. The same facts give the same text, which keeps its delivery.

    Args:
        database: where the facts are, and the digest goes.
        settings: whose secrets never stand in it, should somebody's sentence quote one.
        registry: who serves, and what the gate said of the newest model; None: what the promotions say.
        month: which.
        rules: config/automation.yaml, which says when the month ends.
        now: when.

    Raises:
        DigestError: the month has not begun.
    """
    if now < month.begins_at:
        raise DigestError(f"{month.key} has not begun: it begins on {month.begins_at:%Y-%m-%d %H:%M} UTC.")
    with database.connection() as connection:
        body = without_secrets(write(facts_of(connection, registry, month, rules, now)), settings)
        row = connection.execute(
            "insert into thumbrank.monthly_digests as d (month, written_at, body) values (%s, %s, %s) "
            "on conflict (month) do update set written_at = excluded.written_at, body = excluded.body, "
            "delivered_at = case when d.body = excluded.body then d.delivered_at end returning delivered_at",
            (month.key, now, body),
        ).fetchone()
    assert row is not None, "an upsert with returning returns its row"
    return Digest(month.key, body, row[0])


def record_delivery(database: Database, digest: Digest, now: datetime) -> None:
    """Write down that the webhook took this text; of another text that was written since, nothing is known."""
    with database.connection() as connection:
        connection.execute(
            "update thumbrank.monthly_digests set delivered_at = %s where month = %s and body = %s",
            (now, digest.month, digest.body),
        )


def facts_of(
    connection: Connection, registry: Registry | None, month: Month, rules: Automation, now: datetime
) -> MonthFacts:
    """Everything the digest of a month tells, from its beginning to the next one's, or to now."""
    until = min(now, month_of(month.begins_at + _LONGER_THAN_A_MONTH, rules.month).begins_at)
    window = {"since": month.begins_at, "until": until}
    training = read_month(connection, month.key)
    decided = _decided_until(connection, training, until)
    decisions, verdict = _decisions(connection, {"since": month.begins_at, "until": decided})
    serving = _serving(connection, decided)
    challenger = None if not decisions else decisions[-1].version
    if registry is not None and until == now:
        # The alias may have been set in MLflow itself, and a verdict may stand that nothing was decided on yet.
        champion = registry.get("champion")
        serving = champion.number if champion is not None else None
        if verdict is None and training is not None and training.state in ("trained", "failed"):
            newest = registry.get("challenger")
            verdict = registry.verdict(newest.number) if newest is not None else None
            challenger = newest.number if newest is not None and verdict is not None else None
    return MonthFacts(
        month=month.key,
        simulated=_simulated(connection),
        niches=_niches(connection, window, now),
        removed=_removed(connection, window),
        training=training,
        decisions=decisions,
        serving=serving,
        challenger=challenger,
        verdict=verdict,
        figures=_figures(connection, challenger, verdict.against if verdict is not None else None),
        units=_units(connection, month.begins_at, until),
    )


# Keys are given in the order of insertion, and what was counted before the month began was there before it. So whatever has a higher
# key than everything that was counted before is new, also where retention has taken the old counts of most.
_NEW = (
    "with collected as (select t.video_key, t.channel_key, t.published_at, c.niche from thumbrank.thumbnails t "
    "join thumbrank.channels c using (channel_key) where t.source <> 'import'), "
    "before as (select coalesce(max(video_key), 0) as video_key, coalesce(max(channel_key), 0) as channel_key "
    "from thumbrank.view_snapshots s join collected using (video_key) where s.observed_at < %(since)s), "
    "seen as (select video_key, min(observed_at) as first from thumbrank.view_snapshots group by video_key) "
    "select niche::text, "
    "count(*) filter (where v.video_key > b.video_key and s.first < %(until)s)::int, "
    "count(distinct v.channel_key) filter (where v.channel_key > b.channel_key and s.first < %(until)s)::int "
    "from collected v cross join before b join seen s on s.video_key = v.video_key group by niche"
)


def _niches(connection: Connection, window: Mapping[str, datetime], now: datetime) -> tuple[NicheMonth, ...]:
    new = {niche: (videos, channels) for niche, videos, channels in connection.execute(_NEW, window)}
    lost: dict[str, dict[str, dict[str, int]]] = {}
    for niche, kind, reason, number in connection.execute(
        "select niche::text, kind, reason, count(*)::int from thumbrank.misses where missed_at >= %(since)s "
        "and missed_at < %(until)s and kind in ('channel', 'video', 'picture') group by 1, 2, 3 order by 4 desc, 3",
        window,
    ):
        lost.setdefault(str(niche), {}).setdefault(str(kind), {})[str(reason)] = int(number)
    changed = dict(
        connection.execute(
            "select c.niche::text, count(*)::int from thumbrank.thumbnails t join thumbrank.channels c using (channel_key) "
            "where t.picture_changed_at >= %(since)s and t.picture_changed_at < %(until)s group by 1",
            window,
        ).fetchall()
    )
    pairs = {
        str(niche): (int(number), int(channels))
        for niche, number, channels in connection.execute(
            "select niche::text, pairs, channels from thumbrank.pair_builds"
        )
    }
    drifts = _drifts(connection, window)
    waits = _waits(connection, now)
    return tuple(
        NicheMonth(
            niche=niche,
            new_videos=new.get(niche, (0, 0))[0],
            new_channels=new.get(niche, (0, 0))[1],
            lost_channels=lost.get(niche, {}).get("channel", {}),
            lost_videos=lost.get(niche, {}).get("video", {}),
            lost_pictures=lost.get(niche, {}).get("picture", {}),
            pictures_changed=changed.get(niche, 0),
            pairs=pairs.get(niche, (None, 0))[0],
            channels=pairs.get(niche, (None, 0))[1],
            drift=drifts.get(niche),
            waits=waits.get(niche, ""),
        )
        for niche in NICHES
        if niche in enabled_niches() or niche in pairs
    )


def _drifts(connection: Connection, window: Mapping[str, datetime]) -> dict[str, DriftFound]:
    """The month's strongest reading of each niche. Not its newest: a reading is against the run before, so that a drift that stays
    is seen once, and any run after it says that nothing changed."""
    rows = connection.execute(
        "select distinct on (niche) niche::text, drifted, ks, p_value, mean_shift, pictures_then, pictures_now "
        "from thumbrank.drift_readings where read_at >= %(since)s and read_at < %(until)s "
        "order by niche, drifted desc, ks desc",
        window,
    )
    return {str(niche): DriftFound(bool(drifted), *figures) for niche, drifted, *figures in rows}


def _waits(connection: Connection, now: datetime) -> dict[str, str]:
    """What is not done of each enabled niche, in words; niches of which nothing is open are left out."""
    stored = {
        str(niche): (state, reason, resumes_at)
        for niche, state, reason, resumes_at in connection.execute(
            "select niche::text, state, reason, resumes_at from thumbrank.collection_runs"
        )
    }
    waits: dict[str, str] = {}
    for niche in enabled_niches():
        state, reason, resumes_at = stored.get(niche, (None, "", None))
        age = staleness(connection, niche, now)
        if state == "partial":
            until = f" until {resumes_at:%Y-%m-%d %H:%M} UTC" if resumes_at is not None and resumes_at > now else ""
            waits[niche] = f"its collection waits{until}: {reason}"
        elif state == "running":
            waits[niche] = "its collection is running, or was killed"
        elif age.stale and age.newest is not None:
            waits[niche] = f"its newest counts are of {age.newest:%Y-%m-%d}"
        elif state is None and age.newest is None and not _has_videos(connection, niche):
            waits[niche] = "nothing was collected of it yet"
    return waits


def _has_videos(connection: Connection, niche: str) -> bool:
    row = connection.execute(
        "select exists (select from thumbrank.thumbnails join thumbrank.channels c using (channel_key) where c.niche = %s)",
        (niche,),
    ).fetchone()
    return row is not None and bool(row[0])


def _removed(connection: Connection, window: Mapping[str, datetime]) -> dict[str, tuple[int, int]]:
    """Why rows went -> videos and channels that went whole."""
    rows = connection.execute(
        "select action, coalesce(sum((counts ->> 'thumbnails')::bigint), 0)::int, "
        "coalesce(sum((counts ->> 'channels')::bigint), 0)::int from thumbrank.retention_audit "
        "where done_at >= %(since)s and done_at < %(until)s group by action order by action",
        window,
    )
    return {str(action): (int(videos), int(channels)) for action, videos, channels in rows if videos or channels}


def _decided_until(connection: Connection, training: TrainingMonth | None, until: datetime) -> datetime:
    """Until when decisions are the month's. Its training may end after it, and what was decided on its model is what there is to
    tell; but not what came of a later month's."""
    if training is None or training.ended_at is None or training.ended_at <= until:
        return until
    row = connection.execute(
        "select min(requested_at) from thumbrank.training_months where month > %s and state <> 'skipped'",
        (training.month,),
    ).fetchone()
    later = None if row is None else row[0]
    return training.ended_at if later is None else max(until, min(training.ended_at, later))


def _decisions(
    connection: Connection, window: Mapping[str, datetime]
) -> tuple[tuple[DeploymentDecision, ...], Verdict | None]:
    """What was decided on models in the month, and the verdict of the last decision that had one."""
    rows = connection.execute(
        "select kind, version, from_version, why, verdict::text from thumbrank.promotions "
        "where happened_at >= %(since)s and happened_at < %(until)s order by promotion_id",
        window,
    ).fetchall()
    written = [verdict for kind, *_, verdict in rows if verdict is not None and kind != "rolled_back"]
    last = Verdict.from_json(written[-1]) if written else None
    return tuple(DeploymentDecision(kind, version, before, why) for kind, version, before, why, _ in rows), last


def _serving(connection: Connection, until: datetime) -> int | None:
    row = connection.execute(
        "select version from thumbrank.promotions where kind <> 'refused' and happened_at < %s "
        "order by promotion_id desc limit 1",
        (until,),
    ).fetchone()
    return None if row is None else int(row[0])


def _figures(connection: Connection, challenger: int | None, against: int | None) -> tuple[Figure, ...]:
    """The challenger's figures on unseen channels, beside the champion's on the same pairs, else on its own."""
    if challenger is None:
        return ()
    now = _measured(connection, challenger, MODEL)
    beside = _measured(connection, challenger, CHAMPION)
    own = _measured(connection, against, MODEL) if against is not None else {}
    return tuple(
        Figure(name, now[name], beside.get(name) or own.get(name), same_pairs=name in beside)
        for name in TOLD_METRICS
        if name in now
    )


def _measured(connection: Connection, version: int, scorer: str) -> dict[str, tuple[Interval, int, int]]:
    """Metric -> figure, pairs and channels of a version's newest evaluation, as one scorer had it."""
    rows: Any = connection.execute(
        "select distinct on (metric) metric, value, ci_low, ci_high, n_pairs, n_channels from thumbrank.model_evaluations "
        "where model_version = %s and scorer = %s and niche = %s and split = %s order by metric, evaluated_at desc",
        (version, scorer, ALL, UNSEEN),
    )
    return {
        metric: (Interval(value, _bound(low), _bound(high)), n_pairs, n_channels)
        for metric, value, low, high, n_pairs, n_channels in rows
    }


def _bound(value: float | None) -> float:
    return float("nan") if value is None else value


def _units(connection: Connection, since: datetime, until: datetime) -> dict[str, int]:
    """Units by bucket; the ledger counts whole Pacific days, so the first and the last are counted whole."""
    rows = connection.execute(
        "select bucket, sum(spent)::int from thumbrank.quota_ledger where pacific_date between %s and %s "
        "group by bucket having sum(spent) > 0 order by bucket",
        (pacific_date(since), pacific_date(until)),
    )
    return {str(bucket): int(spent) for bucket, spent in rows}


def _simulated(connection: psycopg.Connection[Any]) -> bool:
    row = connection.execute("select exists (select from thumbrank.thumbnails where source = 'simulator')").fetchone()
    return row is not None and bool(row[0])
