"""CLIP's towers and MiniLM: the very vectors that a plain call of their makers' code gives."""

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoTokenizer, CLIPModel
from transformers.models.clip import CLIPImageProcessorPil

from thumbrank_core.features.encoders import CaptionEncoder, ImageEncoder, TitleEncoder, cpu_batch
from thumbrank_core.features.preprocess import to_square
from thumbrank_core.features.specs import EncoderError, load_set, locate
from thumbrank_core.simulator.pictures import jpeg_bytes
from thumbrank_core.simulator.world import WorldSettings, build_world

TINY = load_set("tiny")
FOLDER = locate(TINY.image).name_or_path


@pytest.fixture(scope="module")
def jpegs() -> list[bytes]:
    world = build_world(WorldSettings(seed=5, channels_per_niche=2, videos_per_channel=8, niches=("tech",)))
    return [jpeg_bytes(world, video, "medium") for video in world.videos if video.is_listed]


@pytest.fixture(scope="module")
def squares(jpegs) -> torch.Tensor:
    return torch.from_numpy(np.stack([to_square(data, 48, "squash") for data in jpegs]))


def plain(pictures: list[Image.Image]) -> np.ndarray:
    """What anyone would write with transformers."""
    model: Any = CLIPModel.from_pretrained(FOLDER, dtype=torch.float32).eval()
    processor = CLIPImageProcessorPil.from_pretrained(FOLDER)
    pixels = processor(pictures, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        found = model.get_image_features(pixel_values=pixels).pooler_output
    return torch.nn.functional.normalize(found, dim=-1).numpy()


def one(encoder: ImageEncoder, pixels: torch.Tensor) -> np.ndarray:
    return np.concatenate(list(encoder.encode([pixels])))


def test_float32_equals_a_plain_transformers_call_on_the_same_picture(jpegs):
    """The same decoded picture: PNG, which nothing decodes smaller, through our path and through the processor's."""
    pictures = [Image.open(io.BytesIO(data)).convert("RGB") for data in jpegs]
    whole = []
    for picture in pictures:
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        whole.append(to_square(buffer.getvalue(), 48, "squash"))
    ours = one(ImageEncoder(TINY.image), torch.from_numpy(np.stack(whole)))
    assert np.abs(ours - plain(pictures)).max() < 1e-5


def test_a_jpeg_decoded_near_the_size_needed_gives_nearly_the_vector_of_a_full_decode(jpegs, squares):
    pictures = [Image.open(io.BytesIO(data)).convert("RGB") for data in jpegs]
    cosine = (one(ImageEncoder(TINY.image), squares) * plain(pictures)).sum(axis=1)
    assert cosine.min() > 0.99


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_lower_precision_keeps_a_cosine_of_999_in_a_thousand(precision, squares):
    full = one(ImageEncoder(TINY.image), squares)
    lower = one(ImageEncoder(TINY.image.model_copy(update={"precision": precision})), squares)
    assert (full * lower).sum(axis=1).min() >= 0.999
    assert np.abs(full - lower).max() > 1e-5, "it was computed in the lower precision"


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_lower_precision_keeps_the_titles_too(precision):
    titles = ["My phone", "The best budget phone you can buy this year, and why I returned it after a week"]
    kinds: list[tuple[type[Any], Any]] = [(CaptionEncoder, TINY.caption), (TitleEncoder, TINY.title)]
    for encoder, spec in kinds:
        full, lower = (
            encoder(kind).encode(titles) for kind in (spec, spec.model_copy(update={"precision": precision}))
        )
        assert (full * lower).sum(axis=1).min() >= 0.999


def test_vectors_have_length_one_and_do_not_depend_on_their_batch(squares):
    encoder = ImageEncoder(TINY.image)
    together = one(encoder, squares)
    apart = np.concatenate(list(encoder.encode([squares[:3], squares[3:4], squares[4:]])))
    assert np.abs(np.linalg.norm(together, axis=1) - 1).max() < 1e-6
    assert np.abs(together - apart).max() < 1e-5


def test_an_empty_batch_is_no_vector():
    encoder = ImageEncoder(TINY.image)
    (vectors,) = encoder.encode([encoder.new_batch(0)])
    assert vectors.shape == (0, 128)


def test_captions_equal_a_plain_transformers_call_whatever_their_neighbours():
    titles = ["My phone", "The best budget phone you can buy this year, and why I returned it after a week"]
    tokens = AutoTokenizer.from_pretrained(FOLDER)(titles, padding=True, return_tensors="pt")
    model: Any = CLIPModel.from_pretrained(FOLDER, dtype=torch.float32).eval()
    with torch.no_grad():
        found = model.get_text_features(**tokens).pooler_output
    theirs = torch.nn.functional.normalize(found, dim=-1).numpy()
    encoder = CaptionEncoder(TINY.caption)
    assert np.abs(encoder.encode(titles) - theirs).max() < 1e-5
    assert np.abs(encoder.encode(titles[:1]) - theirs[:1]).max() < 1e-5


def test_a_caption_longer_than_the_tower_s_context_is_cut_off_and_not_refused():
    vectors = CaptionEncoder(TINY.caption).encode(["phone " * 500])
    assert np.isfinite(vectors).all()


def test_titles_equal_a_plain_sentence_transformers_call_whatever_their_neighbours():
    from sentence_transformers import SentenceTransformer

    titles = ["A", "A much longer title about the very same thing, told in many more words than are needed"]
    theirs = SentenceTransformer(locate(TINY.title).name_or_path).encode(titles, normalize_embeddings=True)
    encoder = TitleEncoder(TINY.title)
    assert np.abs(encoder.encode(titles) - theirs).max() < 1e-5
    assert np.abs(encoder.encode(titles[:1]) - theirs[:1]).max() < 1e-5


def test_a_precision_that_was_not_settled_is_not_guessed():
    with pytest.raises(EncoderError, match="not settled"):
        ImageEncoder(TINY.image.model_copy(update={"precision": "auto"}))


@pytest.mark.parametrize(
    ("rows", "widest", "pictures"), [(50, 3072, 16), (257, 4096, 4), (37, 384, 256), (9999, 9999, 1), (1, 8, 256)]
)
def test_a_cpu_s_batch_stays_in_its_cache(rows, widest, pictures):
    assert cpu_batch(rows, widest) == pictures
