"""Dropout that a CPU does not wait for: PyTorch's own draws one random number for every element, on one thread."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_STEPS = 2**16  # shares that 16 random bits tell apart


def dropout(values: Tensor, share: float) -> Tensor:
    """Set a share of the values to 0, and make the others larger by what is missing.

    On a CPU a random number of 64 bits decides about four values, which takes a third of the time of
    `torch.nn.functional.dropout`; so the share is one of 65,536.

    Args:
        values: Of any shape.
        share: Probability of each, from 0 to below 1.
    """
    if values.device.type != "cpu":
        return F.dropout(values, share)
    numbers = torch.empty(-(-values.numel() // 4), dtype=torch.int64).random_(-(2**63), None)  # all 64 bits
    kept = numbers.view(torch.int16)[: values.numel()] >= round(share * _STEPS) - _STEPS // 2
    return values * (kept.view(values.shape).to(values.dtype) / (1 - share))


class Dropout(nn.Module):
    """`dropout` in training, nothing else.

    Args:
        share: Probability of each value.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, values: Tensor) -> Tensor:
        """The values, some of them 0."""
        return dropout(values, self.share) if self.training and self.share else values

    def extra_repr(self) -> str:
        """The share, for printing."""
        return f"{self.share:g}"
