"""Lesson 9, solved. In the library: ojito/model/norms.py, mlp.py, attention.py and decoder.py."""

from collections.abc import Callable

import torch
from torch import Tensor

PREDICTION = "c"


def rms_norm(hidden: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Gemma's norm: each position divided by its root mean square, times 1 + weight; all of it in float32.

    Args:
        hidden: The stream (B, T, D), in any dtype.
        weight: (D,), in the same dtype, which may be bfloat16; 0 changes nothing.
        eps: Added to the mean square, under the root.

    Returns:
        (B, T, D), in the dtype of `hidden`.
    """
    x = hidden.float()
    mean_square = x.square().mean(dim=-1, keepdim=True)  # (B, T, 1), float32: of each position
    x = x / torch.sqrt(mean_square + eps)  # (B, T, D), float32: of root mean square 1
    return (x * (1 + weight.float())).to(hidden.dtype)  # (B, T, D), in the dtype of hidden


def geglu(hidden: Tensor, weights: dict[str, Tensor]) -> Tensor:
    """Gated MLP: down(gelu(gate(hidden)) * up(hidden)).

    Args:
        hidden: (B, T, D).
        weights: "gate" and "up" (F, D), "down" (D, F), as `torch.nn.functional.linear` takes them; no biases.

    Returns:
        (B, T, D).
    """
    linear = torch.nn.functional.linear
    gate = torch.nn.functional.gelu(linear(hidden, weights["gate"]), approximate="tanh")  # (B, T, F): how much passes
    up = linear(hidden, weights["up"])  # (B, T, F): of this
    return linear(gate * up, weights["down"])  # (B, T, D)


def grouped_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Attention in which H / G neighbouring query heads share one head of keys and values.

    Args:
        q: Queries (B, H, T, K).
        k: Keys (B, G, S, K); G divides H.
        v: Values (B, G, S, K).
        mask: (T, S) or (B, 1, T, S), True where a query may attend to a key.

    Returns:
        (B, H, T, K).
    """
    shared = q.shape[1] // k.shape[1]  # query heads of one key head
    k = k.repeat_interleave(shared, dim=1)  # (B, H, S, K): for each query head its keys
    v = v.repeat_interleave(shared, dim=1)  # (B, H, S, K): and its values
    scores = (q @ k.transpose(-2, -1)) / q.shape[-1] ** 0.5  # (B, H, T, S): scaled
    scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(dim=-1) @ v  # (B, H, T, K)


def decoder_block(
    hidden: Tensor, weights: dict[str, Tensor], attention: Callable[[Tensor], Tensor], eps: float
) -> Tensor:
    """One layer: each of its two branches reads the normalized stream, and adds to the stream.

    Args:
        hidden: The stream (B, T, D).
        weights: Of the norms before attention and MLP, "norm1" and "norm2", (D,) each; and the MLP's, for `geglu`.
        attention: What attends: (B, T, D) to (B, T, D).
        eps: Of the norms.

    Returns:
        (B, T, D).
    """
    hidden = hidden + attention(rms_norm(hidden, weights["norm1"], eps))  # (B, T, D): after the first branch
    return hidden + geglu(rms_norm(hidden, weights["norm2"], eps), weights)  # (B, T, D): after the second
