"""The guide's training loop as one would write it from the guide: what `bench_train.py` measures ours against.

A Dataset of pairs that returns vectors, a DataLoader, two forwards a step, a head after the other, `loss.item()` at every step.
What is learnt is what recipe `guide` learns: the same losses, mixup, clipping and optimiser's numbers, on the same
standardised vectors, so that the two loss curves can be held against each other.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from thumbrank_core.features.encoders import best_device
from thumbrank_core.metrics import pair_accuracy_micro
from thumbrank_core.training.dataset import SPLITS, Dataset, Pairs
from thumbrank_core.training.targets import engagement_percentile

SUB_SCORES = ("clarity", "prominence", "contrast", "emotion", "hierarchy", "title_match")
BATCH_SIZE = 16
LEARNING_RATE, WEIGHT_DECAY = 2e-5, 0.01
MARGIN, LABEL_SMOOTHING, MIXUP_ALPHA, MAX_NORM = 0.1, 0.15, 0.3, 1.0
CHUNK = 8192


class RankingModel(nn.Module):
    """The guide's network, head by head."""

    def __init__(self, clip_dim: int, text_dim: int, hidden_dim: int = 512) -> None:
        super().__init__()
        self.project = nn.Linear(clip_dim + text_dim, hidden_dim)
        self.pairwise_head = nn.Sequential(
            nn.Linear(hidden_dim, 256),
            nn.ReLU(),
            nn.Dropout(0.15),
            nn.Linear(256, 128),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Linear(128, 1),
        )
        self.ctr_head = nn.Sequential(
            nn.Linear(hidden_dim, 512),
            nn.ReLU(),
            nn.BatchNorm1d(512),
            nn.Dropout(0.2),
            nn.Linear(512, 256),
            nn.ReLU(),
            nn.BatchNorm1d(256),
            nn.Dropout(0.15),
            nn.Linear(256, 1),
            nn.Sigmoid(),
        )
        self.sub_score_heads = nn.ModuleDict(
            {
                name: nn.Sequential(
                    nn.Linear(hidden_dim, 256), nn.ReLU(), nn.Dropout(0.1), nn.Linear(256, 1), nn.Sigmoid()
                )
                for name in SUB_SCORES
            }
        )

    def features(self, image: torch.Tensor, title: torch.Tensor) -> torch.Tensor:
        """(n, hidden_dim)."""
        return self.project(torch.cat([image, title], dim=-1))

    def rank(self, image: torch.Tensor, title: torch.Tensor) -> torch.Tensor:
        """Ranking scores (n,)."""
        return self.pairwise_head(self.features(image, title)).squeeze(-1)

    def forward(
        self, image: torch.Tensor, title: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        """Score (n,), CTR (n,) and sub-scores, each (n,)."""
        features = self.features(image, title)
        sub_scores = {name: head(features).squeeze(-1) for name, head in self.sub_score_heads.items()}
        return self.pairwise_head(features).squeeze(-1), self.ctr_head(features).squeeze(-1), sub_scores


@dataclass(frozen=True)
class Vectors:
    """Every item's standardised vectors and its engagement percentile: image (n, 768), title (n, 384), target (n,)."""

    image: torch.Tensor
    title: torch.Tensor
    target: torch.Tensor

    @classmethod
    def of(cls, dataset: Dataset) -> "Vectors":
        """Each vector at unit length, each dimension by the training items' mean and spread, once before training."""
        training = torch.from_numpy(np.flatnonzero(dataset.items.split == SPLITS.index("train")))

        def standardised(vectors: npt.NDArray[np.float32]) -> torch.Tensor:
            unit = nn.functional.normalize(torch.from_numpy(vectors), dim=-1)
            inside = unit[training]
            std, mean = torch.std_mean(inside, dim=0, correction=0)
            return unit.sub_(mean).div_(std.clamp_min(1e-4))

        target = engagement_percentile(dataset.items.value, dataset.items.channel)
        return cls(
            standardised(dataset.items.image), standardised(dataset.items.text), torch.from_numpy(target).float()
        )


class PairDataset(TorchDataset[tuple[torch.Tensor, ...]]):
    """One pair an item: both sides' vectors, who won (+1 or -1, 0 for a tie), both sides' targets."""

    def __init__(self, pairs: Pairs, vectors: Vectors) -> None:
        self.a, self.b = pairs.a, pairs.b
        self.winner = torch.from_numpy(np.sign(pairs.outcome - 0.5).astype(np.float32))
        self.vectors = vectors

    def __len__(self) -> int:
        return len(self.a)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, ...]:
        a, b, every = int(self.a[index]), int(self.b[index]), self.vectors
        sides = every.image[a], every.title[a], every.image[b], every.title[b]
        return *sides, self.winner[index], every.target[a], every.target[b]


@dataclass
class Ran:
    """Some steps: how many, the seconds they took, and the pair loss of each."""

    steps: int = 0
    seconds: float = 0.0
    pair_losses: list[float] = field(default_factory=list[float])

    @property
    def pairs_per_s(self) -> float:
        """Pairs a second."""
        return self.steps * BATCH_SIZE / self.seconds


class PlainGuide:
    """The guide's loop, to be run in pieces.

    Args:
        dataset: what is learnt from.
        vectors: its standardised vectors.
        seed: of the weights, the order and the mixup.
        workers: of the DataLoader.
    """

    def __init__(self, dataset: Dataset, vectors: Vectors, seed: int, workers: int) -> None:
        torch.manual_seed(seed)
        self.mixup = np.random.default_rng(seed)
        self.device = best_device()
        self.model = RankingModel(vectors.image.shape[1], vectors.title.shape[1]).to(self.device)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        self.ranking_loss, self.mse = nn.MarginRankingLoss(margin=MARGIN), nn.MSELoss()
        self.loader = DataLoader(
            PairDataset(dataset.of("train"), vectors), batch_size=BATCH_SIZE, shuffle=True, num_workers=workers
        )
        self.batches = self._endless()
        self._vectors, self._validation = vectors, dataset.of("validation")

    def _endless(self) -> Iterator[list[torch.Tensor]]:
        while True:
            yield from self.loader

    def run(self, *, seconds: float = float("inf"), steps: float = float("inf")) -> Ran:
        """Train for so many seconds or steps, whichever comes first."""
        ran = Ran()
        self.model.train()
        begun = time.perf_counter()
        while ran.steps < steps and time.perf_counter() - begun < seconds:
            ran.pair_losses.append(self._step(next(self.batches)))
            ran.steps += 1
        ran.seconds = time.perf_counter() - begun
        return ran

    def _step(self, batch: list[torch.Tensor]) -> float:
        image_a, title_a, image_b, title_b, winner, ctr_a, ctr_b = (part.to(self.device) for part in batch)
        lam = float(self.mixup.beta(MIXUP_ALPHA, MIXUP_ALPHA))
        image_a = lam * image_a + (1 - lam) * image_b
        title_a = lam * title_a + (1 - lam) * title_b
        ctr_a = lam * ctr_a + (1 - lam) * ctr_b

        score_a, predicted_a, sub_a = self.model(image_a, title_a)
        score_b, predicted_b, sub_b = self.model(image_b, title_b)
        pair_loss = self.ranking_loss(score_a, score_b, winner)
        ctr_loss = (self.mse(predicted_a, smoothed(ctr_a)) + self.mse(predicted_b, smoothed(ctr_b))) / 2
        aux_loss = torch.zeros((), device=self.device)
        for name in SUB_SCORES:
            aux_loss = aux_loss + (self.mse(sub_a[name], ctr_a) + self.mse(sub_b[name], ctr_b)) / 2
        loss = pair_loss + ctr_loss + aux_loss / len(SUB_SCORES)

        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), max_norm=MAX_NORM)
        self.optimizer.step()
        return pair_loss.item()

    @torch.no_grad()
    def validation_accuracy(self) -> float:
        """Pair accuracy on validation pairs, each of their items scored once."""
        self.model.eval()
        pairs = self._validation
        items = np.unique(np.concatenate([pairs.a, pairs.b]))
        score = np.full(len(self._vectors.target), np.nan)
        for start in range(0, len(items), CHUNK):
            rows = torch.from_numpy(items[start : start + CHUNK].astype(np.int64))
            image, title = (part[rows].to(self.device) for part in (self._vectors.image, self._vectors.title))
            score[rows.numpy()] = self.model.rank(image, title).double().cpu().numpy()
        return pair_accuracy_micro(score[pairs.a] - score[pairs.b], pairs.outcome)


def smoothed(target: torch.Tensor) -> torch.Tensor:
    """The guide's label smoothing."""
    return target * (1 - LABEL_SMOOTHING) + 0.5 * LABEL_SMOOTHING


def better_workers(dataset: Dataset, vectors: Vectors, steps: int) -> tuple[int, dict[int, float]]:
    """Of 0 and 2 loader workers the faster one here, and the pairs a second of each; their start is not counted."""
    rates: dict[int, float] = {}
    for workers in (0, 2):
        loop = PlainGuide(dataset, vectors, 0, workers)
        loop.run(steps=steps / 10)
        rates[workers] = loop.run(steps=steps).pairs_per_s
    return max(rates, key=lambda workers: rates[workers]), rates
