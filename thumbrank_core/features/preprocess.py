"""From a picture's bytes to the square that an image tower takes: decoded no larger than needed, resized, not normalised.

What belongs here: everything that happens to a picture on the CPU before the model, so that it can run ahead in threads.
Normalisation is arithmetic on the whole batch and belongs to the encoder.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image

from thumbrank_core.features.specs import Resize
from thumbrank_core.store.picture import PictureError, decode_rgb

Square = npt.NDArray[np.uint8]
"""(side, side, 3), RGB."""

LONGEST = 20

PADDING = (124, 116, 104)
"""What stands beside a picture that does not fill its square: the mean colour of CLIP's training pictures, after
normalisation nearly zero."""


def to_square(data: bytes, side: int, resize: Resize) -> Square:
    """Decode a picture and bring it to (side, side, 3) RGB.

    Raises:
        PictureError: the bytes are not a usable picture.
    """
    image = decode_rgb(data, lambda size: _least(size, side, resize))
    if max(image.size) > LONGEST * min(image.size):  # a crop first makes all of it as wide as the square
        raise PictureError(
            "extreme_shape",
            f"the picture is {image.width}x{image.height}; no thumbnail is {LONGEST} times as long as wide.",
        )
    return np.asarray(_RESIZES[resize](image, side))


def squash(image: Image.Image, side: int) -> Image.Image:
    """The whole picture, its width compressed."""
    return image.resize((side, side), Image.Resampling.BICUBIC)


def longest(image: Image.Image, side: int) -> Image.Image:
    """The whole picture in its own shape, with bars of PADDING above and below (or beside)."""
    width, height = _fitted(image.size, side / max(image.size))
    square = Image.new("RGB", (side, side), PADDING)
    square.paste(image.resize((width, height), Image.Resampling.BICUBIC), ((side - width) // 2, (side - height) // 2))
    return square


def crop(image: Image.Image, side: int) -> Image.Image:
    """The middle of the picture, as CLIP's own preprocessing: of a 16:9 picture 56 % of the width stay."""
    shortest, along = min(image.size), max(image.size)
    long_side = int(side * along / shortest)  # as transformers rounds it
    size = (side, long_side) if image.width <= image.height else (long_side, side)
    resized = image.resize(size, Image.Resampling.BICUBIC)
    left, top = (resized.width - side) // 2, (resized.height - side) // 2
    return resized.crop((left, top, left + side, top + side))


_RESIZES: dict[Resize, Callable[[Image.Image, int], Image.Image]] = {"squash": squash, "longest": longest, "crop": crop}


def _least(size: tuple[int, int], side: int, resize: Resize) -> tuple[int, int]:
    """The smallest size at which a JPEG may be decoded: in no direction smaller than what the resize makes of it."""
    if resize == "squash":
        return side, side
    scale = side / (max(size) if resize == "longest" else min(size))
    return _fitted(size, scale)


def _fitted(size: tuple[int, int], scale: float) -> tuple[int, int]:
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
