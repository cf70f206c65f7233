"""Drawn pictures kept in memory, the least recently asked for forgotten first."""

from collections import OrderedDict

from thumbrank_core.simulator.live import LiveWorld
from thumbrank_core.simulator.pictures import jpeg_bytes
from thumbrank_core.simulator.world import Video

CAPACITY_BYTES = 256 * 1024 * 1024

Key = tuple[str, str, int]


class PictureCache:
    """JPEGs by video, size and version."""

    def __init__(self, live: LiveWorld, capacity: int = CAPACITY_BYTES) -> None:
        self._live = live
        self._capacity = capacity
        self._kept: OrderedDict[Key, bytes] = OrderedDict()
        self.bytes = 0

    def jpeg(self, video: Video, size: str) -> bytes:
        """The picture, drawn if need be; KeyError for a size that the video does not have."""
        key = (video.id, size, self._live.picture_version(video.id))
        known = self._kept.get(key)
        if known is not None:
            self._kept.move_to_end(key)
            return known
        drawn = jpeg_bytes(self._live.world, video, size, key[2])
        self._kept[key] = drawn
        self.bytes += len(drawn)
        while self.bytes > self._capacity:
            _, forgotten = self._kept.popitem(last=False)
            self.bytes -= len(forgotten)
        return drawn

    @property
    def is_full(self) -> bool:
        """Whether the next picture is likely to push another one out."""
        return self.bytes > 0.98 * self._capacity
