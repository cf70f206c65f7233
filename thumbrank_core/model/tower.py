"""CLIP's image tower cut in two: a frozen stem and the last blocks, which are trained.

What belongs here: where it is cut, and the two parts as modules. Where pictures come from is training/pictures.py; the tuned
tower as an encoder of its own is features/tuned.py.
"""

from typing import Any, Literal

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from thumbrank_core.errors import ThumbrankError
from thumbrank_core.features.encoders import Vision, dtype_of, gelu_in_place
from thumbrank_core.features.specs import ImageSpec

GUIDE_ENTIRE = 12
"""How many blocks the guide calls the entire CLIP. 12 is ViT-L/14's text tower; its image tower has 24."""

Wanted = int | Literal["all"]


class TowerError(ThumbrankError):
    """A tower that cannot be cut where it was asked for."""


def blocks_to_train(total: int, wanted: Wanted) -> tuple[int, str | None]:
    """How many of the `total` blocks are trained, and a sentence where that is not what the guide means by it.

    Raises:
        TowerError: the tower has fewer blocks.
    """
    if wanted == "all":
        return total, None
    if not 0 <= wanted <= total:
        raise TowerError(
            f"fine_tune_blocks is {wanted} and CLIP's image tower has {total} blocks: use 0 to {total}, or all."
        )
    if wanted == GUIDE_ENTIRE < total:
        share = "half" if 2 * wanted == total else f"{wanted / total:.0%}"
        return wanted, (
            f"fine_tune_blocks={wanted} trains the last {wanted} of CLIP's {total} blocks, {share} of them and not the entire "
            "CLIP as the guide has it: use fine_tune_blocks=all for that."
        )
    return wanted, None


class Stem(nn.Module):
    """What stays as it is: pixels -> what enters the tail. Always in evaluation mode and without gradients.

    Args:
        vision: the loaded tower.
        blocks: the frozen blocks; None where everything is trained, embeddings included.
        dtype: what the blocks compute in.
    """

    def __init__(self, vision: Vision, blocks: list[nn.Module] | None, dtype: torch.dtype) -> None:
        super().__init__()
        self._vision, self._dtype = vision, dtype
        whole = vision.model.vision_model
        self.front = None if blocks is None else nn.Sequential(whole.embeddings, whole.pre_layrnorm)
        self.blocks = nn.ModuleList(blocks or [])
        gelu_in_place(self.blocks)
        self.requires_grad_(False)
        config = vision.model.config
        tokens = (config.image_size // config.patch_size) ** 2 + 1
        self.shape: tuple[int, ...] = (
            (3, vision.side, vision.side) if blocks is None else (tokens, int(config.hidden_size))
        )
        """Of one picture's state."""

    @torch.no_grad()
    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(n, side, side, 3) uint8 on the device -> (n, *shape) float32."""
        states = self._vision.planes(pixels)
        if self.front is None:
            return states
        halves = self._dtype != torch.float32
        with torch.autocast(states.device.type, self._dtype if halves else None, enabled=halves):
            states = self.front(states)
            for block in self.blocks:
                states = block(states, None)
        return states.float()


class Tail(nn.Module):
    """What is trained: a picture's states -> its image vector.

    Args:
        vision: the loaded tower.
        blocks: the trained blocks, lowest first.
        whole: whether embeddings are trained, too; states are then pixels.
        checkpointing: recompute each block's activations in the backward pass instead of keeping them.
    """

    def __init__(self, vision: Vision, blocks: list[nn.Module], *, whole: bool, checkpointing: bool) -> None:
        super().__init__()
        model = vision.model
        self.front = nn.Sequential(model.vision_model.embeddings, model.vision_model.pre_layrnorm) if whole else None
        self.blocks = nn.ModuleList(blocks)
        self.norm: Any = model.vision_model.post_layernorm
        self.projection: Any = model.visual_projection
        self._checkpointing = checkpointing
        self.requires_grad_(True)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(n, tokens, width), or (n, 3, side, side) where everything is trained -> (n, clip_dim), any length."""
        if self.front is not None:
            states = self.front(states)
        recompute = self._checkpointing and torch.is_grad_enabled()
        for block in self.blocks:
            states = checkpoint(block, states, None, use_reentrant=False) if recompute else block(states, None)
        return self.projection(self.norm(states[:, 0]))

    def layers(self) -> list[list[nn.Parameter]]:
        """The parameters by depth: projection and last norm, then each block from the top, then the embeddings."""
        layers = [[*self.norm.parameters(), *self.projection.parameters()]]
        layers += [list(block.parameters()) for block in reversed(self.blocks)]
        if self.front is not None:
            layers.append(list(self.front.parameters()))
        return layers


class Tower:
    """An image tower that is fine-tuned.

    `stem` and `tail` are made of the modules of `vision.model`, so training the tail trains that model. `warning`: what a
    reader of the recipe should know. `boundary`: where it is cut, in words.

    Args:
        spec: the encoder; its precision, which must be settled, is what the stem computes in.
        wanted: how many of the last blocks are trained (embeddings stay), or "all", embeddings included.
        checkpointing: see Tail.
        offline: load from local files only.

    Raises:
        EncoderError: the model cannot be loaded, or is not what the configuration says.
        TowerError: it has fewer blocks, or none are wanted.
    """

    def __init__(self, spec: ImageSpec, wanted: Wanted, *, checkpointing: bool = False, offline: bool = False) -> None:
        dtype = dtype_of(spec)
        # The weights that are trained are float32 whatever the stem computes in: small steps vanish in half precision.
        self.vision = Vision(spec, torch.float32, offline=offline)
        self.spec = spec
        blocks = list(self.vision.model.vision_model.encoder.layers)
        trained, self.warning = blocks_to_train(len(blocks), wanted)
        if trained == 0:
            raise TowerError(f"fine_tune_blocks is 0, which trains nothing of CLIP: use 1 to {len(blocks)}, or all.")
        whole, frozen = wanted == "all", len(blocks) - trained
        self.boundary = (
            "the pixels"
            if whole
            else f"block {frozen} of {len(blocks)}"
            if frozen
            else f"the embeddings ({trained} blocks)"
        )
        self.tail = Tail(self.vision, blocks[frozen:], whole=whole, checkpointing=checkpointing)
        self.stem = Stem(self.vision, None if whole else blocks[:frozen], dtype).eval()
