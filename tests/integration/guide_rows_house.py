"""A niche that was imported, labelled, embedded and trained on once, and what the verbs said: the rows of docs/guide.md look at it.

What belongs here: making it. Its fixtures are in test_guide.py.
"""

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.integration.conftest import store_videos
from tests.integration.test_labels import label
from tests.integration.test_training_data import channel_in
from thumbrank_core.cli import app
from thumbrank_core.features.embed import Embedded, Embedding, embed_niche
from thumbrank_core.features.specs import load_set
from thumbrank_core.model.bundle import BundleCard, load_card
from thumbrank_core.store.database import Database
from thumbrank_core.store.images import ImageStore

CHANNELS = {"train": 4, "validation": 2, "test": 3}
VIDEOS = 5
EPOCHS = 12
TRAIN = ["--niche", "tech", "--encoders", "tiny"]


@dataclass
class House:
    """Its database, its folder, and what training it said."""

    url: str
    home: Path
    db: Database
    embedded: Embedded
    said: str = ""
    """On stderr, by `thumbrank train --recipe guide --wandb`."""

    def thumbrank(self, *words: object, home: Path | None = None):
        """A verb as a person types it, on this database."""
        with settings(
            DATABASE_URL=self.url,
            THUMBRANK_HOME=home or self.home,
            THUMBRANK_IMAGES=self.home / "images",
            THUMBRANK_ENCODERS="tiny",
        ):
            return CliRunner().invoke(app, [str(word) for word in words])

    def train(self, *words: object, home: Path | None = None):
        """`thumbrank train` on the one niche that is there."""
        return self.thumbrank("train", *TRAIN, *words, home=home)

    @property
    def card(self) -> BundleCard:
        """Of the one model."""
        return load_card(self.folder)

    @property
    def folder(self) -> Path:
        """The one model's."""
        [path] = (self.home / "models").glob("*/bundle.json")
        return path.parent

    @property
    def state(self) -> Path:
        """The guide's file, where the guide has it."""
        return self.home / "models" / "thumbnail_ranking_model.pt"


@contextmanager
def settings(**given: object):
    """An environment with these variables; None takes one away."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in given.items():
            if value is None:
                patch.delenv(name, raising=False)
            else:
                patch.setenv(name, str(value))
        yield


def fill(url: str, home: Path, db: Database, world) -> House:
    """Nine channels of five videos, their labels, their vectors and their signals."""
    images = ImageStore(home / "images")
    ids = [channel_in(split, number) for split, count in CHANNELS.items() for number in range(count)]
    store_videos(
        db,
        images,
        world,
        {
            channel: [(40 + 2 * i, 2_000 + 1_700 * ((number * 7 + i * 5) % 11)) for i in range(VIDEOS)]
            for number, channel in enumerate(ids)
        },
    )
    label(db)
    return House(url, home, db, embed_niche(db, images, "tech", Embedding(load_set("tiny"), offline=True)))


def trained(house: House, nobody: Path) -> House:
    """Train as the guide does, for fewer epochs and with a narrow network, on a machine without a W&B account."""
    nobody.mkdir()
    small = ["--epochs", EPOCHS, "--set", "hidden_dim=8", "--set", "checkpoint_every=5"]
    own = ("NETRC", "WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_MODE", "WANDB_DIR")
    without = dict.fromkeys((*own, "HF_HUB_OFFLINE"))  # which would keep W&B offline, too
    with settings(HOME=nobody, **without):
        done = house.train("--recipe", "guide", "--wandb", *small)
    assert done.exit_code == 0, done.output
    house.said = done.stderr
    return house
