"""Figures as words, the same on the page, in the cards and in the text alternatives. NaN and None are "no data", never a number."""

import math

from thumbrank_core.bootstrap import Interval

NO_DATA, UNKNOWN = "no data", "unknown"
LEFT_OUT = {
    "no_vectors": "a side without vectors of these encoders",
    "near_duplicate": "a picture that nearly equals one of a split that goes first",
    "reupload": "a video that was uploaded again in a split that goes first",
}
"""Why a stored pair is not in the data set; other reasons stand as they are."""


def number(value: float | None) -> str:
    """A share with three decimals, a count as it is."""
    if isinstance(value, int):
        return count(value)
    return f"{value:.3f}" if value is not None and math.isfinite(value) else NO_DATA


def signed(value: float | None) -> str:
    """A difference with three decimals and its sign."""
    return f"{value:+.3f}" if value is not None and math.isfinite(value) else NO_DATA


def figure(found: Interval | None) -> str:
    """A share with its interval: 0.682 (0.664 to 0.701)."""
    if found is None or not math.isfinite(found.value):
        return NO_DATA
    return f"{found.value:.3f} ({bounds(found)})"


def difference(found: Interval | None) -> str:
    """A difference with its interval: +0.010 (-0.002 to +0.022)."""
    if found is None or not math.isfinite(found.value):
        return NO_DATA
    return f"{found.value:+.3f} ({signed(found.low)} to {signed(found.high)})"


def bounds(found: Interval) -> str:
    """The interval alone: 0.664 to 0.701."""
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return "no interval"
    return f"{found.low:.3f} to {found.high:.3f}"


def count(n: float) -> str:
    """A whole number with its thousands set apart."""
    return f"{n:,.0f}"


def several(n: int, what: str) -> str:
    """1 test, 1,200 tests."""
    return f"{n:,} {what}{'s' * (n != 1)}"


def left_out(reason: str) -> str:
    """Why a pair is left out, in words."""
    return LEFT_OUT.get(reason, reason.replace("_", " "))
