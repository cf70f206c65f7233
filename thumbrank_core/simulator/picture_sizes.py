"""The sizes in which a thumbnail exists: their names, files and measures, and which of them a video has."""

from dataclasses import dataclass

from thumbrank_core.simulator import traits
from thumbrank_core.simulator.world import Video


@dataclass(frozen=True, slots=True)
class PictureSize:
    """One of the sizes that YouTube keeps of a thumbnail."""

    file_name: str
    width: int
    height: int
    """4:3 and vertical sizes carry the 16:9 picture between black bars."""


SIZES: dict[str, PictureSize] = {
    "default": PictureSize("default.jpg", 120, 90),
    "medium": PictureSize("mqdefault.jpg", 320, 180),
    "high": PictureSize("hqdefault.jpg", 480, 360),
    "standard": PictureSize("sddefault.jpg", 640, 480),
    "maxres": PictureSize("maxresdefault.jpg", 1280, 720),
    # Documented since 2026-09-11, but nobody has published their file names: these are ours, not YouTube's.
    "fhd": PictureSize("hq1080.jpg", 1920, 1080),
    "qhd": PictureSize("hq1440.jpg", 2560, 1440),
    "uhd": PictureSize("hq2160.jpg", 3840, 2160),
    # In the discovery document only; neither file name nor measures are verified.
    "shortsAspectRatio": PictureSize("oardefault.jpg", 720, 1280),
}
"""By the key that the API's `thumbnails` uses."""

_USUAL = ("default", "medium", "high")
_LARGE = ("standard", "maxres")
_LARGEST = ("fhd", "qhd", "uhd")
_VERTICAL = ("shortsAspectRatio",)


def listed_sizes(video: Video) -> tuple[str, ...]:
    """The sizes that exist for a video; none for a deleted or private one."""
    if not video.is_listed:
        return ()
    sizes = _USUAL
    if video.large_pictures:
        sizes += (*_LARGE, *_LARGEST) if traits.has_largest_pictures(video) else _LARGE
    return (*sizes, *_VERTICAL) if traits.has_shorts_picture(video) else sizes
