"""A convolution with its batch norm, for the towers that are made of them."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Padding = tuple[int, int]
"""Pixels of zeros before and after, on both axes."""

ONEDNN = torch.backends.mkldnn.is_available() and all(  # type: ignore[no-untyped-call]
    hasattr(torch.ops.mkldnn, name) for name in ("_convolution_pointwise", "_reorder_convolution_weight")
)
"""Whether PyTorch has the operations that its own compiler uses for convolutions on a CPU."""

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"": lambda same: same, "relu": F.relu, "relu6": F.relu6}

_ONEDNN_ACTIVATIONS: dict[str, tuple[str, list[float], str]] = {
    "": ("none", [], ""),
    "relu": ("relu", [], ""),
    "relu6": ("hardtanh", [0.0, 6.0], ""),
}


def same_padding(size: int, kernel: int, stride: int) -> Padding:
    """Return the padding with which a side of `size` pixels becomes size / stride, rounded up.

    Where it is odd, the pixel too many comes after, as TensorFlow's "SAME" has it.
    """
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class ConvNorm(nn.Module):
    """A convolution without a bias, which its batch norm makes pointless, and an activation.

    Args:
        width_in: Channels of the input.
        width: Channels of the output.
        kernel: Side of the window, pixels.
        stride: Pixels from one window to the next.
        groups: Groups of channels that do not see each other; `width_in` of them make a depthwise convolution.
        padding: Left out, half of the window on every side.
        activation: `relu`, `relu6`, or "" for none.
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
        activation: str = "",
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        before, after = (kernel // 2, kernel // 2) if padding is None else padding
        self.uneven = (before, after, before, after) if before != after else None
        inside = 0 if self.uneven else before
        self.conv = nn.Conv2d(width_in, width, kernel, stride, inside, groups=groups, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(width, eps=norm_eps)
        self.activation = activation

    def forward(self, features: Tensor) -> Tensor:
        """(N, width_in, h, w) to (N, width, h / stride, w / stride)."""
        if self.uneven:
            features = F.pad(features, self.uneven)
        return _ACTIVATIONS[self.activation](self.norm(self.conv(features)))


class FoldedConv(nn.Module):
    """A ConvNorm that does not learn any more, as one operation: the same numbers in less time.

    The norm is part of the weights. On a CPU, oneDNN gets them in the layout that it wants, and applies the activation
    while the result is in its caches: half as many images a second again (`benchmarks/encoding.py`).

    Args:
        trained: In evaluation mode; it stays as it is.
    """

    def __init__(self, trained: ConvNorm) -> None:
        super().__init__()
        self.uneven, self.activation = trained.uneven, trained.activation
        assert isinstance(trained.norm, nn.BatchNorm2d)  # noqa: S101 - it is made so
        self.conv = nn.utils.fuse_conv_bn_eval(trained.conv, trained.norm)
        self._packed: Tensor | None = None

    def forward(self, features: Tensor) -> Tensor:
        """As ConvNorm, without a gradient."""
        if self.uneven:
            features = F.pad(features, self.uneven)
        if features.device.type != "cpu" or features.dtype != torch.float32 or not ONEDNN:
            return _ACTIVATIONS[self.activation](self.conv(features))
        conv = self.conv
        window = [*conv.padding], [*conv.stride], [*conv.dilation], conv.groups
        if self._packed is None:  # for the size at hand; others are right, too
            self._packed = torch.ops.mkldnn._reorder_convolution_weight(conv.weight, *window, [*features.shape])
        follows = _ONEDNN_ACTIVATIONS[self.activation]
        return torch.ops.mkldnn._convolution_pointwise(features, self._packed, conv.bias, *window, *follows)


def fold_norms(tower: nn.Module) -> None:
    """Make every ConvNorm inside a FoldedConv, in place, for a tower that is frozen.

    Args:
        tower: In evaluation mode. It cannot be trained or saved afterwards: fold a copy.
    """
    for module in [*tower.modules()]:
        for name, child in module.named_children():
            if isinstance(child, ConvNorm):
                setattr(module, name, FoldedConv(child))
