"""EfficientNet-Lite as vision tower: the positions of its last feature map are the patches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from ojito.config import EfficientNetConfig
from ojito.model.convolution import ConvNorm, same_padding

if TYPE_CHECKING:  # shapes are checked by the tests only
    from jaxtyping import Float

STEM = (3, 2)
"""Kernel and stride of the first convolution."""

STAGES = ((3, 1, 1), (3, 2, 6), (5, 2, 6), (3, 2, 6), (5, 1, 6), (5, 2, 6), (3, 1, 6))
"""Kernel, stride and expansion of each stage; only its first block has the stride."""


class EfficientNet(nn.Module):
    """Pixels (N, 3, h, w) to patches (N, P, D), in reading order.

    EfficientNet without squeeze-and-excitation and with ReLU6, which small machines compute fast.

    Source: Tan and Le 2019, arXiv 1905.11946; the Lite models of github.com/tensorflow/tpu.
    """

    def __init__(self, config: EfficientNetConfig) -> None:
        super().__init__()
        kernel, stride = STEM
        padding = same_padding(config.image_size, kernel, stride)
        self.stem = ConvNorm(
            3, config.stem_width, kernel, stride, padding=padding, activation="relu6", norm_eps=config.norm_eps
        )
        size, width_in = -(-config.image_size // stride), config.stem_width
        self.stages = nn.ModuleList()
        for (kernel, first_stride, expansion), width, num_blocks in zip(
            STAGES, config.widths, config.blocks, strict=True
        ):
            blocks = []
            for number in range(num_blocks):
                stride = 1 if number else first_stride
                blocks.append(MBConv(width_in, width, kernel, stride, expansion, size, config.norm_eps))
                size, width_in = -(-size // stride), width
            self.stages.append(nn.Sequential(*blocks))
        self.head = (
            ConvNorm(width_in, config.head_width, 1, activation="relu6", norm_eps=config.norm_eps)
            if config.head_width
            else None
        )

    def forward(self, images: Float[Tensor, "N 3 h w"]) -> Float[Tensor, "N P D"]:
        """Patches of the images."""
        features = self.stem(images)
        for stage in self.stages:
            features = stage(features)
        if self.head is not None:
            features = self.head(features)
        return features.flatten(2).transpose(1, 2)


class MBConv(nn.Module):
    """1x1 to many channels, a window over each of them, 1x1 back, added to the input where the shapes allow.

    Source: Sandler et al. 2018 (MobileNetV2), arXiv 1801.04381.
    """

    def __init__(
        self, width_in: int, width: int, kernel: int, stride: int, expansion: int, size: int, norm_eps: float
    ) -> None:
        super().__init__()
        wide = width_in * expansion
        padding = same_padding(size, kernel, stride)
        self.expand = ConvNorm(width_in, wide, 1, activation="relu6", norm_eps=norm_eps) if expansion > 1 else None
        self.look = ConvNorm(wide, wide, kernel, stride, wide, padding, "relu6", norm_eps)
        self.project = ConvNorm(wide, width, 1, norm_eps=norm_eps)
        self.adds = stride == 1 and width_in == width

    def forward(self, features: Tensor) -> Tensor:
        """(N, width_in, h, w) to (N, width, h / stride, w / stride)."""
        wide = features if self.expand is None else self.expand(features)
        made = self.project(self.look(wide))
        return made + features if self.adds else made
