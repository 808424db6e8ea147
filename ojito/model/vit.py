"""The vision transformer: ViT, SigLIP and CLIP by config, with a patch stem or a pyramid of convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ojito.config import ViTConfig
from ojito.model.attention import Attention
from ojito.model.blocks import CallBlock, call_block
from ojito.model.dropout import Dropout
from ojito.model.mlp import PlainMLP

if TYPE_CHECKING:  # shapes are checked by the tests only
    from jaxtyping import Float, Int


class ViT(nn.Module):
    """Pixels (N, 3, h, w) to patches (N, P, D), in reading order. Transformer blocks with the norm first.

    Source: Dosovitskiy et al. 2020, arXiv 2010.11929; CLIP: Radford et al. 2021, arXiv 2103.00020; SigLIP: Zhai et al.
    2023, arXiv 2303.15343.
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = make_stem(config)
        self.class_token = nn.Parameter(torch.zeros(config.width)) if config.class_token else None
        rows = config.position_grid**2 + config.class_token
        self.positions = nn.Embedding(rows, config.width)
        self.pre_norm = nn.LayerNorm(config.width, config.norm_eps) if config.pre_norm else nn.Identity()
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(EncoderBlock(config) for _ in range(config.layers))
        self.call_block: CallBlock = call_block
        self.norm = nn.LayerNorm(config.width, config.norm_eps) if config.final_norm else nn.Identity()

    def forward(self, images: Float[Tensor, "N 3 h w"]) -> Float[Tensor, "N P D"]:
        """Patches of the images."""
        hidden = self.stem(images).flatten(2).transpose(1, 2)  # (N, P, D)
        if self.class_token is not None:
            hidden = torch.cat((self.class_token.expand(len(hidden), 1, -1), hidden), dim=1)
        hidden = self.dropout(self.pre_norm(hidden + self._positions()))
        unused = -1 - self.config.feature_layer  # the last layers: kept, so that they are saved again, and never run
        for block in self.blocks[: len(self.blocks) - unused]:
            hidden = self.call_block(block, hidden)
        if not unused:
            hidden = self.norm(hidden)
        return hidden if self.class_token is None else hidden[:, 1:]

    def _positions(self) -> Float[Tensor, "P D"]:
        """Position embeddings of the patches."""
        table: Tensor = self.positions.weight
        grid, side = self.config.grid, self.config.position_grid
        if self.config.positions == "fractional":
            return table[fractional_rows(grid, table.device)]
        if self.config.positions == "resized" and side != grid:
            square = table.float().view(1, side, side, -1).permute(0, 3, 1, 2)
            resized = F.interpolate(square, (grid, grid), mode="bilinear", antialias=True)
            return resized.flatten(2)[0].T.to(table.dtype)
        return table


def fractional_rows(grid: int, device: torch.device | None = None) -> Int[Tensor, " P"]:
    """Return the rows of the position table for a full grid of patches, in reading order.

    A patch's position is a float32 fraction of the side, and its row the bucket that this falls into. Rounding puts
    some of them into the bucket before, so that two neighbours share a row. The checkpoints were trained with that.

    Source: transformers' `Idefics3VisionEmbeddings`.
    """
    edges = torch.arange(1 / grid, 1.0, 1 / grid, device=device)
    fractions = torch.arange(grid, dtype=torch.float32, device=device) * torch.tensor(1 / grid, device=device)
    buckets = torch.bucketize(fractions.clamp(max=1 - 1e-6), edges, right=True)
    return (buckets[:, None] * grid + buckets).flatten()


class EncoderBlock(nn.Module):
    """Attention in all directions, then an MLP; each takes a norm of the residual stream and adds to it."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.width, config.norm_eps)
        self.attention = Attention(config.width, config.heads, dropout=config.dropout * config.attention_dropout)
        self.mlp_norm = nn.LayerNorm(config.width, config.norm_eps)
        self.mlp = PlainMLP(config.width, config.mlp_dim, config.activation, bias=True)
        self.dropout = Dropout(config.dropout)

    def forward(self, hidden: Float[Tensor, "N P D"]) -> Float[Tensor, "N P D"]:
        """One layer."""
        hidden = hidden + self.dropout(self.attention(self.attention_norm(hidden)))
        return hidden + self.dropout(self.mlp(self.mlp_norm(hidden)))


def make_stem(config: ViTConfig) -> nn.Module:
    """Build the stem: pixels (N, 3, h, w) to a grid of patches (N, D, h / patch_size, w / patch_size)."""
    if config.stem == "patch":
        return nn.Conv2d(3, config.width, config.patch_size, stride=config.patch_size, bias=config.stem_bias)
    layers: list[nn.Module] = []
    halvings, width = config.patch_size.bit_length() - 1, 3
    for i, stem_width in enumerate(config.stem_widths):
        stride = 2 if i < halvings else 1
        # No bias: the batch norm that follows would subtract it again.
        layers += [
            nn.Conv2d(width, stem_width, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(stem_width),
            nn.ReLU(),
        ]
        width = stem_width
    return nn.Sequential(*layers, nn.Conv2d(width, config.width, 1))
