"""What is shipped: `model.safetensors` and the `bundle.json` beside it that rebuilds the model and says where it came from.

No pickle. The JSON carries the sha256 of the weights, and nothing is scored before it matches.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.features.quality import broken_rows
from thumbrank_core.features.signals.definitions import SIGNALS
from thumbrank_core.model.network import Batch, NetworkShape, ThumbnailRankingModel
from thumbrank_core.store.files import write_text

WEIGHTS, CARD = "model.safetensors", "bundle.json"
SCORE_BATCH = 8192


class BundleError(ThumbrankError):
    """A bundle that cannot be used."""


class EpochRecord(BaseModel):
    """One line of the training history.

    Losses are means over the epoch's steps. `train_auc` is of a fixed sample of training channels, the others of validation
    channels, all by the weights that would be shipped: pair accuracy and AUC are micro, the correlation is the mean Spearman
    within a channel between score and label. `items_per_second` counts scored items in the steps alone, without validation.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    epoch: int
    pair_loss: float
    engagement_loss: float
    sub_score_loss: float | None
    train_auc: float
    validation_accuracy: float
    validation_auc: float
    validation_correlation: float | None
    learning_rate: float
    seconds: float
    items_per_second: float


class BundleCard(BaseModel):
    """Everything but the weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = 3
    fingerprint: str
    weights_sha256: str
    network: NetworkShape
    image_encoder: str
    title_encoder: str
    encoder_set: str
    tuned_encoder: str | None
    """The folder, inside the bundle's, of the image encoder where training tuned it."""
    label: str
    owner_rates: bool
    """Whether one owner's real click-through rates trained the absolute head, instead of engagement. Whose is not said: a bundle
    is handed on."""
    recipe: dict[str, object]
    niches: dict[str, str]
    """Niche -> data version of the rows it learnt from."""
    cuts: dict[str, float]
    """Niche -> where the time holdout began that it did not learn from, seconds since 1970."""
    data_sha256: str
    git_sha: str | None
    files: dict[str, str]
    """The other exports of these weights in the folder -> sha256."""
    n_items: int
    n_pairs: dict[str, int]
    n_channels: dict[str, int]
    best_epoch: int
    shipped: str
    """Which weights these are, such as "ema at epoch 12"."""
    history: list[EpochRecord]
    notes: list[str]
    findings: dict[str, str]
    """What the history says against the model: kind -> sentence (training/diagnostics.py)."""
    temperature: float = Field(gt=0)
    """P(a beats b) = sigmoid((score of a - score of b) / temperature); fitted on validation pairs (training/temperature.py)."""
    sub_score_agreement: dict[str, float | None]
    """Spearman of each sub-score with its own weak signal on validation items; None without any."""
    trained_at: str
    seconds: float


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle."""

    folder: Path
    card: BundleCard
    model: ThumbnailRankingModel

    @torch.inference_mode()
    def score(self, image: npt.NDArray[np.float32], title: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Ranking scores (n,) of image vectors (n, clip_dim) and title vectors (n, text_dim), of any length: the model
        normalises them itself.

        Scores compare videos of one channel; across channels they mean nothing.

        Raises:
            BundleError: the widths are not those of the encoders the model was trained on, or a row is no vector: all zeros,
                or not finite.
        """
        parts = [self.model.rank(batch).double().numpy() for batch in self._batches(image, title)]
        return np.concatenate(parts) if parts else np.empty(0)

    @torch.inference_mode()
    def sub_scores(self, image: npt.NDArray[np.float32], title: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """The six weak sub-scores (n, 6) in (0, 1), ordered as SIGNALS; arguments and errors as of `score`."""
        parts = [
            torch.sigmoid(self.model(batch).sub_score_logits).double().numpy() for batch in self._batches(image, title)
        ]
        return np.concatenate(parts) if parts else np.empty((0, len(SIGNALS)))

    def _batches(self, image: npt.NDArray[np.float32], title: npt.NDArray[np.float32]) -> Iterator[Batch]:
        """The rows a batch at a time."""
        if image.shape[1] != self.card.network.clip_dim or title.shape[1] != self.card.network.text_dim:
            raise BundleError(
                f"The model takes vectors of {self.card.network.clip_dim} + {self.card.network.text_dim} dimensions "
                f"({self.card.encoder_set} encoders), not {image.shape[1]} + {title.shape[1]}: encode with the set it names."
            )
        if len(image) != len(title):
            raise BundleError(f"{len(image)} image vectors and {len(title)} title vectors: a video has one of each.")
        _check_rows("image", image)
        _check_rows("title", title)
        for start in range(0, len(image), SCORE_BATCH):
            yield Batch(
                torch.from_numpy(image[start : start + SCORE_BATCH]),
                torch.from_numpy(title[start : start + SCORE_BATCH]),
            )


def _check_rows(kind: str, vectors: npt.NDArray[np.float32]) -> None:
    broken = broken_rows(vectors)
    if len(broken):
        raise BundleError(
            f"The {kind} vector of row {broken[0]} ({len(broken)} in all) is zero or not finite: a picture or title without a "
            "vector is left out, never filled in."
        )


def weights_sha256(path: Path) -> str:
    """The digest of a weights file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_weights(folder: Path, model: ThumbnailRankingModel) -> str:
    """Write the weights and return their digest."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, folder / WEIGHTS)
    return weights_sha256(folder / WEIGHTS)


def save_card(folder: Path, card: BundleCard) -> None:
    """Write the JSON last and atomically: a folder with a card is a whole bundle."""
    write_text(folder / CARD, card.model_dump_json(indent=2) + "\n")


def load_card(folder: Path) -> BundleCard:
    """Read the JSON of a bundle.

    Raises:
        BundleError: there is none, or it is malformed.
    """
    path = folder / CARD
    try:
        return BundleCard.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(f"{folder} holds no {CARD}: name the folder that a training run wrote.") from None
    except (ValidationError, json.JSONDecodeError, UnicodeDecodeError):
        raise BundleError(
            f"{path} is not a bundle of this version: train again, or use the version that wrote it."
        ) from None


def load_bundle(folder: Path) -> Bundle:
    """Load a bundle after its digest matched.

    Raises:
        BundleError: missing, malformed, or the weights are not those the card names.
    """
    card = load_card(folder)
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise BundleError(f"{folder} has a {CARD} and no {WEIGHTS}: restore that file, or train again.")
    if weights_sha256(weights) != card.weights_sha256:
        raise BundleError(f"{weights} is not the file that {CARD} names (sha256 differs): restore it or train again.")
    model = ThumbnailRankingModel.of(card.network)
    try:
        model.load_state_dict(load_file(weights))
    except (SafetensorError, RuntimeError) as error:
        raise BundleError(f"{weights} does not fit the network in {CARD} ({str(error)[:80]}): train again.") from None
    return Bundle(folder, card, model.eval())
