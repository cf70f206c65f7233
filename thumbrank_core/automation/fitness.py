"""Which niches would stop a training at its border: asked when a month is about to be trained, and not before.

A module of its own because it brings numpy and reads the stored vectors, which whoever decides once a minute does not need.
"""

from collections.abc import Sequence
from datetime import datetime

import psycopg

from thumbrank_core.features.precision import settle
from thumbrank_core.features.specs import load_set
from thumbrank_core.settings import Settings
from thumbrank_core.training.borders import BorderError, check


def unfit(connection: psycopg.Connection, niches: Sequence[str], settings: Settings, now: datetime) -> dict[str, str]:
    """Niches that would stop a training at its border, each with its reason, encoders as THUMBRANK_ENCODERS says."""
    encoders = settle(connection, load_set(settings.encoders))
    try:
        check(connection, niches, encoders, now)
    except BorderError as error:
        return {border.niche: border.reason for border in error.borders if border.reason is not None}
    return {}
