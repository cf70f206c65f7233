"""Which model serves: promotion and rollback, one at a time, each with its row in thumbrank.promotions.

What belongs here: moving the champion's alias, and the evidence of it. Whether a model earned it is evaluation/gate.py.

Everything happens in one transaction that holds an advisory lock, and with the champion that the caller saw: of two at once the
first one wins, and the second one finds another champion and is told. The lock ends with its transaction, so that it also holds
behind a transaction pooler, and a process that dies leaves none behind. The alias moves just before the commit: where MLflow refuses to
move it, nothing was written. Where the database dies between the two, the alias has moved without a row; the next change names
who it replaced.
"""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import psycopg

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.evaluation.gate import Verdict, staleness
from thumbrank_core.registry import Registry, Version
from thumbrank_core.store.database import Connection, Database

Kind = Literal["promoted", "forced", "refused", "rolled_back", "unchanged"]
PATIENCE_SECONDS = 30
"""How long one waits for another; a promotion takes less than one."""
_LOCK = 0x6368616D70  # "champ"


class PromotionError(ThumbrankError):
    """A promotion or a rollback that cannot be decided as it was asked for; nothing was changed."""


@dataclass(frozen=True)
class Deployment:
    """What became of it. `champion`: the version that serves now; None: none does."""

    champion: int | None
    kind: Kind
    says: str

    @property
    def changed(self) -> bool:
        """Whether another version serves than before."""
        return self.kind in ("promoted", "forced", "rolled_back")


@dataclass(frozen=True)
class Proposal:
    """The challenger, what the gate said of it, and who serves now."""

    version: Version
    verdict: Verdict
    champion: Version | None


@dataclass(frozen=True)
class Service:
    """A row of the history: from then on `version` served, in place of `before`."""

    kind: Kind
    version: int
    before: int | None


def proposed(registry: Registry) -> Proposal:
    """What `promote` would decide on now.

    Raises:
        RegistryError: nothing was trained.
        PromotionError: the challenger has not been evaluated.
    """
    challenger = registry.challenger()
    return Proposal(challenger, _verdict(registry, challenger.number), registry.get("champion"))


def promote(
    database: Database,
    registry: Registry,
    *,
    version: int,
    expected: int | None,
    who: str,
    force: bool = False,
    why: str | None = None,
    dry_run: bool = False,
) -> Deployment:
    """Let a version serve if the gate passed it, and write down what happened; a refusal too.

    Args:
        database: where the lock and the rows are.
        registry: whose alias moves.
        version: the one that was judged.
        expected: the champion that it was measured against, or, of a forced one, that whoever forces it saw. Another one now
            is a refusal.
        who: for the row.
        force: let it serve against the gate.
        why: of a forced one, for the row.
        dry_run: decide, and change nothing.

    Raises:
        PromotionError: it has no verdict, a forced one has no reason or another champion, or another promotion does not end.
        BundleError, RegistryError: it does not load any more; that cannot be forced.
    """
    reason = _given(why) if force else None
    if force and reason is None:
        raise PromotionError("A forced promotion needs a reason, which is kept: add --why.")
    with _alone(database) as connection:
        candidate, champion, verdict = registry.version(version), registry.get("champion"), _verdict(registry, version)
        number = champion.number if champion is not None else None
        if number == version:
            return Deployment(number, "unchanged", _since(connection, version))
        if force and number != expected:
            raise PromotionError(
                f"The champion is {_called(number)} now and was {_called(expected)} when this was asked for: look again, "
                "and repeat it if it still holds."
            )
        hindrance = _hindrance(connection, candidate, champion, verdict, expected)
        row = _Row(candidate, number, verdict, who)
        if hindrance is not None and not force:
            if not dry_run:
                row.write(connection, "refused", hindrance)
            return Deployment(number, "refused", hindrance)
        candidate.bundle()
        kind: Kind = "forced" if hindrance is not None else "promoted"
        says = verdict.sentence if kind == "promoted" else f"Version {version} serves by force ({reason}): {hindrance}"
        if not dry_run:
            row.write(connection, kind, reason or verdict.sentence)
            registry.point("champion", version)
            if kind == "forced":
                registry.tag(version, {"gate": "forced", "forced_why": str(reason)})
        return Deployment(version, kind, says)


def rollback(
    database: Database,
    registry: Registry,
    *,
    expected: int | None,
    to: int | None,
    why: str,
    who: str,
    dry_run: bool = False,
) -> Deployment:
    """Let an earlier champion serve again. The version that it replaces is not promoted again without force.

    Args:
        database: where the lock and the rows are.
        registry: whose alias moves.
        expected: the champion that is to go.
        to: a version that was champion once; None: the one before this one.
        why: for the row.
        who: for the row.
        dry_run: decide, and change nothing.

    Raises:
        PromotionError: there is no reason, no earlier champion, or another champion than expected, or another promotion does
            not end.
        BundleError, RegistryError: the earlier one does not load any more.
    """
    reason = _given(why)
    if reason is None:
        raise PromotionError("A rollback needs a reason, which is kept: add --why.")
    with _alone(database) as connection:
        champion = registry.get("champion")
        if champion is None:
            raise PromotionError("No model is the champion, so there is nothing to roll back: run `thumbrank promote`.")
        if champion.number != expected:
            raise PromotionError(
                f"The champion is {_called(champion.number)} now and was {_called(expected)} when this was asked for: look "
                "again, and repeat it if it still holds."
            )
        target = registry.version(_target(connection, champion.number, to))
        target.bundle()
        if not dry_run:
            _Row(target, champion.number, registry.verdict(target.number), who).write(connection, "rolled_back", reason)
            registry.point("champion", target.number)
        return Deployment(
            target.number, "rolled_back", f"Version {target.number} serves again in place of version {champion.number}."
        )


def earlier(history: Iterable[Service], champion: int) -> list[int]:
    """The champions before this one, the last of them last, from every change in its order.

    A rollback goes back among them, so that a second one goes further back and not forth again. A champion that somebody set in
    MLflow itself is known by who replaced it.
    """
    line: list[int] = []
    for service in history:
        if service.before is not None and line[-1:] != [service.before]:
            line.append(service.before)
        if service.kind == "rolled_back" and service.version in line:
            while line[-1] != service.version:
                line.pop()
        else:
            line.append(service.version)
    while line[-1:] == [champion]:
        line.pop()
    return line


@dataclass(frozen=True)
class _Row:
    """What every row of one call has in common."""

    version: Version
    before: int | None
    verdict: Verdict | None
    who: str

    def write(self, connection: Connection, kind: Kind, why: str) -> None:
        connection.execute(
            "insert into thumbrank.promotions (kind, version, fingerprint, from_version, verdict, why, who) "
            "values (%s, %s, %s, %s, %s::jsonb, %s, %s)",
            (
                kind,
                self.version.number,
                self.version.fingerprint,
                self.before,
                self.verdict.to_json() if self.verdict is not None else None,
                why,
                self.who,
            ),
        )


@contextmanager
def _alone(database: Database) -> Generator[Connection]:
    """One transaction that no other promotion overlaps."""
    try:
        with database.connection() as connection:
            connection.execute("select set_config('lock_timeout', %s, true)", (f"{PATIENCE_SECONDS}s",))
            connection.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
            yield connection
    except psycopg.errors.LockNotAvailable:
        raise PromotionError(
            f"Another promotion has been running for {PATIENCE_SECONDS} s: wait for it to end, and repeat."
        ) from None


def _verdict(registry: Registry, number: int) -> Verdict:
    found = registry.verdict(number)
    if found is None:
        raise PromotionError(
            f"Version {number} has no verdict yet: run `thumbrank evaluate` or evaluation_report first."
        )
    return found


def _hindrance(
    connection: Connection, candidate: Version, champion: Version | None, verdict: Verdict, expected: int | None
) -> str | None:
    """Why the version may not serve; None: it may."""
    number = champion.number if champion is not None else None
    lost = [niche for niche in champion.niches if niche not in candidate.niches] if champion is not None else []
    stale = staleness(expected, number) or staleness(verdict.against, number)
    if stale is not None:
        return stale
    if verdict.status != "pass":
        return verdict.sentence
    if lost:
        return f"Not deployed: the champion (version {number}) also covers {', '.join(lost)}."
    return _rolled_back(connection, candidate.number)


def _rolled_back(connection: Connection, version: int) -> str | None:
    """The sentence about a version that was taken out of service; None: it was not, or serves or served again since."""
    row = connection.execute(
        "select kind = 'rolled_back' and from_version = %(v)s, why, who, happened_at from thumbrank.promotions "
        "where kind <> 'refused' and (version = %(v)s or from_version = %(v)s) order by promotion_id desc limit 1",
        {"v": version},
    ).fetchone()
    if row is None or not row[0]:
        return None
    _, why, who, at = row
    return f"Not deployed: {who} rolled version {version} back on {at:%Y-%m-%d} ({why}): train another, or add --force --why."


def _target(connection: Connection, champion: int, to: int | None) -> int:
    history = _history(connection)
    if to is None:
        line = earlier(history, champion)
        if not line:
            raise PromotionError(
                f"Version {champion} is the first champion there was: train a better one, and run `thumbrank promote`."
            )
        return line[-1]
    if to == champion:
        raise PromotionError(f"Version {to} is the champion already: name another with --to.")
    were = {service.version for service in history} | {s.before for s in history if s.before is not None}
    if to not in were:
        names = ", ".join(map(str, sorted(were - {champion}))) or "none"
        raise PromotionError(f"Version {to} was never the champion: name one that was with --to ({names}).")
    return to


def _history(connection: Connection) -> list[Service]:
    rows = connection.execute(
        "select kind, version, from_version from thumbrank.promotions where kind <> 'refused' order by promotion_id"
    )
    return [Service(kind, version, before) for kind, version, before in rows]


def _since(connection: Connection, version: int) -> str:
    row = connection.execute(
        "select who, happened_at from thumbrank.promotions where kind <> 'refused' and version = %s "
        "order by promotion_id desc limit 1",
        (version,),
    ).fetchone()
    since = f", since {row[1]:%Y-%m-%d %H:%M} by {row[0]}" if row is not None else ""
    return f"Version {version} is the champion already{since}."


def _called(number: int | None) -> str:
    return "none" if number is None else f"version {number}"


def _given(why: str | None) -> str | None:
    return (why or "").strip() or None
