"""The vision transformer: ViT and SigLIP by config, with a patch stem or a pyramid of convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ojito.config import ViTConfig
from ojito.model.attention import Attention
from ojito.model.mlp import PlainMLP

if TYPE_CHECKING:  # shapes are checked by the tests only
    from jaxtyping import Float


class ViT(nn.Module):
    """Pixels (N, 3, h, w) to patches (N, P, D), in reading order. Transformer blocks with the norm first.

    Source: Dosovitskiy et al. 2020, arXiv 2010.11929; SigLIP: Zhai et al. 2023, arXiv 2303.15343.
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.stem = make_stem(config)
        self.class_token = nn.Parameter(torch.zeros(config.width)) if config.class_token else None
        self.positions = nn.Embedding(config.grid**2 + config.class_token, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(EncoderBlock(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width, config.norm_eps) if config.final_norm else nn.Identity()

    def forward(self, images: Float[Tensor, "N 3 h w"]) -> Float[Tensor, "N P D"]:
        """The pictures' patches."""
        hidden = self.stem(images).flatten(2).transpose(1, 2)  # (N, P, D)
        if self.class_token is not None:
            hidden = torch.cat((self.class_token.expand(len(hidden), 1, -1), hidden), dim=1)
        hidden = self.dropout(hidden + self.positions.weight)
        for block in self.blocks:
            hidden = block(hidden)
        hidden = self.norm(hidden)
        return hidden if self.class_token is None else hidden[:, 1:]


class EncoderBlock(nn.Module):
    """Attention to everything, then an MLP; each reads a norm of the stream and adds to it."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.width, config.norm_eps)
        self.attention = Attention(config.width, config.heads, dropout=config.dropout)
        self.mlp_norm = nn.LayerNorm(config.width, config.norm_eps)
        self.mlp = PlainMLP(config.width, config.mlp_dim, config.activation, bias=True)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden: Float[Tensor, "N P D"]) -> Float[Tensor, "N P D"]:
        """One layer."""
        hidden = hidden + self.dropout(self.attention(self.attention_norm(hidden)))
        return hidden + self.dropout(self.mlp(self.mlp_norm(hidden)))


def make_stem(config: ViTConfig) -> nn.Module:
    """Pixels (N, 3, h, w) to a grid of patches (N, D, h / patch_size, w / patch_size)."""
    if config.stem == "patch":
        return nn.Conv2d(3, config.width, config.patch_size, stride=config.patch_size)
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
