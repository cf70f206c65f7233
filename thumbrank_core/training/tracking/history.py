"""The guide's `models/training_history.json`: facts, one object an epoch, outcome; whole and readable at any moment."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from thumbrank_core.model.bundle import EpochRecord
from thumbrank_core.store.files import write_text
from thumbrank_core.training.tracking.interface import Facts, NothingOpen, RunOutcome, TrackingError


class HistoryTracker(NothingOpen):
    """Rewrites one JSON file after every epoch, atomically. What is not a number (NaN) is null: JSON has no word for it.

    Raises:
        TrackingError: the file cannot be written (from `begin`, `epoch` and `end`).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._facts = self._outcome = "null"
        self._epochs: list[str] = []

    def begin(self, facts: Facts, history: Sequence[EpochRecord]) -> None:
        """Start the file over, with the epochs that are done already."""
        self._facts, self._outcome = _json(facts.plain()), "null"
        self._epochs = [_json(record.model_dump()) for record in history]
        self._write()

    def epoch(self, record: EpochRecord) -> None:
        """Add its object."""
        self._epochs.append(_json(record.model_dump()))
        self._write()

    def end(self, outcome: RunOutcome) -> None:
        """Fill in `outcome`, which is null while the run goes on and after it broke."""
        self._outcome = _json(outcome.plain())
        self._write()

    def _write(self) -> None:
        """Each object was put into words once, so that a rewrite costs a join and a write, however many there are."""
        epochs = ",\n".join(f"    {epoch}" for epoch in self._epochs)
        text = f'{{\n  "facts": {self._facts},\n  "epochs": [\n{epochs}\n  ],\n  "outcome": {self._outcome}\n}}\n'
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_text(self._path, text)
        except OSError as error:
            raise TrackingError(
                f"{self._path} cannot be written ({error.strerror}): mend its folder's permissions or free space there."
            ) from None


def _json(value: object) -> str:
    return json.dumps(_finite(value), allow_nan=False, ensure_ascii=False)


def _finite(value: object) -> object:
    """The same with null for NaN and the infinities."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(inner) for key, inner in cast(Mapping[object, object], value).items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in cast(Sequence[object], value)]
    return value
