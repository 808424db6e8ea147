"""A convolution with its batch norm, for the towers that are made of them."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

Padding = tuple[int, int]
"""Pixels of zeros before and after, on both axes."""


def same_padding(size: int, kernel: int, stride: int) -> Padding:
    """Return the padding with which a side of `size` pixels becomes size / stride, rounded up.

    Where it is odd, the pixel too many comes after, as TensorFlow's "SAME" has it.
    """
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class ConvNorm(nn.Module):
    """A convolution and its batch norm, which makes a bias pointless.

    Args:
        width_in: Channels of the input.
        width: Channels of the output.
        kernel: Side of the window, pixels.
        stride: Pixels from one window to the next.
        groups: Groups of channels that do not see each other; `width_in` of them make a depthwise convolution.
        padding: Left out, half of the window on every side.
        norm_eps: Added to the variance.
    """

    def __init__(
        self,
        width_in: int,
        width: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        padding: Padding | None = None,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        before, after = (kernel // 2, kernel // 2) if padding is None else padding
        self.uneven = (before, after, before, after) if before != after else None
        inside = 0 if self.uneven else before
        self.conv = nn.Conv2d(width_in, width, kernel, stride, inside, groups=groups, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(width, eps=norm_eps)

    def forward(self, features: Tensor) -> Tensor:
        """(N, width_in, h, w) to (N, width, h / stride, w / stride)."""
        if self.uneven:
            features = F.pad(features, self.uneven)
        return self.norm(self.conv(features))


def fold_norms(tower: nn.Module) -> None:
    """Fold every batch norm into its convolution, in place: the same numbers in less time, for a tower that is frozen.

    Args:
        tower: In evaluation mode. It cannot be trained or saved afterwards: fold a copy.
    """
    for module in tower.modules():
        if isinstance(module, ConvNorm) and isinstance(module.norm, nn.BatchNorm2d):
            module.conv = nn.utils.fuse_conv_bn_eval(module.conv, module.norm)
            module.norm = nn.Identity()
