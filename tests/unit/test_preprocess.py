"""From a picture's bytes to the square that an image tower takes."""

import io

import numpy as np
import pytest
from PIL import Image
from transformers.models.clip import CLIPImageProcessorPil

from thumbrank_core.features.preprocess import to_square
from thumbrank_core.store.picture import PictureError

RESIZES = ("squash", "longest", "crop")


def gradient(width: int, height: int) -> Image.Image:
    """Red grows to the right, green downwards; a smooth picture hides nothing and exaggerates nothing."""
    across = np.tile(np.linspace(0, 255, width), (height, 1))
    down = np.tile(np.linspace(0, 255, height)[:, None], (1, width))
    return Image.fromarray(np.stack([across, down, np.full_like(down, 90)], axis=-1).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("size", [(1280, 720), (320, 180), (180, 320), (100, 100), (15, 300)])
def test_every_resize_gives_the_square_asked_for(resize, size):
    square = to_square(encoded(gradient(*size)), 48, resize)
    assert square.shape == (48, 48, 3)
    assert square.dtype == np.uint8


def test_squash_and_longest_keep_the_whole_width_and_crop_keeps_its_middle():
    """1280 wide, red from 0 to 255: the outermost columns tell how much of the width is there."""
    data = encoded(gradient(1280, 720), quality=95)
    squashed, fitted, cropped = (to_square(data, 48, resize)[24, :, 0].astype(int) for resize in RESIZES)
    assert squashed[0] < 8 and squashed[-1] > 247
    assert fitted[0] < 8 and fitted[-1] > 247
    kept = (cropped[-1] - cropped[0]) / 255
    assert kept == pytest.approx(0.5625, abs=0.03), "a centre crop of 16:9 keeps 9/16 of the width"


def test_longest_pads_above_and_below_with_clips_mean_colour():
    square = to_square(encoded(gradient(320, 180)), 48, "longest")
    assert square[0].tolist() == [[124, 116, 104]] * 48
    assert square[-1].tolist() == [[124, 116, 104]] * 48
    assert len(np.unique(square[24, :, 0])) > 20


@pytest.mark.parametrize("size", [(320, 180), (180, 320), (333, 187)])
def test_crop_is_clips_own_preprocessing(size):
    """PNG: no draft, so the very pixels are compared."""
    picture = gradient(*size)
    ours = to_square(encoded(picture, "PNG"), 48, "crop")
    clip = CLIPImageProcessorPil(
        size={"shortest_edge": 48}, crop_size={"height": 48, "width": 48}, do_normalize=False, do_rescale=False
    )
    theirs = clip([picture], return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
    assert np.abs(ours.astype(float) - theirs).max() <= 1


@pytest.mark.parametrize("resize", RESIZES)
def test_a_jpeg_decoded_small_is_the_picture_that_a_full_decode_gives(resize):
    picture = gradient(1280, 720)
    small, full = to_square(encoded(picture, quality=95), 48, resize), to_square(encoded(picture, "PNG"), 48, resize)
    assert np.abs(small.astype(float) - full).mean() < 2


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "I;16", "1"])
def test_every_mode_of_a_picture_becomes_rgb(mode):
    picture = gradient(64, 36)
    if mode == "I;16":
        grey = np.asarray(picture.convert("L")).astype(np.uint16) * 257
        data = encoded(Image.fromarray(grey), "PNG")
        reference = to_square(encoded(picture.convert("L"), "PNG"), 32, "squash")
        assert np.abs(to_square(data, 32, "squash").astype(int) - reference).max() <= 1
        return
    data = encoded(picture.convert(mode), "JPEG" if mode == "CMYK" else "PNG")
    assert to_square(data, 32, "squash").shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"not a picture", "not_a_picture"),
        (encoded(gradient(320, 180))[:2000], "truncated"),
        (b"\xff\xd8\xff" + bytes(9 * 2**20), "too_large"),
        (encoded(Image.new("RGB", (3, 60_000)), "PNG"), "extreme_shape"),
    ],
)
def test_bytes_that_are_no_usable_picture_are_named(data, reason):
    with pytest.raises(PictureError) as caught:
        to_square(data, 48, "squash")
    assert caught.value.reason == reason
