"""Limits before decode, what a picture is called when it is none, and the hash that a cheap decode must not change."""

import io
import random
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from scipy.fft import dctn

from thumbrank_core.simulator.pictures import jpeg_bytes, missing_picture
from thumbrank_core.simulator.world import WorldSettings, build_world
from thumbrank_core.store.images import ImageStore, name_of
from thumbrank_core.store.picture import MAX_BYTES, PictureError, inspect, perceptual_hash


def drawn(size=(320, 180), seed=0):
    pixels = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


def encoded(image, kind="JPEG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(size=(320, 180), seed=0, quality=90):
    return encoded(drawn(size, seed), quality=quality)


def animation(kind):
    frames = [drawn(seed=seed) for seed in range(3)]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:])


KINDS = {
    "jpeg": lambda: jpeg((1280, 720)),
    "progressive": lambda: encoded(drawn((1280, 720)), progressive=True),
    "grey": lambda: encoded(drawn((1280, 720)).convert("L")),
    "cmyk": lambda: encoded(drawn((1280, 720)).convert("CMYK")),
    "png": lambda: encoded(drawn(), "PNG"),
    "webp": lambda: encoded(drawn(), "WEBP"),
    "gif": lambda: encoded(drawn(), "GIF"),
    "animated_gif": lambda: animation("GIF"),
    "animated_webp": lambda: animation("WEBP"),
}


def reason_of(data):
    with pytest.raises(PictureError) as caught:
        inspect(data)
    return caught.value.reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"<html>not found</html>", "not_a_picture"),
        (b"RIFF\x00\x10\x00\x00WAVEfmt ", "not_a_picture"),
        (jpeg()[:2000], "truncated"),
        (jpeg()[:7], "truncated"),
        (b"\xff\xd8\xff" + b"\x00" * 50 + b"\xff\xd9", "unreadable"),
        (missing_picture(), "placeholder"),
        (b"x" * (MAX_BYTES + 1), "too_large"),
    ],
)
def test_unusable_bytes_have_a_reason(data, reason):
    assert reason_of(data) == reason


def test_a_small_picture_with_content_is_no_placeholder():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8))
    assert inspect(encoded(noise)).width == 120


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_huge_picture_is_refused_before_it_is_decoded():
    small = encoded(Image.new("1", (8, 8)), "PNG")
    for side in (5_000, 12_000, 60_000):  # above our limit, above Pillow's warning, above Pillow's error
        header = b"IHDR" + struct.pack(">II", side, side) + small[24:29]
        huge = small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:]
        assert reason_of(huge) == "too_large"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_described_by_its_header(kind):
    picture = inspect(KINDS[kind]())
    assert (picture.width, picture.height) in {(1280, 720), (320, 180)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_cut_off_anywhere_is_truncated(kind):
    data = KINDS[kind]()
    cuts = {1, 2, 3, 5, 9, *np.linspace(10, len(data) - 1, 20).astype(int), *range(len(data) - 8, len(data))}
    found = {int(cut): reason_of(data[:cut]) for cut in cuts}
    assert set(found.values()) == {"truncated"}, found


def test_damage_anywhere_is_a_reason_or_a_picture_and_never_another_error():
    chance = random.Random(0)
    for make in KINDS.values():
        whole = make()
        for _ in range(15):
            data = bytearray(whole)
            for _ in range(chance.choice((1, 3, 10))):
                data[chance.randrange(min(len(data), chance.choice((40, 700, len(data)))))] = chance.randrange(256)
            try:
                inspect(bytes(data))
            except PictureError as error:
                assert error.reason in {"truncated", "unreadable", "not_a_picture", "too_large"}


def test_what_follows_the_end_of_a_jpeg_does_no_harm():
    assert inspect(jpeg() + b"garbage" * 100).phash == inspect(jpeg()).phash


def test_an_animation_is_its_first_frame():
    assert inspect(animation("GIF")).phash == inspect(encoded(drawn(), "GIF")).phash


def test_a_png_of_16_bits_hashes_like_its_8_bit_twin():
    grey = np.asarray(drawn().convert("L"))
    deep = encoded(Image.fromarray(grey.astype(np.uint16) * 257), "PNG")
    assert inspect(deep).phash == inspect(encoded(Image.fromarray(grey), "PNG")).phash


def distance(one, other):
    return ((one ^ other) & (2**64 - 1)).bit_count()


def by_whole_transform(image):
    """The hash as its definition says it: the whole transform of the whole picture."""
    grey = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.BILINEAR), dtype=np.float64)
    low = np.asarray(dctn(grey, norm="ortho"))[:8, :8].ravel()
    return int(np.packbits(low > np.median(low[1:])).view(">i8")[0])


@pytest.fixture(scope="module")
def world():
    return build_world(WorldSettings(seed=5, channels_per_niche=4, videos_per_channel=12, large_pictures=1.0))


@pytest.mark.parametrize(("size", "bits"), [("medium", 0), ("maxres", 2)])
def test_the_cheap_decode_hashes_like_the_whole_one(world, size, bits):
    videos = [video for video in world.videos if video.is_listed][:25]
    for video in videos:
        data = jpeg_bytes(world, video, size)
        whole = by_whole_transform(Image.open(io.BytesIO(data)))
        assert distance(inspect(data).phash, whole) <= bits, "hashes that are stored already stay comparable"


def test_a_flat_picture_has_one_hash_whatever_its_colour():
    assert len({perceptual_hash(Image.new("RGB", (320, 180), colour)) for colour in ("grey", "white", "teal")}) == 1


def test_a_recompressed_picture_hashes_alike_and_another_one_does_not():
    assert distance(inspect(jpeg(seed=1)).phash, inspect(jpeg(seed=1, quality=60)).phash) <= 6
    assert distance(inspect(jpeg(seed=1)).phash, inspect(jpeg(seed=2)).phash) > 15


def test_the_store_gives_back_what_it_was_given_and_notices_a_changed_file(tmp_path):
    store = ImageStore(tmp_path)
    picture = store.put(jpeg())
    assert store.read(picture.sha256) == jpeg()
    assert store.put(jpeg()) == picture
    file = tmp_path / name_of(picture.sha256)
    file.write_bytes(b"other")
    with pytest.raises(PictureError) as caught:
        store.read(picture.sha256)
    assert caught.value.reason == "file_changed"
    store.put(jpeg())
    assert store.read(picture.sha256) == jpeg(), "a damaged file is mended by the next download"


def test_a_refused_picture_leaves_no_file(tmp_path):
    with pytest.raises(PictureError):
        ImageStore(tmp_path).put(b"junk")
    assert list(tmp_path.rglob("*")) == []
