"""A model to ship, trained in a second on drawn vectors as wide as the tiny encoders': for the tests of score and export."""

import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from mlflow.tracking import MlflowClient
from PIL import Image, ImageDraw

from tests.unit.synthetic import planted
from thumbrank_core.features.encoders import Vision
from thumbrank_core.features.signals.definitions import SIGNALS
from thumbrank_core.features.specs import load_set
from thumbrank_core.features.tuned import FOLDER, tuned_set, write_encoder
from thumbrank_core.model.bundle import load_card, save_card
from thumbrank_core.registry import Registry
from thumbrank_core.settings import Settings
from thumbrank_core.training.recipe import load_recipe
from thumbrank_core.training.run import train_bundle

TINY = load_set("tiny")
TITLE = "We tried it for 30 days"


def train_tiny(models: Path) -> Path:
    """The folder of a bundle of the tiny encoders; it learnt from noise, which no test here minds."""
    data, _ = planted(n_channels=20, videos=6)
    generator = np.random.default_rng(0)
    image, text = (
        generator.normal(size=(len(data.items), width)).astype(np.float32)
        for width in (TINY.image.dimension, TINY.title.dimension)
    )
    digests = [bytes([index % 256, index // 256]) + bytes(30) for index in range(len(data.items))]
    signals = np.stack([image[:, 0], image[:, 1], *generator.normal(size=(4, len(image)))], axis=1).astype(np.float32)
    signals[:, SIGNALS.index("title_match")] = np.nan  # as the tiny encoders, which know no words of titles
    data = replace(data, items=replace(data.items, image=image, text=text, picture=digests), signals=signals)
    run = train_bundle(data, load_recipe("default", {"epochs": 2, "hidden_dim": 16}), TINY, models)
    assert run is not None
    owners = run.folder / "owners"
    owners.mkdir()
    (owners / "UC.json").write_text("private")
    return run.folder


def with_tuned_encoder(folder: Path) -> None:
    """As fine-tuning leaves a bundle: with an image tower of its own."""
    vision = Vision(TINY.image, torch.float32)
    with torch.no_grad():
        vision.model.visual_projection.weight.mul_(1.0 + torch.linspace(0, 1, TINY.image.dimension)[:, None])
    write_encoder(folder / FOLDER, vision.model, vision.processor, TINY.image, vision.device)
    encoder = tuned_set(TINY, folder / FOLDER).image.encoder_id
    save_card(folder, load_card(folder).model_copy(update={"tuned_encoder": FOLDER, "image_encoder": encoder}))


def crown(settings: Settings, folder: Path) -> None:
    """Register the bundle and make it the champion."""
    registry = Registry(settings.tracking_uri)
    client = MlflowClient(tracking_uri=settings.tracking_uri)
    experiment = client.create_experiment("test", artifact_location=str(settings.home / "mlflow" / "artifacts"))
    run = client.create_run(experiment)
    version = registry.register(load_card(folder), folder, run.info.run_id, str(folder))
    registry.point("champion", version.number)


def draw(path: Path, number: int) -> Path:
    """A small picture, another one for each number."""
    generator = np.random.default_rng(number)
    picture = Image.new("RGB", (320, 180), tuple(generator.integers(0, 255, 3).tolist()))
    pencil = ImageDraw.Draw(picture)
    for _ in range(4):
        x, y = int(generator.integers(0, 160)), int(generator.integers(0, 90))
        pencil.rectangle((x, y, x + 120, y + 70), fill=tuple(generator.integers(0, 255, 3).tolist()))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=90)
    path.write_bytes(content.getvalue())
    return path


def code_of(page: Path) -> list[str]:
    """The Python in a page of Markdown."""
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
