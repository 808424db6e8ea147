"""The first milestone: an image encoder. Read lesson.md first; `ojito learn check` says what is wrong."""

from collections.abc import Mapping
from types import ModuleType

import torch

PREDICTION = ""  # a, b or c: your answer to the question at the end of lesson.md


def encode(
    images: torch.Tensor,
    weights: dict[str, torch.Tensor],
    layers: int,
    heads: int,
    size: int,
    eps: float,
    parts: Mapping[str, ModuleType],
) -> torch.Tensor:
    """A vision transformer as SigLIP's: pixels to a vector for each patch.

    Args:
        images: Pixels (N, 3, h, w).
        weights: All of them in one dictionary. "patch", "patch_bias" and "positions" are the stem's, which
            `embed_patches` takes; "layers.0.q", "layers.0.norm1" and so on are the first block's, whose names without
            "layers.0." your functions know; "norm" and "norm_bias" are the last norm's.
        layers: Number of blocks.
        heads: Number of heads in each.
        size: Side of a patch, pixels.
        eps: Of all norms.
        parts: Your modules of the lessons "02_patches", "03_attention" and "04_vit_block".

    Returns:
        (N, P, D).
    """
    patches, attention, block = parts["02_patches"], parts["03_attention"], parts["04_vit_block"]
    hidden = ...  # (N, P, D): every patch by itself
    P = hidden.shape[1]
    everywhere = ...  # (P, P): which patch may look at which
    for layer in range(layers):
        prefix = f"layers.{layer}."
        own = ...  # this block's weights without the prefix: "q", "norm1", "up" and all others

        def attend(normed, own=own):
            return ...  # (N, P, D) to (N, P, D)

        hidden = ...  # (N, P, D)
    return ...  # (N, P, D)
