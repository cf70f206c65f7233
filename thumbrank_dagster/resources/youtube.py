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
        from thumbrank_core.settings import Settings, SettingsError
        from thumbrank_core.youtube.client import YouTube

        settings = Settings.read()
        if settings.youtube_api_key is None:
            raise SettingsError(
                "YOUTUBE_API_KEY is not set: make a key in the Google Cloud console (YouTube Data API v3) and put it into .env, "
                "or import your own data with `thumbrank import`."
            )
        return YouTube(settings.youtube_api_key, settings.youtube_api_endpoint)

    @property
    def source(self) -> "Source":
        """What rows are marked with: everything that is not Google's endpoint is a simulator."""
        from thumbrank_core.settings import Settings

        return "simulator" if Settings.read().youtube_api_endpoint else "youtube_api"
