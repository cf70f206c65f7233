"""Claim: from JPEG bytes to vectors, decoding small and ahead of the model beats what one would write.

Three ways over the same 1280x720 JPEGs, in one run, interleaved, same precision and threads: ours; sentence-transformers'
`encode`; a loop over transformers' processor and model. ViT-B/32 and ViT-L/14 have random weights of the published shapes
(nothing is downloaded here): speed does not depend on the weights' values. The physical limit is the model's
multiplications; how near we are is said against a bare matrix product of the same machine.

    make bench NAME=embed
"""

import hashlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import numpy as np
import torch
from embed_read import measure_reading
from measure import report
from PIL import Image

from thumbrank_core.features.decoding import Waited, decoded_ahead, decoders
from thumbrank_core.features.encoders import ImageEncoder, best_device
from thumbrank_core.features.preprocess import to_square
from thumbrank_core.features.specs import ImageSpec, Precision, load_set, locate
from thumbrank_core.simulator.pictures import jpeg_bytes
from thumbrank_core.simulator.world import WorldSettings, build_world

SEED = 5
REPEATS = 3
ON_GPU = torch.cuda.is_available()


@dataclass(frozen=True)
class Shape:
    """A CLIP image tower: width, MLP width, layers, heads, patch, projection; and multiplications a picture, in 1e9."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    patch_size: int
    projection_dim: int
    gigaflop: float


SHAPES = {
    "b32": Shape(768, 3072, 12, 12, 32, 512, 8.82),  # open_clip's docs/model_profile.csv: 4.41 GMAC and 81.1 GMAC
    "l14": Shape(1024, 4096, 24, 16, 14, 768, 162.0),
}


def jpegs(count: int) -> list[bytes]:
    """`count` pictures of 1280x720 as the simulator draws them; beyond 512 they repeat."""
    world = build_world(
        WorldSettings(seed=SEED, channels_per_niche=40, videos_per_channel=16, niches=("tech",), large_pictures=1.0)
    )
    drawn = [jpeg_bytes(world, video, "maxres") for video in world.videos if video.is_listed][: min(count, 512)]
    return [drawn[index % len(drawn)] for index in range(count)]


def random_model(folder: Path, shape: Shape) -> ImageSpec:
    """A CLIP of the shape with random weights, saved where both ways load it."""
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
    from transformers.models.clip import CLIPImageProcessorPil

    torch.manual_seed(0)
    vision = {name: value for name, value in vars(shape).items() if name != "gigaflop"} | {"image_size": 224}
    text = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 2}
    CLIPModel(CLIPConfig(vision_config=vision, text_config=text, projection_dim=shape.projection_dim)).save_pretrained(
        folder
    )
    CLIPImageProcessorPil().save_pretrained(folder)
    tokenizer = CLIPTokenizer().train_new_from_iterator([["a picture"]], vocab_size=300)
    tokenizer.model_max_length = 77
    tokenizer.save_pretrained(folder)
    weights = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    return ImageSpec(
        model=str(folder),
        sha256=weights,
        dimension=shape.projection_dim,
        resize="squash",
        precision="float16" if ON_GPU else "float32",
    )


class Ours:
    """The encoder and the decoding ahead of it, as features/embed.py runs them, without a database."""

    def __init__(self, spec: ImageSpec) -> None:
        self._encoder, self.wait_share = ImageEncoder(spec), 0.0

    def __call__(self, pictures: list[bytes]) -> np.ndarray:
        """Vectors (n, dimension)."""
        names = [index.to_bytes(32, "big") for index in range(len(pictures))]
        waited, begun = Waited(), time.perf_counter()
        batches = decoded_ahead(
            names,
            self._encoder.batch,
            lambda name: to_square(pictures[int.from_bytes(name, "big")], self._encoder.side, "squash"),
            self._encoder.new_batch,
            decoders(remote=False),
            waited,
        )
        vectors = np.concatenate(list(self._encoder.encode(batch.pixels for batch in batches)))
        self.wait_share = waited.seconds / (time.perf_counter() - begun)
        return vectors


def sentence_transformers_way(spec: ImageSpec) -> Callable[[list[bytes]], object]:
    """SentenceTransformer(folder of a CLIP).encode(images)."""
    from sentence_transformers import SentenceTransformer

    options = {"dtype": getattr(torch, spec.precision)}
    model = SentenceTransformer(locate(spec).name_or_path, model_kwargs=options, device=str(best_device()))

    def run(pictures: list[bytes]) -> object:
        images = [Image.open(io.BytesIO(data)) for data in pictures]
        return model.encode(images, batch_size=32, normalize_embeddings=True, show_progress_bar=False)

    return run


def transformers_way(spec: ImageSpec) -> Callable[[list[bytes]], object]:
    """Processor, model, normalise, 32 pictures at a time."""
    from transformers import CLIPVisionModelWithProjection
    from transformers.models.clip import CLIPImageProcessorPil

    folder, dtype = locate(spec).name_or_path, getattr(torch, spec.precision)
    model: Any = CLIPVisionModelWithProjection.from_pretrained(folder, dtype=dtype)
    model.to(best_device()).eval()
    processor = CLIPImageProcessorPil.from_pretrained(folder)

    @torch.inference_mode()
    def run(pictures: list[bytes]) -> object:
        found: list[torch.Tensor] = []
        for start in range(0, len(pictures), 32):
            images: list[Image.Image] = [Image.open(io.BytesIO(data)) for data in pictures[start : start + 32]]
            pixels = processor(images, return_tensors="pt")["pixel_values"].to(best_device(), dtype)
            vectors = model(pixel_values=pixels).image_embeds
            found.append(torch.nn.functional.normalize(vectors.float(), dim=-1).cpu())
        return torch.cat(found)

    return run


def three_ways(name: str, spec: ImageSpec, count: int) -> dict[str, object]:
    """Pictures a second of each way: medians of REPEATS, A B C A B C after a warm-up each."""
    pictures = jpegs(count)
    ours = Ours(spec)
    ways: dict[str, Callable[[list[bytes]], object]] = {
        "ours": ours,
        "sentence_transformers": sentence_transformers_way(spec),
        "transformers": transformers_way(spec),
    }
    for way in ways.values():
        way(pictures[: min(32, count)])
    rates: dict[str, list[float]] = {way: [] for way in ways}
    waits: list[float] = []
    for _ in range(REPEATS):
        for way, run in ways.items():
            begun = time.perf_counter()
            run(pictures)
            rates[way].append(count / (time.perf_counter() - begun))
        waits.append(ours.wait_share)
    ratios = [o / max(s, t) for o, s, t in zip(*rates.values(), strict=True)]
    row: dict[str, object] = {"model": name, "pictures": count, "precision": spec.precision}
    row |= {f"{way}_per_s": round(statistics.median(rate), 2) for way, rate in rates.items()}
    row["data_wait_share"] = round(statistics.median(waits), 4)
    row["ours_over_better"] = round(statistics.median(ratios), 2)
    row["ours_over_better_each_run"] = [round(ratio, 2) for ratio in ratios]
    if name in SHAPES:
        assert spec.precision != "auto", "a random model's is settled"
        row["share_of_matmul_rate"] = round(
            statistics.median(rates["ours"]) * SHAPES[name].gigaflop / matmul_gigaflops(spec.precision), 2
        )
    return row


def matmul_gigaflops(precision: Precision) -> float:
    """What a bare (1600, 768) x (768, 3072) product reaches here (8192 square on a GPU), in 1e9 operations a second."""
    dtype, device = getattr(torch, precision), best_device()
    rows, inner, columns = (8192, 8192, 8192) if ON_GPU else (1600, 768, 3072)
    left = torch.randn(rows, inner, device=device).to(dtype)
    right = torch.randn(inner, columns, device=device).to(dtype)
    rates: list[float] = []
    for _ in range(5):
        begun = time.perf_counter()
        for _ in range(20):
            torch.matmul(left, right)
        if ON_GPU:
            torch.cuda.synchronize()
        rates.append(20 * 2 * rows * inner * columns / (time.perf_counter() - begun) / 1e9)
    return statistics.median(rates)


def growth(count: int) -> dict[str, object]:
    """Time and memory of `count` pictures through the tiny CLIP, in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--growth", str(count)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def _growth_child(count: int) -> None:
    pictures = jpegs(min(count, 512))
    repeated = [pictures[index % len(pictures)] for index in range(count)]
    ours = Ours(load_set("tiny").image)
    ours(repeated[:256])
    begun = time.perf_counter()
    ours(repeated)
    seconds = time.perf_counter() - begun
    # Not ru_maxrss: a child inherits its parent's.
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    print(json.dumps({"growth_pictures": count, "seconds": round(seconds, 2), "peak_rss_mb": round(peak)}))


def main() -> None:
    if "--growth" in sys.argv:
        _growth_child(int(sys.argv[-1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        specs = {name: random_model(Path(folder) / name, shape) for name, shape in SHAPES.items()}
        b32 = three_ways("b32", specs["b32"], 4096 if ON_GPU else 96)
        tiny = three_ways("tiny", load_set("tiny").image, 2048 if ON_GPU else 1024)
        l14 = three_ways("l14", specs["l14"], 4096 if ON_GPU else 8)
    sizes = [growth(count) for count in (1_000, 4_000, 16_000)]
    reading = measure_reading()

    def better(row: dict[str, object]) -> float:
        return max(float(str(row["sentence_transformers_per_s"])), float(str(row["transformers_per_s"])))

    first, last = sizes[0], sizes[-1]
    summary: dict[str, object] = {
        "device": torch.cuda.get_device_name() if ON_GPU else "cpu",
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "matmul_gigaflops": round(matmul_gigaflops("bfloat16" if ON_GPU else "float32")),
        "images_per_s_b32": b32["ours_per_s"],
        "best_other_per_s_b32": better(b32),
        "images_per_s_tiny": tiny["ours_per_s"],
        "best_other_per_s_tiny": better(tiny),
        "images_per_s_l14": l14["ours_per_s"],
        "best_other_per_s_l14": better(l14),
        "data_wait_share_b32": b32["data_wait_share"],
        "seconds_16k_over_1k": round(float(str(last["seconds"])) / float(str(first["seconds"])), 2),
        "peak_rss_growth_mb_1k_to_16k": int(str(last["peak_rss_mb"])) - int(str(first["peak_rss_mb"])),
        **reading,
    }
    rows: list[dict[str, object]] = [b32, tiny, l14, *sizes, summary]
    report("embed", ("torch", "transformers", "sentence-transformers", "pillow", "psycopg"), rows)
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
