"""A residual network as vision tower: the positions of its last feature map are the patches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from ojito.config import ResNetConfig
from ojito.model.convolution import ConvNorm

if TYPE_CHECKING:  # shapes are checked by the tests only
    from jaxtyping import Float


class ResNet(nn.Module):
    """Pixels (N, 3, h, w) to patches (N, P, D), in reading order. Bottleneck blocks, version 1.5, no classifier.

    Source: He et al. 2015, arXiv 1512.03385; v1.5 puts a stage's stride on its 3x3 convolution, not on the 1x1 before.
    """

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.stem = ConvNorm(3, config.stem_width, 7, stride=2, activation="relu")
        self.stages = nn.ModuleList()
        width_in = config.stem_width
        for i, num_blocks in enumerate(config.blocks):
            width = config.width // 2 ** (len(config.blocks) - 1 - i)  # every stage doubles it
            strides = [1 if i == 0 else 2] + [1] * (num_blocks - 1)
            blocks = []
            for stride in strides:
                blocks.append(Bottleneck(width_in, width, stride))
                width_in = width
            self.stages.append(nn.Sequential(*blocks))

    def forward(self, images: Float[Tensor, "N 3 h w"]) -> Float[Tensor, "N P D"]:
        """Patches of the images."""
        features = self.stem(images)
        features = F.max_pool2d(features, 3, stride=2, padding=1)
        for stage in self.stages:
            features = stage(features)
        return features.flatten(2).transpose(1, 2)


class Bottleneck(nn.Module):
    """1x1 to a quarter of the width, 3x3, 1x1 back, added to the input."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.narrow = ConvNorm(width_in, width // 4, 1, activation="relu")
        self.look = ConvNorm(width // 4, width // 4, 3, stride, activation="relu")
        self.widen = ConvNorm(width // 4, width, 1)
        reshapes = stride != 1 or width_in != width
        self.shortcut = ConvNorm(width_in, width, 1, stride) if reshapes else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """(N, width_in, h, w) to (N, width, h / stride, w / stride)."""
        branch = self.widen(self.look(self.narrow(features)))
        return F.relu(branch + self.shortcut(features))
