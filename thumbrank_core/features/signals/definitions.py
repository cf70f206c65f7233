"""The six signals, the measures behind them, and what one reading is. No picture is opened here.

The number at the end of a measure's id is its version: it goes up with every change of what is measured, so that stored
readings of two definitions never mix.
"""

import math
from dataclasses import dataclass

SIGNALS = ("clarity", "contrast", "prominence", "emotion", "hierarchy", "title_match")

MEASURES: dict[str, str] = {
    "clarity.laplacian.1": "clarity",
    "contrast.rms.1": "contrast",
    "prominence.saliency.1": "prominence",
    "prominence.face.1": "prominence",
    "emotion.face.1": "emotion",
    "hierarchy.text.1": "hierarchy",
}
"""The signal of each measure of a picture: read once per picture and stored."""

VECTOR_MEASURES: dict[str, str] = {
    "clarity.prompts.1": "clarity",
    "emotion.prompts.1": "emotion",
    "title_match.cosine.1": "title_match",
}
"""The signal of each measure of stored vectors: computed whenever it is wanted, never stored."""


@dataclass(frozen=True)
class Reading:
    """One measure of one picture: a finite value, or the short name of the reason why there is none."""

    measure: str
    value: float | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        if (self.value is None) == (self.reason is None):
            raise ValueError(f"{self.measure}: a reading has either a value or a reason.")
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"{self.measure}: {self.value} is not a finite number.")
