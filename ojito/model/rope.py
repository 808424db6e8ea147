"""Rotary position embedding (RoPE): pairs of a head's numbers are rotated by angles that grow with the position.

Source: Su et al. 2021, arXiv 2104.09864, in the rotate-half layout of the public LLaMA and Gemma checkpoints.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ojito.config import RopeScaling
from ojito.model.backward import RopeFunction, by_hand

if TYPE_CHECKING:  # shapes are checked by the tests only
    from jaxtyping import Float, Int

CosSin = tuple[Tensor, Tensor]
"""Cosines and sines of the angles, each (B, 1, T, K)."""

_NONE = RopeScaling()


def rope_cos_sin(positions: Int[Tensor, "B T"], head_dim: int, theta: float, scaling: RopeScaling = _NONE) -> CosSin:
    """Cosines and sines of the angles at these positions, in float32.

    The frequencies are computed anew in every forward pass instead of kept in a buffer: they cost microseconds, a model
    built on `meta` cannot lose them, and no `.to(bfloat16)` can round them (by 1.4 radians at position 1024).
    """
    exponents = torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float32) / head_dim
    frequencies = scale_frequencies(1 / theta**exponents, scaling)
    angles = positions[:, None, :, None].float() * frequencies  # (B, 1, T, K/2)
    angles = torch.cat((angles, angles), dim=-1)  # number i is paired with number i + K/2
    return angles.cos(), angles.sin()


def scale_frequencies(frequencies: Float[Tensor, " half"], scaling: RopeScaling) -> Float[Tensor, " half"]:
    """Frequencies, in radians a position, lowered for longer texts.

    Source: "linear" is Chen et al. 2023, arXiv 2306.15595; "llama3" is Llama 3.1's, as in transformers.
    """
    if scaling.kind == "none":
        return frequencies
    slow = frequencies / scaling.factor
    if scaling.kind == "linear":
        return slow
    turns = scaling.original_positions * frequencies / (2 * math.pi)  # within the texts of the first training
    share = ((turns - scaling.low) / (scaling.high - scaling.low)).clamp(0, 1)  # 1: fast, and stays
    return (1 - share) * slow + share * frequencies


def apply_rope(heads: Float[Tensor, "B H T K"], rope: CosSin) -> Float[Tensor, "B H T K"]:
    """Queries or keys, rotated."""
    cos, sin = rope
    if by_hand(heads):
        return RopeFunction.apply(heads, cos.to(heads.dtype), sin.to(heads.dtype))  # type: ignore[no-untyped-call]
    first, second = heads.chunk(2, dim=-1)
    rotated_half = torch.cat((-second, first), dim=-1)
    return heads * cos.to(heads.dtype) + rotated_half * sin.to(heads.dtype)
