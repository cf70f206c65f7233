"""CLIP and MiniLM behind two small classes: bytes or titles in, L2-normalised float32 vectors out.

Loaded by their makers' own code (`transformers`, `sentence-transformers`), from the hub or a folder, on the GPU where there
is one. A model that cannot be loaded stops the run with one sentence.
"""

import io
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from thumbrank_core.features.specs import EncoderError, ImageSpec, Located, TitleSpec, locate

Vectors = npt.NDArray[np.float32]


def best_device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _quiet() -> None:
    """The loaders print bars and a report of the half of CLIP that is not asked for; errors are ours to say."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


class ImageEncoder:
    """A CLIP image tower. `encode` takes decoded, resized pictures so that decoding can run ahead in threads."""

    def __init__(self, spec: ImageSpec, *, offline: bool = False) -> None:
        from transformers import CLIPVisionModelWithProjection
        from transformers.models.clip import CLIPImageProcessorPil

        _quiet()
        self.spec = spec
        self.device = best_device()
        place = locate(spec)
        options = _load_options(place, offline=offline)
        with _one_sentence(spec.model, offline=offline):
            self._model: Any = CLIPVisionModelWithProjection.from_pretrained(
                place.name_or_path, dtype=torch.float32, use_safetensors=True, **options
            )
            processor: Any = CLIPImageProcessorPil.from_pretrained(place.name_or_path, **options)
        self._model.to(self.device).eval()
        _check_dimension(spec.model, int(self._model.config.projection_dim), spec.dimension)
        self.side = int(self._model.config.image_size)
        self._mean = torch.tensor(processor.image_mean, device=self.device).view(1, 3, 1, 1)
        self._std = torch.tensor(processor.image_std, device=self.device).view(1, 3, 1, 1)

    def prepare(self, data: bytes) -> npt.NDArray[np.uint8]:
        """Decode and squash a picture to (3, side, side). JPEGs are decoded near the size that is needed (draft)."""
        image = Image.open(io.BytesIO(data))
        image.draft("RGB", (self.side, self.side))
        squashed = image.convert("RGB").resize((self.side, self.side), Image.Resampling.BICUBIC)
        return np.ascontiguousarray(np.asarray(squashed).transpose(2, 0, 1))

    @torch.inference_mode()
    def encode(self, pictures: Sequence[npt.NDArray[np.uint8]]) -> Vectors:
        """Vectors (n, dimension) of n prepared pictures."""
        pixels = torch.from_numpy(np.stack(pictures)).to(self.device, torch.float32).div_(255)
        pixels.sub_(self._mean).div_(self._std)
        vectors = self._model(pixel_values=pixels).image_embeds
        return _normalised(vectors)


class TitleEncoder:
    """A sentence-transformers model."""

    def __init__(self, spec: TitleSpec, *, offline: bool = False) -> None:
        from sentence_transformers import SentenceTransformer  # 5 s and 500 MB: only where it is used

        _quiet()
        self.spec = spec
        place = locate(spec)
        options = _load_options(place, offline=offline)
        with _one_sentence(spec.model, offline=offline):
            self._model: Any = SentenceTransformer(
                place.name_or_path, device=str(best_device()), model_kwargs={"use_safetensors": True}, **options
            )
        dimension = int(self._model.get_embedding_dimension())
        _check_dimension(spec.model, dimension, spec.dimension)

    def encode(self, titles: Sequence[str]) -> Vectors:
        """Vectors (n, dimension) of n normalised titles."""
        vectors = self._model.encode(
            list(titles),
            batch_size=len(titles),
            convert_to_tensor=True,
            normalize_embeddings=False,
            show_progress_bar=False,
        )
        return _normalised(vectors)


def _normalised(vectors: torch.Tensor) -> Vectors:
    return np.asarray(torch.nn.functional.normalize(vectors.float(), dim=-1).cpu().numpy(), dtype=np.float32)


def _load_options(place: Located, *, offline: bool) -> dict[str, Any]:
    options: dict[str, Any] = {"local_files_only": offline or place.is_local}
    return options if place.revision is None else options | {"revision": place.revision}


def _check_dimension(model: str, actual: int, expected: int) -> None:
    if actual != expected:
        raise EncoderError(
            f"{model} gives {actual} dimensions; config/encoders.yaml says {expected}: correct it there."
        )


@contextmanager
def _one_sentence(model: str, *, offline: bool) -> Generator[None]:
    """Turn what a loader says into one sentence that names the model and the mend."""
    try:
        yield
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        cause = " ".join(str(error).split())[:160]
        if offline and not Path(model).is_dir():
            raise EncoderError(
                f"{model} is not in the local cache and HF_HUB_OFFLINE is set: unset it once, or name a folder in "
                "config/encoders.yaml."
            ) from None
        cached = os.environ.get("HF_HOME", "~/.cache/huggingface")
        raise EncoderError(
            f"{model} cannot be loaded ({cause}): check the network, download it into {cached}, or use --encoders tiny."
        ) from None
