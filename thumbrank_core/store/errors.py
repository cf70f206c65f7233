"""What can go wrong between us and Postgres. What belongs here: the types; who knows the case writes the message."""

from thumbrank_core.errors import ThumbrankError


class StoreError(ThumbrankError):
    """Something about the database that a person can mend: one sentence with the thing and the mend, no secret."""


class EmbeddedPostgresError(StoreError):
    """The embedded server cannot be found, made or started."""


class DatabaseUnreachable(StoreError):
    """No connection: a wrong URL, host, port, database or password, or a server that is down or busy."""


class CopyError(StoreError):
    """A row or a type that cannot be written as it is; nothing of its batch is kept."""


class MigrationError(StoreError):
    """The migrations in the folder and those in the database do not go together, or one of them failed."""
