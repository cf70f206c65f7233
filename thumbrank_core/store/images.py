"""Content-addressed pictures on disk: limits before decode, sha256, perceptual hash.

What belongs here: bytes in, bytes out, and what can be told of a picture without a model. Where pictures come from is
youtube/ and imports/; what a model sees is features/.
"""

import hashlib
import io
import os
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, UnidentifiedImageError
from scipy.fft import dctn

from thumbrank_core.errors import ThumbrankError

MAX_BYTES = 8 * 1024 * 1024
"""YouTube accepts thumbnails up to 2 MB (50 MB for 4K); what is served is far smaller."""
MAX_PIXELS = 3840 * 2160
FORMATS = ("JPEG", "PNG", "WEBP", "GIF")

ImageFile.LOAD_TRUNCATED_IMAGES = False


class PictureError(ThumbrankError):
    """Bytes that are not a usable picture. `reason` is the short name a miss is counted under."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Picture:
    """A picture that decodes. `phash` is a signed 64-bit integer, as Postgres keeps it."""

    sha256: bytes
    width: int
    height: int
    bytes: int
    phash: int


def perceptual_hash(image: Image.Image) -> int:
    """64-bit DCT hash: the signs of the low frequencies of a 32x32 grey picture against their median.

    Source: the pHash construction (Zauner 2010). Near duplicates differ in a few bits.
    """
    grey = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.BILINEAR), dtype=np.float64)
    spectrum: npt.NDArray[np.float64] = np.asarray(dctn(grey, norm="ortho"))[:8, :8].ravel()
    bits = spectrum > np.median(spectrum[1:])
    return int(np.packbits(bits).view(">i8")[0])


def inspect(data: bytes) -> Picture:
    """Decode `data` completely and describe it.

    Raises:
        PictureError: empty, too large, not a picture, truncated, or the grey 120x90 placeholder of a missing picture.
    """
    if not data:
        raise PictureError("empty", "the picture has no bytes.")
    if len(data) > MAX_BYTES:
        raise PictureError("too_large", f"the picture has {len(data):,} bytes; at most {MAX_BYTES:,} are read.")
    image = _open(data)
    width, height = image.size
    if (width, height) == (120, 90):
        raise PictureError("placeholder", "the picture is 120x90: YouTube's placeholder, not a thumbnail.")
    return Picture(hashlib.sha256(data).digest(), width, height, len(data), perceptual_hash(image))


def _open(data: bytes) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            if image.width * image.height > MAX_PIXELS:  # the header says so before anything is decoded
                raise PictureError(
                    "too_large", f"the picture is {image.width}x{image.height}; at most 3840x2160 is decoded."
                )
            image.load()
            return image
    except UnidentifiedImageError:
        raise PictureError("not_a_picture", "the bytes are not a JPEG, PNG, WEBP or GIF picture.") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(
            "unreadable", f"the picture does not decode ({str(error)[:80] or type(error).__name__})."
        ) from None


class ImageStore:
    """Files named by their sha256 below one folder; a file is written once, atomically, and never changed."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, sha256: bytes) -> Path:
        """Where the picture with this digest is kept."""
        name = sha256.hex()
        return self.root / name[:2] / name

    def put(self, data: bytes) -> Picture:
        """Check and keep a picture.

        Raises:
            PictureError: it is not usable; nothing is written.
            ThumbrankError: the disk is full or the folder cannot be written.
        """
        picture = inspect(data)
        target = self.path(picture.sha256)
        if target.exists():
            return picture
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=target.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                Path(temporary).replace(target)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise ThumbrankError(
                f"The picture store {self.root} cannot be written ({error.strerror}): free space there, or set THUMBRANK_HOME."
            ) from None
        return picture

    def read(self, sha256: bytes) -> bytes:
        """The bytes of a kept picture.

        Raises:
            PictureError: the file is gone or is not what its name says.
        """
        try:
            data = self.path(sha256).read_bytes()
        except OSError:
            raise PictureError("file_missing", f"the picture file {sha256.hex()[:12]} is not in {self.root}.") from None
        if hashlib.sha256(data).digest() != sha256:
            raise PictureError(
                "file_changed", f"the picture file {sha256.hex()[:12]} in {self.root} is not what its name says."
            )
        return data
