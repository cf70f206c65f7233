"""From settings to a client, and to what its rows are marked with."""

from thumbrank_core.settings import Settings, SettingsError
from thumbrank_core.store.catalog import Source
from thumbrank_core.youtube.client import YouTube


def client_of(settings: Settings) -> YouTube:
    """A client with the one key that the settings hold.

    Raises:
        SettingsError: no key is set, or what is set cannot be one.
    """
    if settings.youtube_api_key is None:
        raise SettingsError(
            "YOUTUBE_API_KEY is not set: make a key in the Google Cloud console (YouTube Data API v3) and put it into .env, "
            "or import your own data with `thumbrank import`."
        )
    key = settings.youtube_api_key.get_secret_value()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise SettingsError(
            "YOUTUBE_API_KEY has characters that no key has: copy it again from the Google Cloud console."
        )
    return YouTube(settings.youtube_api_key, settings.youtube_api_endpoint)


def source_of(settings: Settings) -> Source:
    """Everything that is not Google's endpoint is a simulator."""
    return "simulator" if settings.youtube_api_endpoint else "youtube_api"
