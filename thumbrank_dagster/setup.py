"""`thumbrank init`: everything that must stand before the services start, each time anew and without harm.

What belongs here: the order of the steps and what is said of each. Run it at the first start and after every upgrade; what is
there already is left as it is.
"""

import os
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import dagster as dg

from thumbrank_core.paths import migrations_folder
from thumbrank_core.progress import say
from thumbrank_core.settings import Settings, SettingsError
from thumbrank_core.store.migrate import migrate, read_folder
from thumbrank_core.store.opening import running_servers
from thumbrank_core.store.provision import ADMIN, DatabaseSpec, Made, create_missing, database_spec
from thumbrank_dagster.instance import config_texts, environment, psycopg2_url, write_config

POOLS: Mapping[str, int] = MappingProxyType({"youtube_api": 1, "gpu": 1})
"""How many steps of a pool may run at once, over all runs; the reasons stand in instance_file.py."""


def run_init(settings: Settings) -> None:
    """Create missing roles and databases, migrate ours, Dagster's and MLflow's, write dagster.yaml, limit pools that have no limit.

    Raises:
        SettingsError: two of the databases are one, or an administrator is named and no database.
        StoreError: a server is out of reach, or refuses.
    """
    databases = named_databases(settings)
    made = _create(settings, databases, dry_run=False)
    for name in made.roles:
        say(f"created the role {name}")
    for name in made.databases:
        say(f"created the database {name}")
    with running_servers(settings) as servers:
        for migration in migrate(servers.thumbrank, migrations_folder()):
            say(f"applied {migration.file_name}")
        say("Thumbrank's schema is up to date")
        folder = settings.home / "dagster"
        changed = _outdated(settings, postgres=servers.dagster is not None)
        write_config(folder, postgres=servers.dagster is not None, launcher=settings.run_launcher)
        for name in changed:
            say(f"wrote {folder / name}")
        os.environ.update(
            environment(settings, servers)
        )  # the file names variables, and this process reads them as well
        with dg.DagsterInstance.from_config(str(folder)) as instance:
            instance.upgrade()
            say("Dagster's schema is up to date")
            for line in set_pools(instance):
                say(line)
    if settings.mlflow_backend_url is not None:
        _upgrade_mlflow(settings.mlflow_backend_url.get_secret_value())
        say("MLflow's schema is up to date")


def plan_init(settings: Settings) -> Iterator[str]:
    """What `run_init` would do, a line each. It reads; it starts an embedded server only where there is one already.

    Raises:
        SettingsError, StoreError: as `run_init`.
    """
    databases = named_databases(settings)
    missing = _create(settings, databases, dry_run=True)
    yield from (f"would create the role {name}" for name in missing.roles)
    yield from (f"would create the database {name}" for name in missing.databases)
    external = settings.external_database_url() is not None
    if (external and databases["DATABASE_URL"].name in missing.databases) or not (external or _has_cluster(settings)):
        pending = read_folder(migrations_folder())
    else:
        with running_servers(settings) as servers:
            pending = migrate(servers.thumbrank, migrations_folder(), dry_run=True)
    yield from (f"would apply {migration.file_name}" for migration in pending)
    postgres = settings.dagster_pg_url is not None or not external
    yield from (f"would write {settings.home / 'dagster' / name}" for name in _outdated(settings, postgres=postgres))
    yield "would bring Dagster's schema up to date"
    yield from (f"would set the pool {name} to {limit}, if it has no limit of its own" for name, limit in POOLS.items())
    if settings.mlflow_backend_url is not None:
        yield "would bring MLflow's schema up to date"


def set_pools(instance: dg.DagsterInstance) -> list[str]:
    """Give a limit to every pool that has none of its own, and leave a team's own as it is; says of each what it has."""
    storage = instance.event_log_storage
    own = {limit.name: limit.limit for limit in storage.get_pool_limits() if not limit.from_default}
    lines: list[str] = []
    for name, limit in POOLS.items():
        if name not in own:
            storage.set_concurrency_slots(name, limit)
            lines.append(f"pool {name}: {limit} (it had no limit of its own)")
        elif own[name] == limit:
            lines.append(f"pool {name}: {limit}")
        else:
            lines.append(f"pool {name}: {own[name]}, as somebody set it (ours would be {limit})")
    return lines


def named_databases(settings: Settings) -> dict[str, DatabaseSpec]:
    """The databases that settings name, by variable.

    Raises:
        SettingsError: an administrator is named but no DATABASE_URL, or two variables name one database.
        StoreError: a URL names none.
    """
    secrets = {
        "DATABASE_URL": settings.database_url,
        "DAGSTER_PG_URL": settings.dagster_pg_url,
        "MLFLOW_BACKEND_STORE_URI": settings.mlflow_backend_url,
    }
    urls = {variable: secret.get_secret_value() for variable, secret in secrets.items() if secret is not None}
    if settings.admin_database_url is not None and "DATABASE_URL" not in urls:
        raise SettingsError(f"{ADMIN} is set but DATABASE_URL is not: name the database that shall be created.")
    found = {variable: database_spec(variable, url) for variable, url in urls.items() if url.startswith("postgres")}
    places: dict[str, str] = {}
    for variable in found:
        place = urls[variable].rpartition("@")[2].partition("?")[0]
        if place in places:
            raise SettingsError(
                f"{variable} and {places[place]} name the same database: give each its own, as their tables collide."
            )
        places[place] = variable
    return found


def _create(settings: Settings, databases: Mapping[str, DatabaseSpec], *, dry_run: bool) -> Made:
    if settings.admin_database_url is None:
        return Made()
    return create_missing(settings.admin_database_url.get_secret_value(), list(databases.values()), dry_run=dry_run)


def _has_cluster(settings: Settings) -> bool:
    return (settings.home / "postgres").is_dir()


def _outdated(settings: Settings, *, postgres: bool) -> list[str]:
    """The files of DAGSTER_HOME that are missing or have another text."""
    folder = settings.home / "dagster"
    texts = config_texts(postgres=postgres, launcher=settings.run_launcher)
    return [
        name
        for name, text in texts.items()
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != text
    ]


def _upgrade_mlflow(url: str) -> None:
    """MLflow's server makes its tables at its first start, but refuses an older schema: after an upgrade somebody has to do this.

    By the function behind `mlflow db upgrade`, in this process: on a command line everybody could read the password.
    """
    from mlflow.db import upgrade

    assert upgrade.callback is not None
    upgrade.callback(psycopg2_url(url) if url.startswith("postgres") else url)
