"""Connections to Postgres: a pool, and one clear sentence when there is none to be had.

What belongs here: opening, pooling and explaining. What does not: SQL about our tables (the steps that own them), and
which URL to use (settings).

Everything here also holds behind Supabase's transaction pooler (port 6543), where a session lasts one transaction:
no prepared statements, no session settings, no search_path. SQL always writes `thumbrank.` in full.
"""

import re
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeAlias

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from thumbrank_core.store.errors import DatabaseAway, DatabaseUnreachable, StoreError

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]

CONNECT_TIMEOUT_S = 10
HIDDEN = "postgresql://***"

_AWAY = (
    r"[Cc]onnection refused|timeout|timed out|too many (clients|connections)|connection slots|max clients|starting up|"
    r"shutting down|recovery|[Nn]etwork is unreachable|No route to host|server closed the connection"
)
_WRONG = r"password|SCRAM|does not exist|Tenant or user not found"
"""What waiting does not mend, also where another of several addresses was away."""


class Database:
    """A pool of connections to one database; safe to share between threads.

    Nothing is opened until the first `connection()`.

    Args:
        url: `postgresql://user:password@host:port/database`; the password is never repeated in a message or a repr.
        max_size: the most connections at once.
        timeout_s: how long `connection()` waits for a free one.

    Raises:
        DatabaseUnreachable: the URL is not one.
    """

    def __init__(self, url: str, *, max_size: int = 4, timeout_s: float = 30.0) -> None:
        _parse(url)
        self._url = url
        self._max_size = max_size
        self._timeout_s = timeout_s
        self._opening = threading.Lock()
        self._counting = threading.Lock()  # apart: who gives a connection back waits for nobody's connecting
        self._pool: ConnectionPool[Connection] | None = None
        self._in_use = 0
        self._closed = False

    def __repr__(self) -> str:
        return f"Database({redact(self._url)!r})"

    @contextmanager
    def connection(self) -> Generator[Connection]:
        """One connection and one transaction: committed at the end of the block, rolled back when it raises.

        Raises:
            DatabaseUnreachable: there is no such database; DatabaseAway where its server may come back, or went away in the middle.
            StoreError: its disk is full, or every connection was in use for too long.
        """
        pool, connection = self._take()
        try:
            with connection.transaction():
                yield connection
        except psycopg.errors.DiskFull:
            raise StoreError(f"The disk of the {_where(self._url)} is full: free space there.") from None
        except psycopg.OperationalError:
            if not connection.closed:
                raise
            raise DatabaseAway(
                f"The {_where(self._url)} closed the connection in the middle of its work: nothing of that transaction "
                "was kept; start the server again and repeat."
            ) from None
        finally:
            with self._counting:
                self._in_use -= 1
            pool.putconn(connection)

    def close(self) -> None:
        """Close every connection; the object cannot be used afterwards."""
        with self._opening:
            self._closed = True
        self._leave(self._pool)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take(self) -> tuple[ConnectionPool[Connection], Connection]:
        timeouts = 0
        while timeouts < 2:  # again where the server was away and has come back while this waited
            pool = self._open()
            try:
                connection = pool.getconn()
            except PoolClosed:
                continue  # another thread found the server away; _open says what is to say
            except PoolTimeout:
                timeouts += 1  # explained below, outside, so that nothing of the URL hangs on the new error
            else:
                with self._counting:
                    self._in_use += 1
                return pool, connection
            with self._counting:
                busy = self._in_use >= self._max_size
            if not busy:
                self._leave(pool)  # it tries less and less often; a new one connects at once when the server is back
            connect(self._url).close()  # the pool only says that it timed out; this says why
            if busy:
                break
        raise StoreError(
            f"All {self._max_size} connections to {_where(self._url)} were in use for {self._timeout_s:g} s: "
            "run it again, and where it comes again lower `requests` in config/policy.yaml."
        )

    def _open(self) -> ConnectionPool[Connection]:
        with self._opening:
            if self._closed:
                raise StoreError(
                    f"The {_where(self._url)} was closed by this program, which still asks for it: report it."
                )
            if self._pool is None:
                connect(self._url).close()  # says what is wrong, and at once
                self._pool = ConnectionPool(
                    self._url,
                    kwargs=_connect_options(),
                    min_size=0,
                    max_size=self._max_size,
                    timeout=self._timeout_s,
                    check=ConnectionPool.check_connection,  # a server that went away and came back costs nothing but this
                    open=True,
                    name="thumbrank",
                )
            return self._pool

    def _leave(self, pool: ConnectionPool[Connection] | None) -> None:
        with self._opening:
            if self._pool is pool:
                self._pool = None
        if pool is not None:
            pool.close()


def connect(url: str, *, autocommit: bool = False) -> Connection:
    """One connection outside any pool, with the same settings.

    Raises:
        DatabaseUnreachable: one sentence that names host, port and database and tells the cases apart; no password.
    """
    _parse(url)
    try:
        return psycopg.connect(url, autocommit=autocommit, **_connect_options())
    except psycopg.Error as error:
        message = str(error)
    # Raised outside the except block: the driver's error is neither cause nor context.
    away = re.search(_AWAY, message) is not None and re.search(_WRONG, message) is None
    raise (DatabaseAway if away else DatabaseUnreachable)(_explain(url, message))


def redact(url: str) -> str:
    """The URL with its password and parameters hidden; completely hidden if it cannot be read."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        return HIDDEN
    user = f"{parts['user']}:***@" if parts.get("user") else "***@" if parts.get("password") else ""
    port = f":{parts['port']}" if parts.get("port") else ""
    return f"postgresql://{user}{parts.get('host') or ''}{port}/{parts.get('dbname') or ''}"


def _connect_options() -> dict[str, Any]:
    return {
        "prepare_threshold": None,
        "connect_timeout": CONNECT_TIMEOUT_S,
        "application_name": "thumbrank",
        "keepalives": 1,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
    }


def _parse(url: str) -> dict[str, Any]:
    if not re.match(r"postgres(ql)?://", url):
        raise DatabaseUnreachable(
            "DATABASE_URL does not begin with postgresql://: write it as postgresql://user:password@host:port/database."
        )
    try:
        return dict(conninfo_to_dict(url))
    except psycopg.Error:
        pass  # the driver's message repeats parts of the URL, and so of the password
    raise DatabaseUnreachable(
        "DATABASE_URL cannot be read: write it as postgresql://user:password@host:port/database, "
        "with %-codes for special characters in the password (@ is %40, / is %2F, % is %25)."
    )


def _where(url: str) -> str:
    parts = _parse(url)
    host, port = parts.get("host") or "the default host", parts.get("port") or 5432
    return f"database {parts.get('dbname') or parts.get('user') or 'postgres'} on {host}, port {port}"


def _explain(url: str, message: str) -> str:
    parts = _parse(url)
    where, user = _where(url), parts.get("user") or "the default user"
    cases = (
        (
            r"password authentication failed|no password supplied|SCRAM|Wrong password",
            f"refused the password of user {user}: correct it in DATABASE_URL (special characters as %-codes).",
        ),
        (r"database .* does not exist", "does not exist: create it, or correct the name in DATABASE_URL."),
        (
            r"role .* does not exist|Tenant or user not found",
            f"does not know the user {user}: correct it in DATABASE_URL.",
        ),
        (
            r"could not translate host name|failed to resolve|Name or service not known|nodename nor servname",
            "cannot be found: the host's name is not known here; correct it in DATABASE_URL.",
        ),
        (
            r"[Cc]onnection refused",
            "refused the connection: start the server, or correct host and port in DATABASE_URL.",
        ),
        (r"timeout|timed out", f"did not answer within {CONNECT_TIMEOUT_S} s: check host, port and firewall."),
        (
            r"too many (clients|connections)|connection slots|max clients",
            "has no connection left: close some, or use a pooler.",
        ),
        (r"SSL|certificate", "did not agree on SSL: correct sslmode and sslrootcert in DATABASE_URL."),
        (r"starting up|shutting down|recovery", "is starting or stopping: try again in a moment."),
        (
            r"[Nn]etwork is unreachable|No route to host",
            "cannot be reached from this network: check host and network "
            "(Supabase's direct address needs IPv6; its pooler does not).",
        ),
    )
    for pattern, sentence in cases:
        if re.search(pattern, message):
            return f"The {where} {sentence}"
    return f"The {where} gave no connection ({_without_secrets(parts, message)}): correct DATABASE_URL."


def _without_secrets(parts: dict[str, Any], message: str) -> str:
    lines = message.strip().splitlines()
    text = lines[0][:200] if lines else "no reason given"
    for name in ("password", "sslpassword"):
        if parts.get(name):
            text = text.replace(str(parts[name]), "***")
    return text.rstrip(".")
