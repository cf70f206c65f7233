"""The main face: where it is, how much of the picture it fills, and how strong its expression is."""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from thumbrank_core.features.signals.saliency import centring
from thumbrank_core.features.signals.working_picture import Grey

_WIDTH = 160
"""The cascade's own window is 20 pixels: at this width it finds faces from 22 % of a 16:9 picture's height. 128 halves the
time, but finds a tenth fewer and places the box so roughly that the expression read in it suffers."""
_STEP = 1.1
_NEIGHBOURS = 2
"""With 1, every fifteenth find on real thumbnails was a logo or a rifle scope; with 2, hardly one was."""
_DARK = 0.7
"""Standard deviations of the face below its median."""

_thread = threading.local()


@dataclass(frozen=True)
class Face:
    """A box in pixels of the picture it was found in."""

    x: float
    y: float
    side: float


def find_face(grey: Grey) -> Face | None:
    """The largest frontal face, or None.

    Viola & Jones (CVPR 2001) with the stump-tree cascade `haarcascade_frontalface_alt2` of Lienhart (2003), which comes
    with OpenCV. It misses faces in profile, hidden by a hand, tilted by more than about 15 degrees, or smaller than 22 %
    of the height of a 16:9 picture.
    """
    height, width = grey.shape
    scale = width / _WIDTH
    small = cv2.resize(grey, (_WIDTH, max(1, round(height / scale))), interpolation=cv2.INTER_AREA)
    found = _cascade().detectMultiScale(small, _STEP, _NEIGHBOURS)
    if len(found) == 0:
        return None
    x, y, side, _ = (float(value) for value in max(found, key=lambda box: int(box[2])))
    return Face(x * scale, y * scale, side * scale)


def face_prominence(face: Face, width: int, height: int) -> float:
    """Area of the face's box as a share of a `width` x `height` picture, times its centring; in [0, 1]."""
    middle = face.side / 2
    return face.side**2 / (width * height) * centring((face.x + middle) / width, (face.y + middle) / height)


def expression_strength(grey: Grey, face: Face) -> float | None:
    """How wide mouth and eyes are open: dark share of the mouth region plus the eye band's mean deviation; 0 to about 2.

    An open mouth is a dark hole and a wide eye shows white beside black: the intensity of the action units 25-27 (lips
    apart, jaw drop) and 5 (upper lid raiser) of Ekman & Friesen's Facial Action Coding System (1978), in bands placed by
    the proportions of the face box. Dark is 0.7 standard deviations below the face's median; deviation is measured from
    that median in those standard deviations, so that neither lighting nor skin nor size matters. A beard reads as an
    open mouth, dark glasses as wide eyes. None for a face without contrast.
    """
    smooth = cv2.GaussianBlur(grey, (0, 0), max(0.5, face.side / 80)).astype(np.float32)
    whole = _part(smooth, face, 0, 1, 0, 1)
    spread, median = float(whole.std()), float(np.median(whole))
    mouth, eyes = _part(smooth, face, 0.65, 1, 0.3, 0.7), _part(smooth, face, 0.22, 0.5, 0.1, 0.9)
    if spread < 1 or mouth.size == 0 or eyes.size == 0:
        return None
    return float(np.mean(mouth < median - _DARK * spread)) + float(np.mean(np.abs(eyes - median))) / spread


def _part(
    grey: np.ndarray[tuple[int, int], np.dtype[np.float32]],
    face: Face,
    top: float,
    bottom: float,
    left: float,
    right: float,
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """What lies between shares of the face box."""
    rows = slice(max(0, round(face.y + top * face.side)), round(face.y + bottom * face.side))
    columns = slice(max(0, round(face.x + left * face.side)), round(face.x + right * face.side))
    return grey[rows, columns]


def _cascade() -> cv2.CascadeClassifier:
    """This thread's own: a CascadeClassifier keeps its scratch memory inside and must not be shared."""
    if not hasattr(_thread, "cascade"):
        folder = Path(cv2.__file__).parent / "data"
        _thread.cascade = cv2.CascadeClassifier(str(folder / "haarcascade_frontalface_alt2.xml"))
    return cast(cv2.CascadeClassifier, _thread.cascade)
