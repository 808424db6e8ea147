"""Normalization: LayerNorm, RMSNorm and Gemma's RMSNorm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ojito.model.backward import RMSNormFunction, by_hand

if TYPE_CHECKING:  # shapes are checked by the tests only
    from jaxtyping import Float


class RMSNorm(nn.Module):
    """Root mean square norm, as in LLaMA: normalize in float32, cast, then multiply by the weight.

    Source: Zhang and Sennrich 2019, arXiv 1910.07467; the order of cast and multiply is transformers' `LlamaRMSNorm`.
    """

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, hidden: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        """Normalized hidden states."""
        if _is_by_hand(hidden, self.weight):
            return RMSNormFunction.apply(hidden, self.weight, self.eps)  # type: ignore[no-untyped-call]
        # Squares of bfloat16 lose the small coordinates, so the mean is taken in float32 whatever the model's dtype.
        normed = F.rms_norm(hidden.float(), self.weight.shape, eps=self.eps)
        return normed.to(hidden.dtype) * self.weight


class RMSNormPlusOne(nn.Module):
    """Root mean square norm, as in Gemma: multiply by 1 + weight in float32, then cast. The weight starts at 0.

    Source: transformers' `GemmaRMSNorm`.
    """

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.zeros(width))

    def forward(self, hidden: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        """Normalized hidden states."""
        if _is_by_hand(hidden, self.weight):
            return RMSNormFunction.apply(hidden, 1 + self.weight, self.eps)  # type: ignore[no-untyped-call]
        normed = F.rms_norm(hidden.float(), self.weight.shape, eps=self.eps)
        return (normed * (1 + self.weight.float())).to(hidden.dtype)


def _is_by_hand(hidden: Tensor, weight: Tensor) -> bool:
    return hidden.dtype == weight.dtype == torch.float32 and by_hand(hidden)


NORMS = {"layer": nn.LayerNorm, "rms": RMSNorm, "rms_plus_one": RMSNormPlusOne}


def make_norm(kind: str, width: int, eps: float) -> nn.Module:
    """Build the norm of that name ("layer", "rms", "rms_plus_one")."""
    return NORMS[kind](width, eps)
