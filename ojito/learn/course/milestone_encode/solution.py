"""The first milestone, solved. In the library: ojito/model/vit.py."""

from collections.abc import Mapping
from types import ModuleType

import torch

PREDICTION = "c"


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
    hidden = patches.embed_patches(images, weights, size)  # (N, P, D): every patch by itself
    P = hidden.shape[1]
    everywhere = torch.ones(P, P).bool()  # (P, P): which patch may look at which
    for layer in range(layers):
        prefix = f"layers.{layer}."
        own = {name.removeprefix(prefix): one for name, one in weights.items() if name.startswith(prefix)}

        def attend(normed, own=own):
            return attention.self_attention(normed, own, heads, everywhere)  # (N, P, D) to (N, P, D)

        hidden = block.encoder_block(hidden, own, attend, eps)  # (N, P, D)
    return block.layer_norm(hidden, weights["norm"], weights["norm_bias"], eps)  # (N, P, D)
