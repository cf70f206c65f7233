"""The guide's `models/thumbnail_ranking_model.pt`: the weights as torch writes them, a state dict and nothing else.

What belongs here: writing that file and reading one back without ever running what somebody put into it. What scores is the
bundle (bundle.py); ONNX is onnx_export.py.
"""

import hashlib
import io
import pickle
import zipfile
from pathlib import Path

import torch

from thumbrank_core.model.bundle import BundleError, weights_sha256
from thumbrank_core.model.network import NetworkShape, ThumbnailRankingModel
from thumbrank_core.store.files import write_bytes

STATE = "thumbnail_ranking_model.pt"
"""Each bundle folder has its own; the newest lies in the folder above them too, where the guide looks for it."""


def save_state(folder: Path, model: ThumbnailRankingModel) -> str:
    """Write the state dict into a bundle folder, whole or not at all; equal weights are equal bytes.

    CLIP blocks that were trained with it are not in it: they are an encoder of their own, and the network takes vectors.

    Returns:
        The file's sha256, for the bundle's card.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()  # into a file torch would write that file's name, and no two files would be equal
    torch.save(
        {
            name: tensor.detach().cpu().contiguous()
            for name, tensor in model.state_dict().items()
            if not name.startswith("tower.")
        },
        content,
    )
    write_bytes(folder / STATE, content.getvalue(), durable=True)
    return hashlib.sha256(content.getvalue()).hexdigest()


def publish_state(folder: Path, models: Path) -> Path:
    """Put a bundle's state dict where the guide has it, `models/thumbnail_ranking_model.pt`, in place of the last one's."""
    write_bytes(models / STATE, (folder / STATE).read_bytes(), durable=True)
    return models / STATE


def load_state(path: Path, shape: NetworkShape, *, sha256: str | None = None) -> ThumbnailRankingModel:
    """Rebuild the network from a state dict, ready to score.

    Args:
        path: the file.
        shape: the network that the bundle's card names.
        sha256: the digest that the card names; None: the file stands alone, as the guide's does.

    Raises:
        BundleError: there is no such file, it is damaged, it holds anything but tensors, or it is of another network. Code
            that somebody pickled into it is not run.
    """
    if not path.is_file():
        raise BundleError(f"There is no {path}: name the file that a training run wrote.")
    if sha256 is not None and weights_sha256(path) != sha256:
        raise BundleError(f"{path} is not the file that its card names (sha256 differs): restore it or train again.")
    state = _tensors(path)
    model = ThumbnailRankingModel.of(shape)
    try:
        model.load_state_dict(state)
    except RuntimeError:
        raise BundleError(
            f"{path} holds the weights of another network than the one asked for: take the shape from the bundle.json beside it."
        ) from None
    return model.eval()


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # torch compares no checksums
        found = None if damaged else torch.load(path, map_location="cpu", weights_only=True)
    except (
        pickle.UnpicklingError,
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        AttributeError,
        EOFError,
        OSError,
    ):
        found = None
    if not isinstance(found, dict) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in found.items()
    ):
        raise BundleError(
            f"{path} is not a state dict, or it is damaged, and nothing in it was run: restore it or train again."
        )
    return found
