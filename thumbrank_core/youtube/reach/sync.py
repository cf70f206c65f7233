"""Logging an owner in and out, and reading the reports that came since the last time.

What belongs here: the order of things. It is chosen so that a process killed anywhere leaves a state from which the same
command goes on: rows of a report and the note that it was read are one transaction; a purge removes rows and what was fitted
on them before the token.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from thumbrank_core.policy import PolicyMode, load_policy
from thumbrank_core.progress import say, track
from thumbrank_core.settings import Settings
from thumbrank_core.store.database import Database
from thumbrank_core.store.owner_files import OwnerFiles
from thumbrank_core.youtube.quota import pacific_date
from thumbrank_core.youtube.reach import rows
from thumbrank_core.youtube.reach.api import ReportingApi, ReportingJob, own_channel
from thumbrank_core.youtube.reach.errors import (
    ConsentEndedError,
    PassingReachError,
    ReachError,
    ReachKind,
    ReportUnreadableError,
)
from thumbrank_core.youtube.reach.oauth import Access, OAuthClient, client_of, revoke
from thumbrank_core.youtube.reach.reports import Report, newest_issues, parse_report
from thumbrank_core.youtube.reach.tokens import Consent, TokenStore
from thumbrank_core.youtube.reach.transport import Transport

FIRST_REPORT_AFTER = timedelta(hours=48)
BACKFILL = timedelta(days=30)
OVERLAP = timedelta(days=3)
"""How far behind the last complete list the next one begins: lists need not be consistent, and re-reading costs nothing."""


@dataclass(frozen=True)
class LoggedIn:
    """Whose consent we have, and since when YouTube makes reports for it."""

    owner_id: str
    title: str
    job: ReportingJob


@dataclass(frozen=True)
class Synced:
    """What one sync of one owner did.

    `days`: periods read; `reissued`: of these, the ones that replaced an older issue. `rows` and `impressions` as they
    were stored; `without_video`: rows of no video; `forgotten`: rows of videos that must not be stored. `problems`: a
    sentence for each report that could not be read; the next sync tries them again. `purged`: rows removed because the
    consent ended. `news_kinds`, `problem_kinds`: of each sentence, in the same order.
    """

    owner_id: str
    days: int = 0
    reissued: int = 0
    rows: int = 0
    impressions: int = 0
    without_video: int = 0
    forgotten: int = 0
    purged: int = 0
    news: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    news_kinds: tuple[ReachKind, ...] = ()
    problem_kinds: tuple[ReachKind, ...] = ()


@dataclass(frozen=True)
class Reach:
    """Everything that the verbs work with.

    Args:
        database: where rows are.
        tokens: where consents are.
        read_outs: what models were fitted to an owner's figures.
        endpoint: another than Google's.
        mode: the policy's mode, for the audit.
        transport: makes what sends requests.
        client: reads the OAuth client; asked only where one is needed.
    """

    database: Database
    tokens: TokenStore
    read_outs: OwnerFiles
    endpoint: str | None
    mode: PolicyMode
    client: Callable[[], OAuthClient]
    transport: Callable[[], Transport] = field(default=Transport)

    @classmethod
    def of(cls, settings: Settings, database: Database) -> "Reach":
        """As the settings say."""
        return cls(
            database,
            TokenStore(settings.owners),
            OwnerFiles(settings.models),
            settings.youtube_api_endpoint,
            load_policy(profile=settings.profile).mode,
            lambda: client_of(settings),
        )


def login(reach: Reach, show: Callable[[str, int], None], *, wait_seconds: float | None = None) -> LoggedIn:
    """Ask an owner for consent, keep it, and order the reports at once: what lies 30 days before the order is lost.

    Args:
        reach: what to work with.
        show: as in `consent.ask_for_consent`.
        wait_seconds: how long the owner has; None: ten minutes.

    Raises:
        ReachError: there is no consent, and nothing is kept; or there is, and YouTube does not take the order yet.
        SettingsError: there is no OAuth client.
    """
    # Imported here: nobody but who logs in needs requests and oauthlib.
    from thumbrank_core.youtube.reach.consent import WAIT_SECONDS, ask_for_consent

    client = reach.client()
    granted = ask_for_consent(client, show, wait_seconds=WAIT_SECONDS if wait_seconds is None else wait_seconds)
    with reach.transport() as transport:
        channel = own_channel(transport, granted.access_token, reach.endpoint)
        now = datetime.now(UTC)
        consent = Consent(
            owner_id=channel.channel_id,
            refresh_token=granted.refresh_token,
            client_id=client.client_id,
            token_uri=client.token_uri,
            granted_at=now,
        )
        with reach.tokens.locked():
            with reach.database.connection() as connection:
                rows.record_owner(connection, consent.owner_id, now)
                reach.tokens.write(consent)
            try:
                job = ReportingApi(transport, Access(transport, client, consent), reach.endpoint).ensure_job()
            except ReachError as error:
                raise ReachError(
                    error.kind, f"{error} The consent is kept: `thumbrank reach sync` goes on from here."
                ) from None
            with reach.database.connection() as connection:
                rows.record_job(connection, consent.owner_id, job)
    return LoggedIn(channel.channel_id, channel.title, job)


def sync_all(reach: Reach) -> list[Synced]:
    """Sync every owner whose consent is here; one owner's trouble is a problem in its result and stops no other.

    Raises:
        SettingsError: there are owners, and no OAuth client.
    """
    owners = reach.tokens.owners()
    if not owners:
        return []
    client = reach.client()
    found: list[Synced] = []
    with reach.tokens.locked(), reach.transport() as transport:
        for owner_id in owners:
            try:
                found.append(_sync(reach, transport, client, owner_id))
            except ReachError as error:
                found.append(Synced(owner_id, problems=(str(error),), problem_kinds=(error.kind,)))
    return found


def _sync(reach: Reach, transport: Transport, client: OAuthClient, owner_id: str) -> Synced:
    consent = reach.tokens.read(owner_id)
    if consent is None:  # logged out while this process waited for the lock
        return Synced(owner_id, news=(f"{owner_id} was logged out.",), news_kinds=("logged_out",))
    try:
        return _read_reports(
            reach, ReportingApi(transport, _confirmed(reach, transport, client, consent), reach.endpoint), owner_id
        )
    except ConsentEndedError as error:
        purged = _purge(reach, owner_id, "revoked")
        reach.tokens.delete(owner_id)
        sentence = (
            f"{error}: its {purged.rows:,} rows and its token are removed; `thumbrank reach login` begins again with "
            "what YouTube still has."
        )
        return Synced(owner_id, purged=purged.rows, news=(sentence,), news_kinds=(error.kind,))


def _confirmed(reach: Reach, transport: Transport, client: OAuthClient, consent: Consent) -> Access:
    """Access with a fresh token, which only a consent that still holds gives; the database remembers when."""
    with reach.database.connection() as connection:
        rows.refuse_forgotten(connection, consent.owner_id)
    access = Access(transport, client, consent)
    access.renew()
    with reach.database.connection() as connection:
        rows.record_owner(connection, consent.owner_id, datetime.now(UTC))
    return access


def _read_reports(reach: Reach, api: ReportingApi, owner_id: str) -> Synced:
    job = api.ensure_job()
    with reach.database.connection() as connection:
        listed_until = rows.record_job(connection, owner_id, job)
        issues = rows.read_issues(connection, owner_id)
    listed = api.reports(job, listed_until - OVERLAP if listed_until is not None else None)
    missing = [
        report
        for report in newest_issues(listed)
        if (report.starts_at, report.ends_at) not in issues
        or issues[report.starts_at, report.ends_at] < report.issued_at
    ]
    tally = _Tally(owner_id)
    with track(f"reports of {owner_id}", len(missing)) as advance:
        for report in missing:
            try:
                tally.take(reach.database, api, report)
            except PassingReachError as error:  # what was read before it is kept, and told
                tally.problems.append(error)
                break
            advance(1)
    if listed and not tally.problems:
        with reach.database.connection() as connection:
            rows.record_complete(connection, owner_id, max(report.issued_at for report in listed))
    if not listed and not issues:
        return replace(tally.synced(), news=(first_report_sentence(owner_id, job),), news_kinds=("first_report",))
    return tally.synced()


def first_report_sentence(owner_id: str, job: ReportingJob) -> str:
    """What an owner is told before there is anything to read."""
    return (
        f"YouTube makes the first report of {owner_id} within 48 hours of the order, by "
        f"{job.created_at + FIRST_REPORT_AFTER:%Y-%m-%d %H:%M} UTC; it goes back to {pacific_date(job.created_at) - BACKFILL}, "
        "and nothing before that can be had."
    )


@dataclass
class _Tally:
    """A sync while it is done."""

    owner_id: str
    days: int = 0
    reissued: int = 0
    rows: int = 0
    impressions: int = 0
    without_video: int = 0
    forgotten: int = 0
    problems: list[ReachError] = field(default_factory=list[ReachError])

    def take(self, database: Database, api: ReportingApi, report: Report) -> None:
        """Read one report; what is wrong with it alone does not stop the others."""
        try:
            table = parse_report(api.download(report), report, self.owner_id)
        except ReportUnreadableError as error:
            self.problems.append(error)
            return
        written = rows.replace_report(database, self.owner_id, report, table)
        if written is None:
            return
        self.days += 1
        self.reissued += written.replaced
        self.rows += written.rows
        self.impressions += written.impressions
        self.without_video += table.without_video
        self.forgotten += written.forgotten

    def synced(self) -> Synced:
        return Synced(
            self.owner_id,
            self.days,
            self.reissued,
            self.rows,
            self.impressions,
            self.without_video,
            self.forgotten,
            problems=tuple(str(error) for error in self.problems),
            problem_kinds=tuple(error.kind for error in self.problems),
        )


def known_owners(reach: Reach) -> list[str]:
    """Whose consent or whose rows are here."""
    with reach.database.connection() as connection:
        stored = {summary.owner_id for summary in rows.owner_summaries(connection)}
    return sorted(stored | set(reach.tokens.owners()))


def logout(reach: Reach, owner_id: str, *, dry_run: bool = False) -> rows.Purged:
    """Give a consent back: revoke it at Google, remove what it gave, and delete the token, in this order.

    Where Google cannot be reached the rest is done all the same, and the sentence says how the owner can do it there.
    """
    with reach.tokens.locked():
        if not dry_run:
            _give_back(reach, owner_id)
        purged = _purge(reach, owner_id, "logout", dry_run=dry_run)
        if not dry_run:
            reach.tokens.delete(owner_id)
    return purged


def _purge(reach: Reach, owner_id: str, ending: rows.Ending, *, dry_run: bool = False) -> rows.Purged:
    """Rows and read-outs; a model that is trained later fits what is left, the owner's own Studio exports."""
    purged = rows.purge(reach.database, owner_id, ending, reach.mode, datetime.now(UTC), dry_run=dry_run)
    files = len(reach.read_outs.of(owner_id)) if dry_run else reach.read_outs.delete(owner_id)
    return rows.Purged({**purged.counts, "owner_read_outs": files})


def _give_back(reach: Reach, owner_id: str) -> None:
    try:
        consent = reach.tokens.read(owner_id)
        if consent is None:
            return
        with reach.transport() as transport:
            revoked = revoke(transport, consent)
        reason = "" if revoked else "Google refused"
    except ReachError as error:
        reason = str(error)
    if reason:
        say(
            f"The consent of {owner_id} was not given back at Google ({reason}): remove Thumbrank at "
            "https://myaccount.google.com/connections."
        )
