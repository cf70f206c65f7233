"""What a view meant, and when that changed: counts of different meanings are never compared.

YouTube changed the public view count twice: for Shorts on 2025-03-31 (every start and replay counts), and for all formats
on 2026-08-24 (the first frame counts; YouTube's revision history has it on 2026-08-27, third parties saw it from the 24th,
and the earlier day is the safer border). A video's regime is the pair of definitions at its publication and when it was
counted: between the two its count mixes both.
"""

from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

SHORTS_CHANGED = datetime(2025, 3, 31, tzinfo=UTC)
ALL_CHANGED = datetime(2026, 8, 24, tzinfo=UTC)


def regimes(
    published: npt.NDArray[np.float64], observed: npt.NDArray[np.float64], short: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int16]:
    """The regime of each video, (n,): 10 x the definition at publication + the definition when counted.

    Definitions: 0 the classic view, 1 a Short's start or replay, 2 the first frame.

    Args:
        published: (n,) seconds since 1970.
        observed: (n,) seconds since 1970, of the counts.
        short: (n,) whether it is a Short.
    """
    return (10 * _definition(published, short) + _definition(observed, short)).astype(np.int16)


def _definition(when: npt.NDArray[np.float64], short: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    first_frame = when >= ALL_CHANGED.timestamp()
    shorts_start = short & (when >= SHORTS_CHANGED.timestamp())
    return np.where(first_frame, 2, np.where(shorts_start, 1, 0))
