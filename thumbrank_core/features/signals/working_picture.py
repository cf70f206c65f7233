"""From a picture's bytes to the one size at which every detector looks: decoded once, bars cut off, 320 pixels wide."""

from dataclasses import dataclass
from functools import cached_property
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from thumbrank_core.store.picture import decode_rgb

Grey = npt.NDArray[np.uint8]
"""(height, width) luma of Rec. 601, 0 to 255."""
Rgb = npt.NDArray[np.uint8]
"""(height, width, 3)."""

WIDTH = 320
"""The width of `mqdefault`, the size that every video has."""
TALLEST = 640
SHORTEST = 16
"""Below this no detector has anything to look at."""

_BAR_LEVEL = 24
_BAR_EDGE = 4
"""Rows next to the picture that JPEG blocks may have lightened."""


@dataclass(frozen=True)
class WorkingPicture:
    """A picture as the detectors see it."""

    rgb: Rgb
    is_enlarged: bool
    """Whether the picture is narrower than WIDTH: fine detail, such as focus and small text, is then lost."""

    @cached_property
    def grey(self) -> Grey:
        """The luma."""
        return cast(Grey, cv2.cvtColor(self.rgb, cv2.COLOR_RGB2GRAY))


def working_picture(data: bytes) -> WorkingPicture:
    """Decode a picture, cut YouTube's black bars off and bring it to a width of 320 (at most 640 high).

    Raises:
        PictureError: the bytes are not a usable picture.
    """
    image = decode_rgb(data, lambda size: (WIDTH, max(1, WIDTH * size[1] // size[0])))
    rgb = without_bars(np.asarray(image))
    height, width = rgb.shape[:2]
    scale = min(WIDTH / width, TALLEST / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if size != (width, height):
        # Area averages keep a reading the same whatever larger size was served.
        rgb = cast(Rgb, cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC))
    return WorkingPicture(rgb, is_enlarged=width < WIDTH)


def without_bars(rgb: Rgb) -> Rgb:
    """The 16:9 middle of a taller picture, if all above and below it is black; else the picture as it is.

    `hqdefault`, `sddefault` and `default` are 4:3 and carry a 16:9 thumbnail between such bars.
    """
    height, width = rgb.shape[:2]
    bar = (height - round(width * 9 / 16)) // 2
    if bar <= _BAR_EDGE:
        return rgb
    outside = np.concatenate([rgb[: bar - _BAR_EDGE], rgb[height - bar + _BAR_EDGE :]])
    return rgb[bar : height - bar] if outside.max() < _BAR_LEVEL else rgb
