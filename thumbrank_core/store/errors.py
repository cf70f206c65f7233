"""What can go wrong between us and Postgres. What belongs here: the types; who knows the case writes the message."""

import psycopg

from thumbrank_core.errors import ThumbrankError, TransientError


class StoreError(ThumbrankError):
    """Something about the database that a person can mend: one sentence with the thing and the mend, no secret."""


class EmbeddedPostgresError(StoreError):
    """The embedded server cannot be found, made or started."""


class DatabaseUnreachable(StoreError):
    """No connection: a wrong URL, host, port, database or password, or a server that is down or busy (DatabaseAway)."""


class DatabaseAway(DatabaseUnreachable, TransientError):
    """A server that is down, busy, starting or stopping, or that went away in the middle: it may be back in a while."""


class CopyError(StoreError):
    """A row or a type that cannot be written as it is; nothing of its batch is kept."""


class MigrationError(StoreError):
    """The migrations in the folder and those in the database do not go together, or one of them failed."""


TRY_AGAIN = (
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.LockNotAvailable,
)
"""The server's own words for a transaction that met another one: nothing of it was kept, and the same may succeed next time."""
