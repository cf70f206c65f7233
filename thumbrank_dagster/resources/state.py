"""What assets work on: the database and the folders below THUMBRANK_HOME.

Settings are read when a run starts, from the environment of the process that runs it: no secret is ever part of a run's
configuration, and the code location loads without any of them. The run's process is written on the run, so that dead_runs.py knows
whether it still lives.
"""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import PrivateAttr

from thumbrank_dagster.dead_runs import remember

if TYPE_CHECKING:
    from thumbrank_core.settings import Settings
    from thumbrank_core.store.database import Database
    from thumbrank_core.store.images import ImageStore


class StateResource(dg.ConfigurableResource):
    """The migrated database, opened once a run, and where files are."""

    _database: "Database" = PrivateAttr()
    _settings: "Settings" = PrivateAttr()

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Generator["StateResource"]:
        """Open the database for one run, or one tick of a sensor, and close it after."""
        from thumbrank_core.settings import Settings
        from thumbrank_core.store.database import Database
        from thumbrank_core.store.opening import open_database, running_servers

        if context.run is not None and context.instance is not None:
            remember(context.instance, context.run)
        with ExitStack() as stack:
            self._settings = Settings.read()
            servers = stack.enter_context(running_servers(self._settings))
            # A run migrates first. A tick comes every minute and leaves that, which takes a lock, to runs and to `thumbrank init`.
            opened = Database(servers.thumbrank) if context.run is None else open_database(servers.thumbrank)
            self._database = stack.enter_context(opened)
            yield self

    @property
    def database(self) -> "Database":
        """The open database."""
        return self._database

    @property
    def settings(self) -> "Settings":
        """The settings of this run's process."""
        return self._settings

    @property
    def images(self) -> "ImageStore":
        """The picture store."""
        from thumbrank_core.store.images import ImageStore

        return ImageStore(self._settings.images)

    @property
    def models(self) -> Path:
        """Where bundles are written."""
        return self._settings.models

    @property
    def reports(self) -> Path:
        """Where reports are written."""
        return self._settings.reports
