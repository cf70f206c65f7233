"""The network: one tower that scores one video, heads on shared features. A pair is compared by the difference of its two
scores, so that score(a, b) = -score(b, a) holds by construction.

Normalisation lives inside, so that whoever holds the weights cannot feed raw vectors by accident. There is one
`forward(batch)`: distributed training and compilers see nothing else.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple, Self

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from thumbrank_core.features.signals.definitions import SIGNALS
from thumbrank_core.model.dropout import Dropout

SUB_SCORE_WIDTH = 256


class Batch(NamedTuple):
    """Items to score. `image`: (n, clip_dim), `title`: (n, text_dim); any scale, float."""

    image: torch.Tensor
    title: torch.Tensor


class Standardised(NamedTuple):
    """Items that `ThumbnailRankingModel.standardised` has seen already: (n, clip_dim + text_dim)."""

    features: torch.Tensor


class Pictures(NamedTuple):
    """Items whose image vectors are still to be computed: `states` (n, …) is what enters the model's tower, `title` as in Batch."""

    states: torch.Tensor
    title: torch.Tensor


Input = Batch | Standardised | Pictures


class Outputs(NamedTuple):
    """What the heads say of n items: `score` (n,), `engagement_logit` (n,), `sub_score_logits` (n, 6) ordered as SIGNALS.

    The sigmoid of `engagement_logit` is the engagement percentile within the channel: it is learnt from views and is not a
    click-through rate, unless real click-through rates of one owner trained it (the bundle's card says so).
    """

    score: torch.Tensor
    engagement_logit: torch.Tensor
    sub_score_logits: torch.Tensor


class NetworkShape(BaseModel):
    """The arguments that rebuild the network."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    clip_dim: int = Field(ge=1)
    text_dim: int = Field(ge=1)
    hidden_dim: int = Field(ge=8)
    norm: Literal["layer", "batch"]
    """layer: LayerNorm in the projection and the absolute head. batch: the guide's heads, BatchNorm in the absolute one."""
    dropout: float = Field(ge=0, lt=1)
    """On the shared features, half of it on the input. With `norm: batch` unused: the guide gives each head its own."""
    head_dropout: float = Field(ge=0)
    """A factor of the heads' own rates (0.1 to 0.2): 1 as in the guide, 0 for none."""
    wide: bool
    """Whether a linear function of the input is added to the ranking head's score (wide and deep, Cheng et al. 2016): few
    videos teach it sooner than the layers."""
    read_out: Literal["shared", "head"]
    """shared: engagement is an affine function of the ranking score. head: a head of its own, as in the guide."""


class SubScoreHeads(nn.Module):
    """The guide's six heads, Linear(hidden, 256) -> ReLU -> Dropout(0.1) -> Linear(256, 1), as one product instead of six."""

    def __init__(self, hidden_dim: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Linear(hidden_dim, len(SIGNALS) * SUB_SCORE_WIDTH)
        self.dropout = Dropout(dropout)
        self.weight = nn.Parameter(torch.empty(len(SIGNALS), SUB_SCORE_WIDTH))
        self.bias = nn.Parameter(torch.zeros(len(SIGNALS)))
        nn.init.uniform_(self.weight, -(SUB_SCORE_WIDTH**-0.5), SUB_SCORE_WIDTH**-0.5)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(n, hidden_dim) -> (n, 6) logits."""
        hidden = self.dropout(torch.relu(self.first(features)))
        return (hidden.unflatten(-1, self.weight.shape) * self.weight).sum(-1) + self.bias


class ThumbnailRankingModel(nn.Module):
    """Image and title vectors -> shared features -> ranking score, engagement, six sub-scores.

    Unless told otherwise it has the guide's heads.

    Args:
        clip_dim: width of the image vectors (768 for CLIP ViT-L/14).
        text_dim: width of the title vectors (384 for MiniLM).
        freeze_clip: whether image vectors are taken as they are; otherwise the training pipeline puts CLIP's last blocks
            into `tower` and trains them too.
        fine_tune_blocks: how many of CLIP's last blocks; "all" for every one.
        hidden_dim: width of the shared features.
        norm: see NetworkShape.
        dropout: see NetworkShape.
        head_dropout: see NetworkShape.
        wide: see NetworkShape.
        read_out: see NetworkShape.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self,
        clip_dim: int = 768,
        text_dim: int = 384,
        freeze_clip: bool = True,
        fine_tune_blocks: int | Literal["all"] = 0,
        hidden_dim: int = 512,
        *,
        norm: Literal["layer", "batch"] = "batch",
        dropout: float = 0.0,
        head_dropout: float = 1.0,
        wide: bool = False,
        read_out: Literal["shared", "head"] = "head",
    ) -> None:
        super().__init__()
        self.shape = NetworkShape(
            clip_dim=clip_dim,
            text_dim=text_dim,
            hidden_dim=hidden_dim,
            norm=norm,
            dropout=dropout,
            head_dropout=head_dropout,
            wide=wide,
            read_out=read_out,
        )
        self.freeze_clip, self.fine_tune_blocks = freeze_clip, fine_tune_blocks
        self.tower: nn.Module | None = None
        self.skip_sub_scores = False
        """Training sets it where nothing learns from the sub-scores: they are two fifths of the work."""
        self.register_buffer("mean", torch.zeros(clip_dim + text_dim))
        self.register_buffer("std", torch.ones(clip_dim + text_dim))
        project = nn.Linear(clip_dim + text_dim, hidden_dim)
        self.input_dropout = Dropout(dropout / 2 if norm == "layer" else 0.0)
        self.trunk = (
            nn.Sequential(project)
            if norm == "batch"
            else nn.Sequential(project, nn.LayerNorm(hidden_dim), nn.GELU(), Dropout(dropout))
        )
        self.ranking = nn.Sequential(
            nn.Linear(hidden_dim, 256),
            nn.ReLU(),
            Dropout(0.15 * head_dropout),
            nn.Linear(256, 128),
            nn.ReLU(),
            Dropout(0.1 * head_dropout),
            nn.Linear(128, 1),
        )
        self.wide = nn.Linear(clip_dim + text_dim, 1, bias=False) if wide else None
        if self.wide is not None:
            nn.init.zeros_(self.wide.weight)
        self.engagement = nn.Linear(1, 1) if read_out == "shared" else _absolute_head(hidden_dim, norm, head_dropout)
        if isinstance(self.engagement, nn.Linear):
            nn.init.ones_(self.engagement.weight)
            nn.init.zeros_(self.engagement.bias)
        self.sub_scores = SubScoreHeads(hidden_dim, 0.1 * head_dropout)

    @classmethod
    def of(cls, shape: NetworkShape) -> Self:
        """The network of that shape, with fresh weights."""
        return cls(**shape.model_dump())

    def standardised(self, batch: Batch) -> torch.Tensor:
        """(n, clip_dim + text_dim): each vector at unit length, each dimension by the training items' mean and spread."""
        image = nn.functional.normalize(batch.image.float(), dim=-1)
        title = nn.functional.normalize(batch.title.float(), dim=-1)
        return (
            torch.cat([image, title], dim=-1).sub_(self.mean).div_(self.std)
        )  # in place: a chunk of many items is large

    @torch.no_grad()
    def fit_standardiser(self, batches: Iterable[Batch]) -> None:
        """Take mean and spread from the training items, in as many pieces as fit in memory; no other item may ever be shown
        here."""
        self.mean.zero_()
        self.std.fill_(1.0)
        count, total, squares = 0, self.mean.double(), self.mean.double()
        for batch in batches:
            features = self.standardised(batch).double()
            count, total, squares = count + len(features), total + features.sum(0), squares + features.square().sum(0)
        mean = total / count
        variance = (squares / count - mean.square()).clamp_min(0)
        self.mean.copy_(mean)
        self.std.copy_(variance.sqrt().clamp_min(1e-4))

    def features(self, batch: Input) -> torch.Tensor:
        """The shared features (n, hidden_dim)."""
        return self.trunk(self._seen(batch))

    def _seen(self, batch: Input) -> torch.Tensor:
        """What trunk and wide path see of n items: (n, clip_dim + text_dim)."""
        if isinstance(batch, Pictures):
            if self.tower is None:
                raise ValueError("This model takes vectors: it has no tower to compute them from pictures.")
            batch = Batch(self.tower(batch.states), batch.title)
        return self.input_dropout(batch.features if isinstance(batch, Standardised) else self.standardised(batch))

    def _scored(self, features: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """The ranking scores (n, 1)."""
        deep = self.ranking(features)
        return deep if self.wide is None else deep + self.wide(seen)

    def rank(self, batch: Input) -> torch.Tensor:
        """The ranking scores (n,) alone."""
        seen = self._seen(batch)
        return self._scored(self.trunk(seen), seen).squeeze(-1)

    def forward(self, batch: Input) -> Outputs:
        """What every head says of n items."""
        seen = self._seen(batch)
        features = self.trunk(seen)
        score = self._scored(features, seen)
        engagement = self.engagement(score if self.shape.read_out == "shared" else features)
        logits = score.new_zeros(0, len(SIGNALS)) if self.skip_sub_scores else self.sub_scores(features)
        return Outputs(score.squeeze(-1), engagement.squeeze(-1), logits)


def _absolute_head(hidden_dim: int, norm: Literal["layer", "batch"], dropout: float) -> nn.Sequential:
    """The guide's head for click-through rates: normalisation after each ReLU, as it stands there."""
    layer = nn.BatchNorm1d if norm == "batch" else nn.LayerNorm
    return nn.Sequential(
        nn.Linear(hidden_dim, 512),
        nn.ReLU(),
        layer(512),
        Dropout(0.2 * dropout),
        nn.Linear(512, 256),
        nn.ReLU(),
        layer(256),
        Dropout(0.15 * dropout),
        nn.Linear(256, 1),
    )
