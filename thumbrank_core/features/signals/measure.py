"""Every measure of one picture, from its bytes."""

import cv2

from thumbrank_core.features.signals.definitions import MEASURES, Reading
from thumbrank_core.features.signals.faces import expression_strength, face_prominence, find_face
from thumbrank_core.features.signals.luminance import rms_contrast
from thumbrank_core.features.signals.saliency import main_region
from thumbrank_core.features.signals.sharpness import edge_sharpness
from thumbrank_core.features.signals.text_regions import text_regions
from thumbrank_core.features.signals.working_picture import SHORTEST, working_picture

cv2.setNumThreads(1)  # pictures are measured in several threads already; OpenCV's own would only fight them


def measure(data: bytes) -> list[Reading]:
    """One reading for each of MEASURES. Safe to call from several threads.

    Reasons for no value: `too_small` (no detail to judge focus or text by, or a side under 16 pixels), `flat` (nothing
    to see), `no_face`. That there is no text is a value, 0: the picture was read and has none.

    Raises:
        PictureError: the bytes are not a usable picture.
    """
    picture = working_picture(data)
    grey = picture.grey
    height, width = grey.shape
    if min(height, width) < SHORTEST:
        return [Reading(measure, reason="too_small") for measure in MEASURES]
    face = find_face(grey)
    return [
        _too_small("clarity.laplacian.1")
        if picture.is_enlarged
        else _reading("clarity.laplacian.1", edge_sharpness(grey), "flat"),
        Reading("contrast.rms.1", rms_contrast(grey)),
        _reading("prominence.saliency.1", main_region(picture.rgb), "flat"),
        _reading("prominence.face.1", face and face_prominence(face, width, height), "no_face"),
        _reading("emotion.face.1", face and expression_strength(grey, face), "no_face" if face is None else "flat"),
        _too_small("hierarchy.text.1")
        if picture.is_enlarged
        else Reading("hierarchy.text.1", text_regions(grey).hierarchy),
    ]


def _reading(measure: str, value: float | None, reason: str) -> Reading:
    return Reading(measure, reason=reason) if value is None else Reading(measure, value)


def _too_small(measure: str) -> Reading:
    return Reading(measure, reason="too_small")
