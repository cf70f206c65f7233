"""Thumbnails drawn from a video's hidden qualities, byte for byte the same every time.

Every quality is drawn so large that it can still be seen when the picture is squashed to 48 x 48. The geometry is given
for 320 x 180 and scaled to the size asked for. Text uses the font that Pillow carries: no machine's fonts matter.
"""

import colorsys
import io
from collections.abc import Sequence
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from thumbrank_core.simulator.channels import Style
from thumbrank_core.simulator.ids import digest
from thumbrank_core.simulator.picture_sizes import SIZES, listed_sizes
from thumbrank_core.simulator.qualities import LIMIT
from thumbrank_core.simulator.titles import TOPICS
from thumbrank_core.simulator.world import Video, World

Colour = tuple[int, int, int]

WIDTH, HEIGHT = 320, 180
QUALITY = 84


_SKINS: tuple[Colour, ...] = ((255, 219, 172), (224, 172, 105), (166, 110, 62), (94, 58, 35))
_HAIR: tuple[Colour, ...] = ((60, 40, 20), (25, 20, 20), (200, 160, 80), (120, 60, 30))


def jpeg_bytes(world: World, video: Video, size_name: str, version: int = 0) -> bytes:
    """The JPEG of one size of a video's thumbnail; KeyError for a size that the video does not have.

    Each further `version` is another picture: odd ones show the opposite qualities, and what carries no meaning moves.
    """
    if size_name not in listed_sizes(video):
        raise KeyError(f"{video.id} has no picture of size {size_name}")
    size = SIZES[size_name]
    which = (world.settings.seed, video.id, version) if version else (world.settings.seed, video.id)
    seed = int.from_bytes(digest(8, "picture", *which))
    qualities = [-value for value in video.qualities] if version % 2 else video.qualities
    words = TOPICS[video.channel.niche][video.topic].upper()
    picture = draw(qualities, video.channel.style, video.topic, words, seed, size.width)
    radius = world.settings.blur * (1 - video.focus) * size.width / WIDTH
    if radius:
        picture = picture.filter(ImageFilter.GaussianBlur(radius))
    if picture.height != size.height:
        framed = Image.new("RGB", (size.width, size.height))
        framed.paste(picture, (0, (size.height - picture.height) // 2))
        picture = framed
    return _encode(picture)


def avatar_jpeg(style: Style, pixels: int) -> bytes:
    """A channel's square picture: its accent on its background."""
    picture = Image.new("RGB", (pixels, pixels), _colour(style.background_hue, 0.6, 0.7))
    ImageDraw.Draw(picture).ellipse(
        (pixels // 4, pixels // 4, 3 * pixels // 4, 3 * pixels // 4), fill=_colour(style.accent_hue, 0.6, 0.9)
    )
    return _encode(picture)


@cache
def missing_picture() -> bytes:
    """The grey 120 x 90 JPEG that i.ytimg.com sends as the body of a 404."""
    return _encode(Image.new("RGB", (120, 90), (232, 232, 232)))


def draw(
    qualities: Sequence[float], style: Style, topic: int, words: str, seed: int, width: int = WIDTH
) -> Image.Image:
    """A 16:9 picture `width` pixels wide.

    Args:
        qualities: expression, subject size, text amount, contrast, vividness, clutter, each in [-2, 2].
        style: the channel's habits.
        topic: which object stands beside the subject.
        words: what the text overlay says.
        seed: places what carries no meaning (clutter, small shifts).
        width: of the result.
    """
    shares = [(value + LIMIT) / (2 * LIMIT) for value in qualities]
    expression, size, text, contrast, vividness, clutter = shares
    rng = np.random.default_rng(seed)
    canvas = _Canvas(width, style, vividness)
    _draw_clutter(canvas, rng, clutter)
    shift_x, shift_y = rng.uniform(-1, 1, 2).tolist()
    subject_x = (84 if style.subject_on_left else WIDTH - 84) + 10 * shift_x
    beside_x = WIDTH - 80 if style.subject_on_left else 80
    text_top = text_bottom = 0.0
    if style.text_on_top:
        text_top, text_bottom = 8, 8 + 14 + 104 * text
    else:
        text_top, text_bottom = HEIGHT - 8 - 14 - 104 * text, HEIGHT - 8
    _draw_object(canvas, topic, beside_x, HEIGHT - 30 if style.text_on_top else 30)
    _draw_text(canvas, beside_x, text_top, text_bottom, words)
    _draw_face(canvas, subject_x, 98 + 8 * shift_y, 34 + 42 * size, expression, style)
    return canvas.picture.point(_contrast_table(round(100 * contrast)))


class _Canvas:
    """A picture, its pencil, and the colours that a channel and a vividness give."""

    def __init__(self, width: int, style: Style, vividness: float) -> None:
        self.scale = width / WIDTH
        self.background = _colour(style.background_hue, 0.05 + 0.9 * vividness, 0.72)
        self.shade = _colour(style.background_hue, 0.05 + 0.9 * vividness, 0.42)
        self.accent = _colour(style.accent_hue, 0.05 + 0.9 * vividness, 0.9)
        gradient = Image.new("RGB", (1, 2))
        gradient.putpixel((0, 0), self.background)
        gradient.putpixel((0, 1), self.shade)
        size = (width, round(width * HEIGHT / WIDTH))
        self.picture = gradient.resize((1, size[1]), Image.Resampling.BILINEAR).resize(size, Image.Resampling.NEAREST)
        self._pencil = ImageDraw.Draw(self.picture)

    def ellipse(self, x: float, y: float, half_width: float, half_height: float, colour: Colour) -> None:
        """A filled ellipse around (x, y), in the 320 x 180 geometry."""
        self._pencil.ellipse(self._box(x, y, half_width, half_height), fill=colour)

    def rectangle(self, x: float, y: float, half_width: float, half_height: float, colour: Colour) -> None:
        """A filled rectangle around (x, y), in the 320 x 180 geometry."""
        self._pencil.rectangle(self._box(x, y, half_width, half_height), fill=colour)

    def polygon(self, points: Sequence[tuple[float, float]], colour: Colour) -> None:
        """A filled polygon, in the 320 x 180 geometry."""
        self._pencil.polygon([(round(x * self.scale), round(y * self.scale)) for x, y in points], fill=colour)

    def text(self, x: float, y: float, words: str, height: float, colour: Colour) -> None:
        """Words around (x, y), in the 320 x 180 geometry."""
        font = _font(max(5, round(height * self.scale)))
        self._pencil.text((round(x * self.scale), round(y * self.scale)), words, fill=colour, font=font, anchor="mm")

    def _box(self, x: float, y: float, half_width: float, half_height: float) -> tuple[int, int, int, int]:
        scale = self.scale
        return (
            round((x - half_width) * scale),
            round((y - half_height) * scale),
            round((x + half_width) * scale),
            round((y + half_height) * scale),
        )


def _draw_clutter(canvas: _Canvas, rng: np.random.Generator, share: float) -> None:
    """Up to 30 small things strewn over the background."""
    count = round(30 * share)
    # Always as many draws, so that what follows in the stream does not depend on how much clutter there is.
    places = rng.random((30, 4))[:count].tolist()
    colours: tuple[Colour, ...] = (canvas.accent, (250, 250, 250), (20, 20, 20))
    for number, (x, y, half_width, half_height) in enumerate(places):
        shape = canvas.rectangle if number % 2 else canvas.ellipse
        shape(x * WIDTH, y * HEIGHT, 6 + 6 * half_width, 6 + 6 * half_height, colours[number % 3])


def _draw_object(canvas: _Canvas, topic: int, x: float, y: float) -> None:
    """What the video is about, beside the subject: one of eight outlines in the channel's accent."""
    ink: Colour = (245, 245, 245)
    match topic % 8:
        case 0:
            canvas.rectangle(x, y, 34, 20, canvas.accent)
            canvas.rectangle(x, y - 3, 28, 13, ink)
        case 1:
            canvas.rectangle(x, y, 12, 24, canvas.accent)
            canvas.rectangle(x, y - 3, 9, 16, ink)
        case 2:
            canvas.ellipse(x, y, 24, 24, canvas.accent)
            canvas.ellipse(x, y, 12, 12, ink)
        case 3:
            canvas.ellipse(x - 22, y, 14, 18, canvas.accent)
            canvas.ellipse(x + 22, y, 14, 18, ink)
        case 4:
            canvas.polygon([(x, y - 24), (x + 28, y + 20), (x - 28, y + 20)], canvas.accent)
        case 5:
            canvas.rectangle(x, y, 44, 7, canvas.accent)
            canvas.rectangle(x, y + 12, 44, 4, ink)
        case 6:
            canvas.polygon([(x, y - 24), (x + 24, y), (x, y + 24), (x - 24, y)], canvas.accent)
            canvas.ellipse(x, y, 8, 8, ink)
        case _:
            canvas.polygon([(x - 32, y - 18), (x + 32, y - 18), (x, y + 22)], canvas.accent)


def _draw_text(canvas: _Canvas, x: float, top: float, bottom: float, words: str) -> None:
    """A plate that grows with the amount of text, with as many lines as fit."""
    canvas.rectangle(x, (top + bottom) / 2, 72, (bottom - top) / 2, (252, 244, 60))
    lines = max(1, int((bottom - top) // 26))
    spoken = words.split()
    height = (bottom - top) / lines
    for line in range(lines):
        canvas.text(x, top + height * (line + 0.5), spoken[line % len(spoken)], min(20.0, height * 0.9), (15, 15, 15))


def _draw_face(canvas: _Canvas, x: float, y: float, radius: float, expression: float, style: Style) -> None:
    """A face of the given radius: the stronger the expression, the wider eyes and mouth and the higher the brows."""
    skin = _SKINS[style.skin]
    if style.hat:
        canvas.ellipse(x, y - 0.25 * radius, 1.12 * radius, 0.95 * radius, canvas.accent)
    else:
        canvas.ellipse(x, y - 0.12 * radius, 1.08 * radius, 1.05 * radius, _HAIR[style.skin])
    canvas.ellipse(x, y, 0.95 * radius, radius, skin)
    eye_width, eye_height = 0.25 * radius, (0.05 + 0.30 * expression) * radius
    brow = y - (0.36 + 0.34 * expression) * radius
    for side in (-1, 1):
        eye_x = x + side * 0.38 * radius
        canvas.ellipse(eye_x, y - 0.2 * radius, eye_width, eye_height, (255, 255, 255))
        canvas.ellipse(eye_x, y - 0.2 * radius, 0.09 * radius, min(0.13 * radius, eye_height), (10, 10, 10))
        canvas.rectangle(eye_x, brow, 0.24 * radius, 0.045 * radius, (30, 20, 15))
    mouth_height = (0.03 + 0.37 * expression) * radius
    canvas.ellipse(x, y + 0.52 * radius, (0.34 + 0.10 * expression) * radius, mouth_height, (120, 10, 20))


@cache
def _contrast_table(percent: int) -> list[int]:
    """A lookup table that pulls every channel towards middle grey; the higher the percentage, the less."""
    strength = 0.35 + 0.65 * percent / 100
    return [round(128 + (value - 128) * strength) for value in range(256)] * 3


@cache
def _font(height: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(height)


def _colour(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def _encode(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
