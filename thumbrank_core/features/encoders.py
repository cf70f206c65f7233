"""CLIP's two towers and MiniLM behind small classes: pixels or titles in, L2-normalised float32 vectors out.

Loaded by their makers' own code (`transformers`, `sentence-transformers`), from the hub or a folder, on the GPU where there
is one. A model that cannot be loaded stops the run with one sentence. What happens to a picture before is preprocess.py.
"""

import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from thumbrank_core.features.specs import (
    CaptionSpec,
    EncoderError,
    ImageSpec,
    Located,
    Spec,
    TitleSpec,
    locate,
)

Vectors = npt.NDArray[np.float32]

GPU_BATCH = 256
CPU_BATCH_BYTES = 18 * 2**20
"""How large the widest activation of a batch gets on a CPU: it stays in the last-level cache, and below what glibc gives back
to the kernel after every layer (measured: ViT-B/32 is fastest at 16 pictures a batch, ViT-L/14 at 4, on a cache of 32 MB)."""
LARGEST_CPU_BATCH = 256


def best_device() -> torch.device:
    """The GPU where there is one; of several, the one that LOCAL_RANK names to a worker."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())


def cpu_batch(rows: int, widest: int) -> int:
    """The largest power of two of pictures whose widest activation, (rows, widest) float32 each, stays in the cache."""
    pictures = max(1, CPU_BATCH_BYTES // (rows * widest * 4))
    return min(LARGEST_CPU_BATCH, 1 << (pictures.bit_length() - 1))


class _QuickGelu(torch.nn.Module):
    """CLIP's x * sigmoid(1.702 x), written into its input: the plain one fills three new tensors of a batch's widest
    activation, which cost ViT-B/32 a sixth of its time on a CPU."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Any shape; `x` is overwritten."""
        return torch.nn.functional.silu(x.mul_(1.702), inplace=True).mul_(1 / 1.702)


class _Launched(NamedTuple):
    """A batch on its way through a GPU: its vectors arrive in `host` when `done` has happened."""

    host: torch.Tensor
    done: torch.cuda.Event


class Vision:
    """A CLIP image tower as its makers' code loads it, on the device and in evaluation mode, with what its input must be.

    Args:
        spec: the model.
        dtype: of its weights.
        offline: load from local files only.

    Raises:
        EncoderError: the model cannot be loaded, or is not what the configuration says.
    """

    def __init__(self, spec: ImageSpec, dtype: torch.dtype, *, offline: bool = False) -> None:
        from transformers import CLIPVisionModelWithProjection
        from transformers.models.clip import CLIPImageProcessorPil

        _quiet()
        self.device = best_device()
        place = locate(spec)
        options = _load_options(place, offline=offline)
        with _one_sentence(spec.model, offline=offline):
            self.model: Any = CLIPVisionModelWithProjection.from_pretrained(
                place.name_or_path, dtype=dtype, use_safetensors=True, **options
            )
            self.processor: Any = CLIPImageProcessorPil.from_pretrained(place.name_or_path, **options)
        self.model.to(self.device).eval()
        config = self.model.config
        _check_dimension(spec.model, int(config.projection_dim), spec.dimension)
        self.side = int(config.image_size)
        rows = (self.side // int(config.patch_size)) ** 2 + 1
        self.batch = GPU_BATCH if self.device.type == "cuda" else cpu_batch(rows, int(config.intermediate_size))
        """How many pictures a batch should have."""
        mean, deviation = (
            torch.tensor(values, device=self.device).view(1, 3, 1, 1) * 255
            for values in (self.processor.image_mean, self.processor.image_std)
        )
        self._mean, self._scale = mean, 1 / deviation

    def planes(self, pixels: torch.Tensor) -> torch.Tensor:
        """(n, side, side, 3) uint8 on the device -> (n, 3, side, side) float32, as the model was trained on."""
        planes = pixels.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
        return planes.sub_(self._mean).mul_(self._scale)


class ImageEncoder:
    """A CLIP image tower.

    Args:
        spec: the model; its precision must be settled.
        offline: load from local files only.
        compile: run it through torch.compile: minutes at the first batch, for what the compiler gains afterwards.

    Raises:
        EncoderError: the model cannot be loaded, or is not what the configuration says.
    """

    def __init__(self, spec: ImageSpec, *, offline: bool = False, compile: bool = False) -> None:  # noqa: A002
        self.spec = spec
        self._vision = Vision(spec, dtype_of(spec), offline=offline)
        self.device, self.side, self.batch = self._vision.device, self._vision.side, self._vision.batch
        self._compiled = compile
        gelu_in_place(self._vision.model)
        self._model: Any = torch.compile(self._vision.model, dynamic=False) if compile else self._vision.model
        self._copies = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None
        if compile:
            self._compile_now()

    def _compile_now(self) -> None:
        try:
            self._normalised(self.new_batch(self.batch).to(self.device))
        except RuntimeError as error:  # all that the compiler raises
            cause = " ".join(str(error).split())[:120]
            raise EncoderError(
                f"torch.compile cannot compile {self.spec.model} here ({cause}): install a C++ compiler (g++), or leave "
                "compile off."
            ) from None

    def new_batch(self, pictures: int) -> torch.Tensor:
        """An empty (pictures, side, side, 3) uint8 tensor to decode into; pinned where a GPU will fetch it."""
        shape = (pictures, self.side, self.side, 3)
        return torch.empty(shape, dtype=torch.uint8, pin_memory=self.device.type == "cuda")

    def encode(self, batches: Iterable[torch.Tensor]) -> Iterator[Vectors]:
        """Vectors (n, dimension) of each batch (n, side, side, 3) uint8, in order.

        On a GPU the next batch is on its way, on a second stream, before the last one's vectors are waited for.
        """
        if self._copies is None:
            for batch in batches:
                yield self._normalised(batch)
            return
        waiting: _Launched | None = None
        for batch in batches:
            launched = self._launch(batch, self._copies)
            if waiting is not None:
                yield _arrived(waiting)
            waiting = launched
        if waiting is not None:
            yield _arrived(waiting)

    @torch.inference_mode()
    def _normalised(self, pixels: torch.Tensor) -> Vectors:
        return _normalised(self._forward(pixels))

    @torch.inference_mode()
    def _launch(self, batch: torch.Tensor, copies: torch.cuda.Stream) -> _Launched:
        main = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(copies):
            pixels = batch.to(self.device, non_blocking=True)
        main.wait_stream(copies)
        pixels.record_stream(main)
        vectors = torch.nn.functional.normalize(self._forward(pixels).float(), dim=-1)
        host = torch.empty(vectors.shape, dtype=torch.float32, pin_memory=True)
        host.copy_(vectors, non_blocking=True)
        done = torch.cuda.Event()
        done.record(main)
        return _Launched(host, done)

    def _forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(n, side, side, 3) uint8 on the device -> (n, dimension), any length. One shape only where it is compiled."""
        count = len(pixels)
        if count == 0:  # all of the batch's pictures failed
            return torch.empty((0, self.spec.dimension), device=self.device)
        if self._compiled and count < self.batch:
            pixels = torch.nn.functional.pad(pixels, (0, 0, 0, 0, 0, 0, 0, self.batch - count))
        planes = self._vision.planes(pixels).to(dtype_of(self.spec))
        return self._model(pixel_values=planes).image_embeds[:count]


class CaptionEncoder:
    """CLIP's text tower: titles and prompts in the space of the pictures; arguments and errors as ImageEncoder."""

    def __init__(self, spec: CaptionSpec, *, offline: bool = False) -> None:
        from transformers import AutoTokenizer, CLIPTextModelWithProjection

        _quiet()
        self.spec = spec
        self.device = best_device()
        place = locate(spec)
        options = _load_options(place, offline=offline)
        with _one_sentence(spec.model, offline=offline):
            model: Any = CLIPTextModelWithProjection.from_pretrained(
                place.name_or_path, dtype=dtype_of(spec), use_safetensors=True, **options
            )
            self._tokenizer: Any = AutoTokenizer.from_pretrained(place.name_or_path, **options)
        self._model: Any = model.to(self.device).eval()
        self._longest = int(model.config.max_position_embeddings)
        _check_dimension(spec.model, int(model.config.projection_dim), spec.dimension)

    @torch.inference_mode()
    def encode(self, titles: Sequence[str]) -> Vectors:
        """Vectors (n, dimension) of n normalised titles; what is longer than the tower's context is cut off."""
        tokens = self._tokenizer(
            list(titles), padding=True, truncation=True, max_length=self._longest, return_tensors="pt"
        ).to(self.device)
        answer = self._model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
        return _normalised(answer.text_embeds)


class TitleEncoder:
    """A sentence-transformers model; arguments and errors as ImageEncoder."""

    def __init__(self, spec: TitleSpec, *, offline: bool = False) -> None:
        from sentence_transformers import SentenceTransformer  # 5 s and 500 MB: only where it is used

        _quiet()
        self.spec = spec
        place = locate(spec)
        options = _load_options(place, offline=offline)
        with _one_sentence(spec.model, offline=offline):
            self._model: Any = SentenceTransformer(
                place.name_or_path,
                device=str(best_device()),
                model_kwargs={"use_safetensors": True, "dtype": dtype_of(spec)},
                **options,
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


def gelu_in_place(model: torch.nn.Module) -> None:
    """Let CLIP's activations overwrite their input, where no gradient will be asked for."""
    from transformers.activations import QuickGELUActivation

    for name, module in list(model.named_modules()):
        if isinstance(module, QuickGELUActivation):  # a layer's output, which nothing else reads
            model.set_submodule(name, _QuickGelu())


def _quiet() -> None:
    """The loaders print bars and a report of the half of CLIP that is not asked for; errors are ours to say."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def dtype_of(spec: Spec) -> torch.dtype:
    """What the spec's model computes in.

    Raises:
        EncoderError: its precision is still to be settled.
    """
    dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if spec.precision not in dtypes:
        raise EncoderError(f"The precision of {spec.model} is not settled yet: see features/precision.py.")
    return dtypes[spec.precision]


def _normalised(vectors: torch.Tensor) -> Vectors:
    return np.asarray(torch.nn.functional.normalize(vectors.float(), dim=-1).cpu().numpy(), dtype=np.float32)


def _arrived(launched: _Launched) -> Vectors:
    launched.done.synchronize()
    return np.asarray(launched.host.numpy(), dtype=np.float32)


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
        cause = shorten(str(error), 160, placeholder=" …")
        if offline and not Path(model).is_dir():
            raise EncoderError(
                f"{model} is not in the local cache and HF_HUB_OFFLINE is set: unset it once, or name a folder in "
                "config/encoders.yaml."
            ) from None
        cached = os.environ.get("HF_HOME", "~/.cache/huggingface")
        raise EncoderError(
            f"{model} cannot be loaded ({cause}): check the network, download it into {cached}, or set "
            "THUMBRANK_ENCODERS=tiny, which needs no download and is for trying things."
        ) from None
