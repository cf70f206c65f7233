"""Each weak signal follows the hidden quality that it is named after, and the six are not copies of one another."""

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
from thumbrank_core.features.signals.combine import Signals, combine, correlations, mean_off_diagonal
from thumbrank_core.features.signals.definitions import MEASURES, SIGNALS
from thumbrank_core.features.signals.measure import measure
from thumbrank_core.features.signals.prompts import title_match
from thumbrank_core.metrics import spearman_within
from thumbrank_core.simulator.pictures import jpeg_bytes
from thumbrank_core.simulator.qualities import PICTURE_QUALITIES
from thumbrank_core.simulator.world import Video, WorldSettings, build_world

FOLDER = Path(thumbrank_core.__file__).parent / "features" / "tiny_clip"
WORLD = WorldSettings(seed=4, channels_per_niche=8, videos_per_channel=8, title_mentions=1.0, misleading=0.4, blur=1.2)
"""Letters of this world have strokes of one or two pixels: with more blur than this nobody could read them."""


def unit_vectors(jpegs: list[bytes], titles: list[str]) -> tuple[np.ndarray, np.ndarray]:
    model: Any = CLIPModel.from_pretrained(FOLDER, local_files_only=True, dtype=torch.float32).eval()
    processor = CLIPImageProcessorPil.from_pretrained(FOLDER, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(FOLDER, local_files_only=True)
    pixels = processor([Image.open(io.BytesIO(jpeg)) for jpeg in jpegs], return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        images = model.get_image_features(pixel_values=pixels).pooler_output
        texts = model.get_text_features(**tokenizer(titles, padding=True, return_tensors="pt")).pooler_output
    images, texts = (torch.nn.functional.normalize(rows, dim=1).numpy() for rows in (images, texts))
    return images, texts


@pytest.fixture(scope="module")
def videos() -> list[Video]:
    return [video for video in build_world(WORLD).videos if video.is_listed]


@pytest.fixture(scope="module")
def signals(videos: list[Video]) -> Signals:
    world = build_world(WORLD)
    jpegs = [jpeg_bytes(world, video, "medium") for video in videos]
    read = [[np.nan if reading.value is None else reading.value for reading in measure(jpeg)] for jpeg in jpegs]
    readings = dict(zip(MEASURES, np.array(read).T, strict=True))
    return combine({**readings, "title_match.cosine.1": title_match(*unit_vectors(jpegs, [v.title for v in videos]))})


def latent(video: Video, signal: str) -> float:
    of_picture = {
        "contrast": "contrast",
        "prominence": "subject_size",
        "emotion": "expression",
        "hierarchy": "text_amount",
    }
    if signal in of_picture:
        return video.qualities[PICTURE_QUALITIES.index(of_picture[signal])]
    return video.focus if signal == "clarity" else float(not video.misleading)


@pytest.mark.parametrize("signal", SIGNALS)
def test_a_signal_follows_its_own_quality(signals: Signals, videos: list[Video], signal: str):
    values = signals.values[:, SIGNALS.index(signal)]
    truth = np.array([latent(video, signal) for video in videos])
    known = ~np.isnan(values)
    rho = spearman_within(values[known], truth[known])
    print(f"{signal}: Spearman {rho:.2f}, n {known.sum()} of {len(videos)}")  # noqa: T201
    assert known.sum() > 100
    assert rho >= 0.5


def test_the_six_are_not_copies(signals: Signals):
    table = correlations(signals.values)
    print(np.round(table, 2), mean_off_diagonal(table))  # noqa: T201
    assert not np.isnan(table).any()
    assert mean_off_diagonal(table) < 0.6


def test_only_faces_are_missing(signals: Signals):
    coverage = dict(zip(SIGNALS, signals.coverage.tolist(), strict=True))
    assert 0.4 < coverage.pop("emotion") < 0.8
    assert set(coverage.values()) == {1.0}
