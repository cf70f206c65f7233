"""The tiny CLIP that comes with the project: small, offline, and able to see what the simulator draws."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoTokenizer, CLIPModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

import thumbrank_core
from thumbrank_core.simulator.pictures import jpeg_bytes
from thumbrank_core.simulator.world import WorldSettings, build_world

FOLDER = Path(thumbrank_core.__file__).parent / "features" / "tiny_clip"


@pytest.fixture(scope="module")
def model() -> CLIPModel:
    return CLIPModel.from_pretrained(FOLDER, local_files_only=True, dtype=torch.float32).eval()


def pooled(answer: Any) -> torch.Tensor:
    """A tower's output; transformers declares it as perhaps a tuple."""
    return answer.pooler_output


def embeddings(model: CLIPModel, jpegs: list[bytes]) -> torch.Tensor:
    processor = CLIPImageProcessorPil.from_pretrained(FOLDER, local_files_only=True)
    pictures: list[Image.Image] = [Image.open(io.BytesIO(jpeg)) for jpeg in jpegs]
    pixels = processor(pictures, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        return torch.nn.functional.normalize(pooled(model.get_image_features(pixel_values=pixels)), dim=1)


def test_it_loads_offline_and_its_file_is_small(model: CLIPModel):
    assert (FOLDER / "model.safetensors").stat().st_size <= 2_900_000
    assert model.dtype == torch.float32
    assert (FOLDER / "README.md").read_text().startswith("# tiny_clip")


def test_its_preprocessor_squashes_the_whole_picture(model: CLIPModel):
    processor = CLIPImageProcessorPil.from_pretrained(FOLDER, local_files_only=True)
    wide = Image.new("RGB", (320, 180), (0, 0, 0))
    wide.paste((255, 255, 255), (0, 0, 16, 180))
    pixels = processor([wide], return_tensors="pt")["pixel_values"][0]
    vision: Any = model.config.vision_config
    side = vision.image_size
    assert tuple(pixels.shape) == (3, side, side)
    assert pixels[0, 0, 0] > pixels[0, 0, side // 2]


def test_its_embedding_tells_what_is_drawn_to_a_linear_probe(model: CLIPModel):
    world = build_world(WorldSettings(seed=2, channels_per_niche=12, videos_per_channel=12))
    videos = [video for video in world.videos if video.is_listed]
    seen = embeddings(model, [jpeg_bytes(world, video, "medium") for video in videos]).double().numpy()
    seen = np.column_stack([seen, np.ones(len(seen))])
    truth = np.array([video.qualities for video in videos])
    unseen = np.array([video.channel.number % 3 == 0 for video in videos])
    weights = np.linalg.solve(
        seen[~unseen].T @ seen[~unseen] + 1e-2 * np.eye(seen.shape[1]), seen[~unseen].T @ truth[~unseen]
    )
    left = ((truth - seen @ weights)[unseen] ** 2).mean(axis=0) / truth[unseen].var(axis=0)
    assert (1 - left).min() > 0.5
    assert (1 - left).mean() > 0.75


def test_a_caption_is_nearer_to_its_picture_than_to_others(model: CLIPModel):
    world = build_world(WorldSettings(seed=2, channels_per_niche=2, videos_per_channel=8, title_mentions=1.0))
    videos = [video for video in world.videos if video.is_listed]
    tokenizer = AutoTokenizer.from_pretrained(FOLDER, local_files_only=True)
    tokens = tokenizer([video.title for video in videos], padding=True, return_tensors="pt")
    with torch.no_grad():
        texts = torch.nn.functional.normalize(pooled(model.get_text_features(**tokens)), dim=1)
    likeness = embeddings(model, [jpeg_bytes(world, video, "medium") for video in videos]) @ texts.T
    own = likeness.diag()
    assert (own[:, None] > likeness).float().mean() > 0.85
