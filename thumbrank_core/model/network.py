"""The network: one tower that scores one video, heads on shared features. A pair is compared by the difference of its two
scores, so that score(a, b) = -score(b, a) holds by construction.

Normalisation lives inside, so that whoever holds the weights cannot feed raw vectors by accident.
"""

from typing import NamedTuple

import torch
from torch import nn


class Batch(NamedTuple):
    """Items to score. `image`: (n, clip_dim), `title`: (n, text_dim); any scale, float."""

    image: torch.Tensor
    title: torch.Tensor


class Outputs(NamedTuple):
    """What the heads say of n items, both (n,). `engagement` is the logit of the engagement percentile within the channel:
    it is learnt from views and is not a click-through rate."""

    score: torch.Tensor
    engagement: torch.Tensor


class ThumbnailRankingModel(nn.Module):
    """Image and title vectors -> shared features -> ranking score and engagement.

    Args:
        clip_dim: width of the image vectors (768 for CLIP ViT-L/14).
        text_dim: width of the title vectors (384 for MiniLM).
        hidden_dim: width of the shared features.
        dropout: on the shared features; the heads keep the guide's own rates.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, clip_dim: int = 768, text_dim: int = 384, hidden_dim: int = 512, dropout: float = 0.3) -> None:
        super().__init__()
        self.clip_dim, self.text_dim = clip_dim, text_dim
        self.register_buffer("mean", torch.zeros(clip_dim + text_dim))
        self.register_buffer("std", torch.ones(clip_dim + text_dim))
        self.trunk = nn.Sequential(
            nn.Dropout(dropout / 2),
            nn.Linear(clip_dim + text_dim, hidden_dim),
            nn.LayerNorm(hidden_dim),
            nn.GELU(),
            nn.Dropout(dropout),
        )
        self.ranking = nn.Sequential(
            nn.Linear(hidden_dim, 256),
            nn.ReLU(),
            nn.Dropout(0.15),
            nn.Linear(256, 128),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Linear(128, 1),
        )
        # LayerNorm where the guide has BatchNorm: weight averaging needs no pass over the data, and small batches do no harm.
        self.engagement = nn.Sequential(
            nn.Linear(hidden_dim, 256), nn.LayerNorm(256), nn.ReLU(), nn.Dropout(0.15), nn.Linear(256, 1)
        )

    def standardised(self, batch: Batch) -> torch.Tensor:
        """(n, clip_dim + text_dim): each vector at unit length, each dimension by the training items' mean and spread."""
        image = nn.functional.normalize(batch.image.float(), dim=-1)
        title = nn.functional.normalize(batch.title.float(), dim=-1)
        return (torch.cat([image, title], dim=-1) - self.mean) / self.std

    @torch.no_grad()
    def fit_standardiser(self, batch: Batch) -> None:
        """Take mean and spread from training items; no other item may ever be shown here."""
        self.mean.zero_()
        self.std.fill_(1.0)
        features = self.standardised(batch)
        self.mean.copy_(features.mean(dim=0))
        self.std.copy_(features.std(dim=0).clamp_min(1e-4))

    def forward(self, batch: Batch) -> Outputs:
        """Score n items."""
        features = self.trunk(self.standardised(batch))
        return Outputs(self.ranking(features).squeeze(-1), self.engagement(features).squeeze(-1))
