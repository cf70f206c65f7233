"""From settings to open databases: any DATABASE_URL, or the embedded Postgres below THUMBRANK_HOME; migrated either way."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from thumbrank_core.paths import migrations_folder
from thumbrank_core.settings import Settings
from thumbrank_core.store.database import Database
from thumbrank_core.store.embedded import EmbeddedPostgres
from thumbrank_core.store.migrate import migrate

OURS, DAGSTERS = "thumbrank", "dagster"
"""Dagster keeps its own database: its tables collide with MLflow's and have no business beside ours."""


@dataclass(frozen=True)
class Servers:
    """Connection strings. `dagster` is None when no Postgres was named for Dagster: it then keeps SQLite files."""

    thumbrank: str
    dagster: str | None


@contextmanager
def running_servers(settings: Settings, *, durable: bool = True) -> Generator[Servers]:
    """The databases that settings name; an embedded server lives as long as the block, unless another process owns it.

    Raises:
        StoreError: no server can be reached or started; the sentence names it and the mend.
        SettingsError: only the guide's Supabase variables are set.
    """
    dagster = settings.dagster_pg_url.get_secret_value() if settings.dagster_pg_url else None
    external = settings.external_database_url()
    if external is not None:
        yield Servers(external, dagster)
        return
    with EmbeddedPostgres(settings.home, durable=durable) as server:
        server.create_database(OURS)
        server.create_database(DAGSTERS)
        yield Servers(server.url(OURS), dagster or server.url(DAGSTERS))


@contextmanager
def open_database(url: str) -> Generator[Database]:
    """A migrated database.

    Raises:
        StoreError: it cannot be reached, or its schema is newer than this code.
    """
    migrate(url, migrations_folder())
    with Database(url) as database:
        yield database
