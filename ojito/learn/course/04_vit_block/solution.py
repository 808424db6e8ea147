"""Lesson 4, solved. In the library: ojito/model/vit.py and ojito/model/mlp.py."""

from collections.abc import Callable

import torch
from torch import Tensor

PREDICTION = "b"


def layer_norm(hidden: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Each position's numbers with mean 0 and variance 1, then scaled and moved as was learned.

    Args:
        hidden: (B, T, D).
        weight: (D,), a factor for each number.
        bias: (D,), added to each number.
        eps: Added to the variance, so that nothing is divided by zero.

    Returns:
        (B, T, D).
    """
    centred = hidden - hidden.mean(dim=-1, keepdim=True)  # (B, T, D): mean 0 at every position
    variance = centred.square().mean(dim=-1, keepdim=True)  # (B, T, 1): of each position
    normed = centred / (variance + eps).sqrt()  # (B, T, D): mean 0, variance 1
    return normed * weight + bias


def mlp(hidden: Tensor, weights: dict[str, Tensor]) -> Tensor:
    """Two matrices with GELU, in its tanh form, between them: each position on its own.

    Args:
        hidden: (B, T, D).
        weights: Matrices "up" (F, D) and "down" (D, F) as `torch.nn.functional.linear` takes them, and their biases
            "up_bias" (F,) and "down_bias" (D,).

    Returns:
        (B, T, D).
    """
    linear, gelu = torch.nn.functional.linear, torch.nn.functional.gelu
    raised = linear(hidden, weights["up"], weights["up_bias"])  # (B, T, F): what each of F detectors finds
    active = gelu(raised, approximate="tanh")  # (B, T, F): what was not found is nearly 0
    return linear(active, weights["down"], weights["down_bias"])  # (B, T, D)


def encoder_block(
    hidden: Tensor, weights: dict[str, Tensor], attention: Callable[[Tensor], Tensor], eps: float
) -> Tensor:
    """Attention, then an MLP: each reads a normed copy of the stream, and adds to the stream.

    Args:
        hidden: The stream (B, T, D).
        weights: Those of `mlp`, and "norm1", "norm1_bias", "norm2" and "norm2_bias", each (D,), of the norm before the
            attention and of the one before the MLP.
        attention: From (B, T, D) to (B, T, D).
        eps: Of both norms.

    Returns:
        (B, T, D).
    """
    normed = layer_norm(hidden, weights["norm1"], weights["norm1_bias"], eps)  # (B, T, D): what the attention reads
    hidden = hidden + attention(normed)  # (B, T, D): the stream, with what attention found
    normed = layer_norm(hidden, weights["norm2"], weights["norm2_bias"], eps)  # (B, T, D): what the MLP reads
    return hidden + mlp(normed, weights)  # (B, T, D): the stream, with what the MLP found
