"""Train the tiny CLIP in thumbrank_core/features/tiny_clip on pictures and titles of the simulator's training worlds.

The encoder that the demo and the tests use must come with the project (no download) and be small and quick on a CPU.
So it is trained here, on worlds that nothing else may use (`seeds.TRAINING_SEEDS`), and measured on one that it has never
seen (`seeds.PROBE_SEED`). In the training worlds every title mentions everything on its picture (title_mentions=1), as
captions do; the demo's titles say little. Two losses, both between pictures and titles: the picture's embedding predicts
which tokens its title has (as in SuperClass, Huang et al. 2024), which needs far fewer pictures than CLIP's contrastive
loss; that joins once the picture tower has learned to see, and gives the text tower its meaning.

    python scripts/train_tiny_clip.py            # about ten minutes on two free cores

It writes the model, its tokenizer, its preprocessor and its model card.
"""

import argparse
import io
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from thumbrank_core.simulator.pictures import jpeg_bytes
from thumbrank_core.simulator.qualities import PICTURE_QUALITIES, picture_effect
from thumbrank_core.simulator.seeds import PROBE_SEED, TRAINING_SEEDS
from thumbrank_core.simulator.world import Video, WorldSettings, build_world

TARGET = Path(__file__).resolve().parents[1] / "thumbrank_core" / "features" / "tiny_clip"
TRAINING_MENTIONS = 1.0
SIDE = 48
MEAN = (0.5, 0.5, 0.5)
DEVIATION = (0.25, 0.25, 0.25)
BATCH = 64
VOCABULARY = 900
CONTEXT = 64
CONTRASTIVE_FROM = 0.6
"""The share of the training after which the contrastive loss joins."""
TOKEN_LOSS_WEIGHT = 0.1
PEAK_RATE = 1.5e-3
WARM_UP = 6000
"""Pictures until the peak rate."""


@dataclass(frozen=True)
class Examples:
    """N pictures with their titles and, for probing only, what is drawn on them."""

    pictures: Tensor
    """(N, 3, SIDE, SIDE) uint8."""
    titles: list[str]
    qualities: NDArray[np.float64]
    """(N, 6)."""
    channels: NDArray[np.int64]
    """(N,) number of the channel."""


@dataclass(frozen=True)
class Probe:
    """What a ridge on unseen channels recovers from image embeddings, within-channel centred R²."""

    qualities: dict[str, float]
    picture_effect: float


@dataclass(frozen=True)
class Figures:
    """What one run did and reached: the model card's numbers."""

    pictures: int
    shown: int
    minutes: float
    threads: int
    parameters: int
    size: int
    """Bytes of model.safetensors."""
    before: Probe
    after: Probe
    retrieval: float
    """The share of pictures whose own title is the nearest of 100."""
    drawn_per_second: float
    embedded_per_second: float


def examples(settings: WorldSettings) -> Examples:
    """Draw a world's pictures, through JPEG and the same squash as the preprocessor's."""
    world = build_world(settings)
    videos = [video for video in world.videos if video.is_listed]
    pictures = np.stack([squashed(jpeg_bytes(world, video, "medium")) for video in videos])
    return Examples(
        pictures=torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous(),
        titles=[video.title for video in videos],
        qualities=np.array([video.qualities for video in videos]),
        channels=_numbers(videos),
    )


def _numbers(videos: list[Video]) -> NDArray[np.int64]:
    return np.unique([video.channel.id for video in videos], return_inverse=True)[1]


def squashed(jpeg: bytes) -> NDArray[np.uint8]:
    """(SIDE, SIDE, 3): the whole 16:9 picture, nothing cropped."""
    with Image.open(io.BytesIO(jpeg)) as picture:
        return np.asarray(picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def normalised(pictures: Tensor) -> Tensor:
    """(N, 3, SIDE, SIDE) float, as the preprocessor would give."""
    mean, deviation = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(DEVIATION).view(3, 1, 1)
    return (pictures.float() / 255 - mean) / deviation


def new_tokenizer(titles: list[str]) -> CLIPTokenizer:
    """A CLIP tokenizer whose vocabulary is learned from the titles."""
    tokenizer = CLIPTokenizer().train_new_from_iterator([titles], vocab_size=VOCABULARY)
    tokenizer.model_max_length = CONTEXT
    return tokenizer


def new_model(tokenizer: CLIPTokenizer) -> CLIPModel:
    """An untrained CLIP of about half a million parameters."""
    return CLIPModel(
        CLIPConfig(
            projection_dim=128,
            vision_config={
                "image_size": SIDE,
                "patch_size": 8,
                "hidden_size": 128,
                "num_hidden_layers": 3,
                "num_attention_heads": 4,
                "intermediate_size": 384,
                "projection_dim": 128,
            },
            text_config={
                "vocab_size": len(tokenizer),
                "hidden_size": 96,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "intermediate_size": 256,
                "max_position_embeddings": CONTEXT,
                "projection_dim": 128,
                "bos_token_id": tokenizer.bos_token_id,
                "eos_token_id": tokenizer.eos_token_id,
                "pad_token_id": tokenizer.pad_token_id,
            },
        )
    )


def token_loss(embeddings: Tensor, present: Tensor, head: nn.Linear) -> Tensor:
    """Binary cross-entropy of (N, V) "the title has this token" given (N, 128) embeddings, summed over the vocabulary."""
    # Embeddings have length one; ten times that is the range in which a linear head can be sure of something.
    loss = nn.functional.binary_cross_entropy_with_logits(head(10 * embeddings), present, reduction="none")
    return loss.sum(dim=1).mean()


def token_head(present: Tensor) -> nn.Linear:
    """A head that starts at each token's frequency in (N, V)."""
    head = nn.Linear(128, present.shape[1])
    with torch.no_grad():
        head.bias.copy_(torch.logit(present.mean(dim=0).clamp(1e-4, 1 - 1e-4)))
    return head


def train(model: CLIPModel, tokenizer: CLIPTokenizer, data: Examples, pictures: int, seed: int) -> None:
    """Train in place until `pictures` have been shown."""
    generator = torch.Generator().manual_seed(seed)
    encoded = tokenizer(data.titles, padding=True, truncation=True, max_length=CONTEXT, return_tensors="pt")
    tokens, mask = encoded["input_ids"], encoded["attention_mask"]
    present = torch.zeros(len(tokens), len(tokenizer)).scatter_(1, tokens, mask.float())
    head = token_head(present)
    optimiser = torch.optim.AdamW(
        [*model.parameters(), *head.parameters()], lr=0.0, weight_decay=0.02, betas=(0.9, 0.98)
    )
    model.train()
    began = time.monotonic()
    order = torch.empty(0, dtype=torch.long)
    for shown in range(BATCH, pictures + 1, BATCH):
        spent = shown / pictures
        if len(order) < BATCH:
            order = torch.randperm(len(tokens), generator=generator)
        rows, order = order[:BATCH], order[BATCH:]
        for group in optimiser.param_groups:
            group["lr"] = PEAK_RATE * min(1.0, shown / WARM_UP) * (0.5 + 0.5 * np.cos(np.pi * spent))
        pixels = normalised(data.pictures[rows])
        if spent < CONTRASTIVE_FROM:
            seen = nn.functional.normalize(pooled(model.get_image_features(pixel_values=pixels)), dim=1)
            contrastive = torch.zeros(())
        else:
            length = int(mask[rows].sum(dim=1).max())
            answer = model(
                input_ids=tokens[rows, :length],
                attention_mask=mask[rows, :length],
                pixel_values=pixels,
                return_loss=True,
            )
            seen, contrastive = answer.image_embeds, answer.loss
        words = token_loss(seen, present[rows], head)
        optimiser.zero_grad()
        (contrastive + TOKEN_LOSS_WEIGHT * words).backward()
        nn.utils.clip_grad_norm_([*model.parameters(), *head.parameters()], 1.0)
        optimiser.step()
        with torch.no_grad():
            model.logit_scale.clamp_(max=np.log(100))
        if shown // BATCH % 200 == 0:
            spoken = f"contrastive {contrastive.item():.3f}, tokens {words.item():.2f}"
            print(f"{shown} pictures, {time.monotonic() - began:.0f} s: {spoken}", flush=True)
    model.eval()


def pooled(answer: Any) -> Tensor:
    """A tower's output; transformers declares it as perhaps a tuple."""
    return answer.pooler_output


@torch.no_grad()
def image_embeddings(model: CLIPModel, pictures: Tensor) -> NDArray[np.float64]:
    """(N, 128), of length one."""
    rows = [pooled(model.get_image_features(pixel_values=normalised(part))) for part in pictures.split(256)]
    return nn.functional.normalize(torch.cat(rows), dim=1).double().numpy()


@torch.no_grad()
def text_embeddings(model: CLIPModel, tokenizer: CLIPTokenizer, titles: list[str]) -> NDArray[np.float64]:
    """(N, 128), of length one."""
    encoded = tokenizer(titles, padding=True, truncation=True, max_length=CONTEXT, return_tensors="pt")
    return nn.functional.normalize(pooled(model.get_text_features(**encoded)), dim=1).double().numpy()


def probe(embeddings: NDArray[np.float64], data: Examples) -> Probe:
    """Ridge from embeddings to what is drawn, fitted on two thirds of the channels and measured on the rest."""
    unseen = data.channels % 3 == 0
    truths = np.column_stack([data.qualities, picture_effect(data.qualities)])
    x, y = _centred(embeddings, data.channels), _centred(truths, data.channels)
    known = x[~unseen]
    weights = np.linalg.solve(known.T @ known + 1e-3 * np.eye(x.shape[1]), known.T @ y[~unseen])
    left = ((y - x @ weights)[unseen] ** 2).sum(axis=0)
    scores = (1 - left / (y[unseen] ** 2).sum(axis=0)).round(3).tolist()
    return Probe(dict(zip(PICTURE_QUALITIES, scores[:-1], strict=True)), scores[-1])


def _centred(values: NDArray[np.float64], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    sums = np.zeros((groups.max() + 1, values.shape[1]))
    np.add.at(sums, groups, values)
    return values - (sums / np.bincount(groups)[:, None])[groups]


def retrieval(model: CLIPModel, tokenizer: CLIPTokenizer, data: Examples, among: int = 100) -> float:
    """How often a picture's own title is the nearest of `among` different titles."""
    chosen = [data.titles.index(title) for title in sorted(set(data.titles))]
    rows = np.random.default_rng(0).permutation(chosen)[: len(chosen) // among * among]
    images = image_embeddings(model, data.pictures[rows]).reshape(-1, among, 128)
    texts = text_embeddings(model, tokenizer, [data.titles[row] for row in rows]).reshape(-1, among, 128)
    nearest = (images @ texts.transpose(0, 2, 1)).argmax(axis=2)
    return float((nearest == np.arange(among)).mean())


def save(model: CLIPModel, tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Write the model in half precision, the tokenizer and the preprocessor's settings."""
    folder.mkdir(parents=True, exist_ok=True)
    model.half().save_pretrained(folder)
    # safetensors writes for the owner only; a checkout is for everyone.
    (folder / "model.safetensors").chmod(0o644)
    tokenizer.save_pretrained(folder)
    preprocessor = {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"height": SIDE, "width": SIDE},
        "resample": 3,
        "do_center_crop": False,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": MEAN,
        "image_std": DEVIATION,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor, indent=2) + "\n")


def model_card(figures: Figures) -> str:
    """The README beside the model, with the figures of this very run."""
    rows = "\n".join(
        f"| {name} | {figures.before.qualities[name]:.2f} | {figures.after.qualities[name]:.2f} |"
        for name in PICTURE_QUALITIES
    )
    return f"""# tiny_clip: a CLIP of our own, for the demo and the tests

A `transformers` CLIPModel with {figures.parameters:,} parameters ({figures.size / 1e6:.2f} MB of float16 safetensors;
load it as float32), trained by `scripts/train_tiny_clip.py` on pictures and titles of the simulator and on nothing else.
It knows the simulator's pictures. It knows nothing about real thumbnails: for those, configure a real CLIP.

```python
model = CLIPModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
```

- Input: the whole 16:9 picture squashed to {SIDE} x {SIDE} (bicubic, no crop), see `preprocessor_config.json`.
- Embedding: `get_image_features(...).pooler_output`, 128 numbers, to be brought to length one.
- Tokenizer: a byte-pair vocabulary learned from the same titles, at most {CONTEXT} tokens.

## Training

Seeds {", ".join(str(seed) for seed in TRAINING_SEEDS)}, which no demo, test or benchmark may use
(`thumbrank_core/simulator/seeds.py`): {figures.pictures:,} pictures with their titles. In these worlds every title
mentions all that is on its picture (title_mentions={TRAINING_MENTIONS}; {WorldSettings().title_mentions} in the demo).
{figures.shown:,} pictures were shown in {figures.minutes:.1f} minutes on {figures.threads} CPU threads, in batches of
{BATCH}. Both losses see pictures and titles only, never the hidden qualities or the views: the prediction of a title's
tokens from the picture's embedding all the time, CLIP's contrastive loss in the last {1 - CONTRASTIVE_FROM:.0%} of it.

## Measured on a world it has never seen (seed {PROBE_SEED})

A ridge from the embedding to what is drawn, fitted on two thirds of the channels and measured on the others; R² within
channels, before training (random weights) and after:

| quality | before | after |
| --- | --- | --- |
{rows}
| **the picture's effect on log views** | {figures.before.picture_effect:.2f} | {figures.after.picture_effect:.2f} |

About a fifth of the picture's effect is an interaction (expression times subject size), which is not linear in the
qualities.

- A picture's own title is the nearest of 100 different ones for {figures.retrieval:.0%} of the pictures (chance: 1 %).
- {figures.drawn_per_second:.0f} pictures drawn, decoded and squashed, {figures.embedded_per_second:.0f} embedded per
  second on {figures.threads} threads of a machine that did other work as well.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--pictures", type=int, default=300_000, help="to show; repeats count")
    parser.add_argument("--target", type=Path, default=TARGET)
    options = parser.parse_args()
    torch.manual_seed(0)
    began = time.monotonic()
    data = training_examples()
    drawn_per_second = len(data.titles) / (time.monotonic() - began)
    unseen = examples(WorldSettings(seed=PROBE_SEED, title_mentions=TRAINING_MENTIONS))
    tokenizer = new_tokenizer(data.titles)
    model = new_model(tokenizer).eval()
    before = probe(image_embeddings(model, unseen.pictures), unseen)
    began = time.monotonic()
    train(model, tokenizer, data, options.pictures, seed=0)
    minutes = (time.monotonic() - began) / 60
    save(model, tokenizer, options.target)
    # What is measured is what was written, half precision included.
    model = CLIPModel.from_pretrained(options.target, local_files_only=True, dtype=torch.float32).eval()
    began = time.monotonic()
    embedded = image_embeddings(model, unseen.pictures)
    embedded_per_second = len(embedded) / (time.monotonic() - began)
    figures = Figures(
        pictures=len(data.titles),
        shown=options.pictures,
        minutes=minutes,
        threads=torch.get_num_threads(),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        size=(options.target / "model.safetensors").stat().st_size,
        before=before,
        after=probe(embedded, unseen),
        retrieval=retrieval(model, tokenizer, unseen),
        drawn_per_second=drawn_per_second,
        embedded_per_second=embedded_per_second,
    )
    (options.target / "README.md").write_text(model_card(figures))
    print(json.dumps(asdict(figures), indent=2))


def training_examples() -> Examples:
    """All training worlds as one."""
    worlds = [examples(WorldSettings(seed=seed, title_mentions=TRAINING_MENTIONS)) for seed in TRAINING_SEEDS]
    offsets = np.cumsum([0, *(world.channels.max() + 1 for world in worlds)])
    return Examples(
        pictures=torch.cat([world.pictures for world in worlds]),
        titles=[title for world in worlds for title in world.titles],
        qualities=np.concatenate([world.qualities for world in worlds]),
        channels=np.concatenate([offset + world.channels for offset, world in zip(offsets, worlds, strict=False)]),
    )


if __name__ == "__main__":
    main()
