"""Limits before decode, and what a picture is called when it is none."""

import io

import numpy as np
import pytest
from PIL import Image

from thumbrank_core.store.images import MAX_BYTES, ImageStore, PictureError, inspect, perceptual_hash


def jpeg(size=(320, 180), seed=0, quality=90):
    pixels = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def webp():
    buffer = io.BytesIO()
    Image.new("RGB", (320, 180), "red").save(buffer, "WEBP")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"<html>not found</html>", "not_a_picture"),
        (jpeg()[:2000], "unreadable"),
        (jpeg((120, 90)), "placeholder"),
        (b"x" * (MAX_BYTES + 1), "too_large"),
    ],
)
def test_unusable_bytes_have_a_reason(data, reason):
    with pytest.raises(PictureError) as caught:
        inspect(data)
    assert caught.value.reason == reason


def test_a_huge_picture_is_refused_before_it_is_decoded():
    buffer = io.BytesIO()
    Image.new("L", (5000, 5000)).save(buffer, "PNG")
    with pytest.raises(PictureError) as caught:
        inspect(buffer.getvalue())
    assert caught.value.reason == "too_large"


def test_a_webp_named_jpg_is_a_picture():
    assert (inspect(webp()).width, inspect(webp()).height) == (320, 180)


def test_a_recompressed_picture_hashes_alike_and_another_one_does_not():
    def bits(data):
        return perceptual_hash(Image.open(io.BytesIO(data))) & (2**64 - 1)

    assert (bits(jpeg(seed=1)) ^ bits(jpeg(seed=1, quality=60))).bit_count() <= 6
    assert (bits(jpeg(seed=1)) ^ bits(jpeg(seed=2))).bit_count() > 15


def test_the_store_gives_back_what_it_was_given_and_notices_a_changed_file(tmp_path):
    store = ImageStore(tmp_path)
    picture = store.put(jpeg())
    assert store.read(picture.sha256) == jpeg()
    assert store.put(jpeg()) == picture
    store.path(picture.sha256).write_bytes(b"other")
    with pytest.raises(PictureError) as caught:
        store.read(picture.sha256)
    assert caught.value.reason == "file_changed"


def test_a_refused_picture_leaves_no_file(tmp_path):
    with pytest.raises(PictureError):
        ImageStore(tmp_path).put(b"junk")
    assert list(tmp_path.rglob("*")) == []
