"""What evaluation breaks its figures down by, out of the database: durations, subscribers, what pictures show."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import psycopg

from thumbrank_core.features import signal_store
from thumbrank_core.training.dataset import Items, Traits

TEXT, FACE = "hierarchy.text.1", "prominence.face.1"
"""Measures of a picture. Of text 0 is none, and a picture that was not read has no value; of a face there is only a value where
there is one."""


def load_traits(connection: psycopg.Connection, items: Items, channels: Sequence[str]) -> Traits:
    """The traits of the items and of the channels `channels`."""
    durations = dict(
        connection.execute(
            "select video_id, duration_seconds from thumbrank.thumbnails where video_id = any(%s)", (items.video_id,)
        ).fetchall()
    )
    subscribers = dict(
        connection.execute(
            "select channel_id, subscriber_count from thumbrank.channels where channel_id = any(%s)", (list(channels),)
        ).fetchall()
    )
    known = signal_store.known_keys(connection, (TEXT, FACE))

    def readings(measure: str) -> npt.NDArray[np.float64]:
        if measure not in known:
            return np.full(len(items), np.nan)
        return signal_store.load_readings(connection, known[measure], items.picture).astype(np.float64)

    text, face = readings(TEXT), readings(FACE)
    unread = np.isnan(text)
    return Traits(
        duration_s=_numbers([durations.get(video) for video in items.video_id]),
        has_text=np.where(unread, np.nan, text > 0),
        has_face=np.where(unread, np.nan, ~np.isnan(face)),
        subscribers=_numbers([subscribers.get(channel) for channel in channels]),
    )


def _numbers(values: Sequence[int | None]) -> npt.NDArray[np.float64]:
    return np.array([np.nan if value is None else float(value) for value in values])
