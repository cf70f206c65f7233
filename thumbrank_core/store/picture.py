"""One picture: limits before it is decoded, sha256, size and perceptual hash.

What belongs here: what can be told of a picture's bytes without a model. Where pictures are kept is images.py, where
they come from is youtube/ and imports/, what a model sees of them is features/.
"""

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, UnidentifiedImageError

from thumbrank_core.errors import ThumbrankError

MAX_BYTES = 8 * 1024 * 1024
"""YouTube accepts thumbnails up to 2 MB (50 MB for 4K); what is served is far smaller."""
MAX_PIXELS = 3840 * 2160
FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
PLACEHOLDER_SIZE = (120, 90)
PLACEHOLDER_BYTES = 3_000
"""The grey picture that stands for a missing one has about 1,100 bytes; a real picture of its size has more than this."""

_JPEG, _PNG, _GIF, _RIFF = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"RIFF"
_JPEG_END, _PNG_END, _GIF_END = b"\xff\xd9", b"IEND\xaeB`\x82", b";"
_HASHED_SIZE = 32
_DRAFT_SIZE = (320, 180)
"""A quarter of 1280x720. Smaller pictures are decoded as they are, so their hashes are those of a full decode."""

ImageFile.LOAD_TRUNCATED_IMAGES = False


class PictureError(ThumbrankError):
    """Bytes that are not a usable picture. `reason` is the short name a miss is counted under."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Picture:
    """A picture that decodes: width and height in pixels; `phash` is a signed 64-bit integer, as Postgres keeps it."""

    sha256: bytes
    width: int
    height: int
    bytes: int
    phash: int


def inspect(data: bytes) -> Picture:
    """Read `data` to its end and describe it; of an animation, its first frame.

    A JPEG is decoded at about a quarter of its size: every byte is still read, so nothing cut off goes unseen, and the
    hash is within two bits of a full decode's.

    Raises:
        PictureError: `empty`, `too_large`, `not_a_picture`, `truncated` (it ends before its picture does), `unreadable`,
            or `placeholder` (the grey 120x90 of a missing picture).
    """
    if not data:
        raise PictureError("empty", "the picture has no bytes.")
    if len(data) > MAX_BYTES:
        raise PictureError("too_large", f"the picture has {len(data):,} bytes; at most {MAX_BYTES:,} are read.")
    (width, height), image = _decode(data, lambda size: _DRAFT_SIZE)
    if (width, height) == PLACEHOLDER_SIZE and len(data) <= PLACEHOLDER_BYTES:
        raise PictureError("placeholder", "the picture is YouTube's 120x90 placeholder, not a thumbnail.")
    return Picture(hashlib.sha256(data).digest(), width, height, len(data), perceptual_hash(image))


def decode_rgb(data: bytes, least: Callable[[tuple[int, int]], tuple[int, int]]) -> Image.Image:
    """The picture in RGB, under the same limits as `inspect`.

    A JPEG is decoded at a half, a quarter or an eighth where that is still no smaller than `least` (of its whole width and
    height) asks for: the scaling happens in the frequency domain and saves most of the decoding. Other formats come whole.

    Raises:
        PictureError: as `inspect`.
    """
    if len(data) > MAX_BYTES:
        raise PictureError("too_large", f"the picture has {len(data):,} bytes; at most {MAX_BYTES:,} are read.")
    _, image = _decode(data, least)
    return (_grey(image) if image.mode.startswith("I;16") else image).convert("RGB")


def perceptual_hash(image: Image.Image) -> int:
    """64-bit DCT hash: the signs of the low frequencies of a 32x32 grey picture against their median.

    Source: the pHash construction (Zauner 2010). Near duplicates differ in a few bits.
    """
    small = _grey(image).resize((_HASHED_SIZE, _HASHED_SIZE), Image.Resampling.BILINEAR)
    grey = np.asarray(small, dtype=np.float64)
    # Rounded, for the frequencies that a flat or a symmetric picture lacks are zero only up to the last bits.
    spectrum = np.round(_LOW_FREQUENCIES @ grey @ _LOW_FREQUENCIES.T, 6).ravel()
    median = np.sort(spectrum[1:])[31]  # of 63: the first one is the mean brightness
    return int.from_bytes(np.packbits(spectrum > median).tobytes(), "big", signed=True)


def _dct_rows(count: int, size: int) -> npt.NDArray[np.float64]:
    """The first `count` rows of the orthonormal DCT-II, [count, size]: two small products instead of a whole transform."""
    order, place = np.arange(count)[:, None], np.arange(size)[None, :]
    rows = np.sqrt(2 / size) * np.cos(np.pi * (2 * place + 1) * order / (2 * size))
    rows[0] = np.sqrt(1 / size)
    return rows


_LOW_FREQUENCIES = _dct_rows(8, _HASHED_SIZE)


def _grey(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):  # Pillow would cut everything above 255 off
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("L")


def _decode(data: bytes, least: Callable[[tuple[int, int]], tuple[int, int]]) -> tuple[tuple[int, int], Image.Image]:
    """Width and height as the header says, and the picture, possibly smaller."""
    try:
        # No warnings.catch_warnings here: it is not safe between threads. Pillow's own limit is ten times ours.
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        size = image.size
        if size[0] * size[1] > MAX_PIXELS:  # the header says so before anything is decoded
            raise PictureError("too_large", f"the picture is {size[0]}x{size[1]}; at most 3840x2160 is decoded.")
        image.draft(None, least(size))  # only a JPEG can; the others take no notice
        image.load()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise PictureError("too_large", "the picture is far larger than the 3840x2160 that is decoded.") from None
    except UnidentifiedImageError:
        if _kind(data) is None:
            raise PictureError("not_a_picture", "the bytes are not a JPEG, PNG, WEBP or GIF picture.") from None
        raise _truncated() if _lacks_its_end(data) else _unreadable("its header is damaged") from None
    except (OSError, SyntaxError, ValueError) as error:
        said = str(error)
        if "truncated" in said.lower() or _lacks_its_end(data):
            raise _truncated() from None
        raise _unreadable(said[:80] or type(error).__name__) from None
    if _lacks_its_end(data):
        raise _truncated()
    return size, image


def _kind(data: bytes) -> bytes | None:
    """The first bytes of the format that this is, or is the beginning of; None for anything else."""
    found = next((first for first in (_JPEG, _PNG, _GIF, _RIFF) if data.startswith(first[: len(data)])), None)
    return None if found == _RIFF and not b"WEBP".startswith(data[8:12]) else found


def _lacks_its_end(data: bytes) -> bool:
    """Whether the end that the format prescribes is missing: decoders do not always look for it. More may follow it."""
    kind = _kind(data)
    if kind == _RIFF:
        return len(data) < max(12, 8 + int.from_bytes(data[4:8], "little"))
    if kind == _GIF:  # its end is a single byte, which any picture data contains
        return not data.rstrip(b"\0").endswith(_GIF_END)
    return kind is not None and data.rfind(_PNG_END if kind == _PNG else _JPEG_END) < 0


def _unreadable(why: str) -> PictureError:
    return PictureError("unreadable", f"the picture does not decode ({why}).")


def _truncated() -> PictureError:
    return PictureError("truncated", "the picture ends before its time: it was cut off on its way or on the disk.")
