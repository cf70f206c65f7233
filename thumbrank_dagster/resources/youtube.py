"""The Data API for collection assets: the real one with a key, or the simulator where an endpoint is set."""

from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from thumbrank_core.store.catalog import Source
    from thumbrank_core.youtube.client import YouTube


class YouTubeResource(dg.ConfigurableResource):
    """Makes clients. The key comes from the environment when a client is made and goes into a header only."""

    def client(self) -> "YouTube":
        """A thread-safe client.

        Raises:
            SettingsError: no key is set.
        """
        from thumbrank_core.settings import Settings
        from thumbrank_core.youtube.connect import client_of

        return client_of(Settings.read())

    @property
    def source(self) -> "Source":
        """What rows are marked with."""
        from thumbrank_core.settings import Settings
        from thumbrank_core.youtube.connect import source_of

        return source_of(Settings.read())
