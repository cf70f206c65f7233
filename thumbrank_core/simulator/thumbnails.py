"""The `thumbnails` of a video: the sizes that exist, with addresses on the simulator's own host."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeVar

from thumbrank_core.simulator.picture_sizes import SIZES, listed_sizes
from thumbrank_core.simulator.shapes import Shape
from thumbrank_core.simulator.world import Video

T = TypeVar("T")


def thumbnails_shape(
    host: str, video: Callable[[T], Video] | None = None, sizes: Sequence[str] = tuple(SIZES)
) -> Shape[T]:
    """Of these sizes those that exist; `video` tells which video a thing is about."""
    of = video or _itself

    def size_shape(name: str) -> Shape[T]:
        size = SIZES[name]
        return Shape(
            {
                "url": lambda thing: f'"{host}/vi/{of(thing).id}/{size.file_name}"',
                "width": str(size.width),
                "height": str(size.height),
            },
            exists=lambda thing: name in listed_sizes(of(thing)),
        )

    def whole(thing: T) -> str:
        about = of(thing)
        pieces = _pieces(host, tuple(name for name in listed_sizes(about) if name in sizes))
        return about.id.join(pieces)

    return Shape({name: size_shape(name) for name in sizes}, whole=whole)


def _itself(thing: object) -> Video:
    assert isinstance(thing, Video)
    return thing


@cache
def _pieces(host: str, names: Sequence[str]) -> list[str]:
    """The whole object for some sizes, cut where the video's id belongs."""
    written = ",".join(
        f'"{name}":{{"url":"{host}/vi/\0/{SIZES[name].file_name}","width":{SIZES[name].width},'
        f'"height":{SIZES[name].height}}}'
        for name in names
    )
    return f"{{{written}}}".split("\0")
