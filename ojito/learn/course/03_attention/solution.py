"""Lesson 3, solved. In the library: ojito/model/attention.py."""

import torch
from torch import Tensor

PREDICTION = "b"


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """For each query, the weighted mean of the values: softmax(q k^T / sqrt(K)) v.

    Args:
        q: Queries (B, H, T, K).
        k: Keys (B, H, S, K).
        v: Values (B, H, S, K).
        mask: (T, S), True where a query may attend to a key.

    Returns:
        (B, H, T, K).
    """
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5  # (B, H, T, S): how well each query fits each key
    scores = scores.masked_fill(~mask, float("-inf"))  # what must not be attended to fits not at all
    weights = scores.softmax(dim=-1)  # (B, H, T, S): the weights of one query sum to 1
    return weights @ v


def split_heads(hidden: Tensor, heads: int) -> Tensor:
    """Cut the width into heads: (B, T, D) to (B, H, T, D / H)."""
    B, T, D = hidden.shape
    return hidden.view(B, T, heads, D // heads).transpose(1, 2)


def self_attention(hidden: Tensor, weights: dict[str, Tensor], heads: int, mask: Tensor) -> Tensor:
    """Multi-head attention of a sequence to itself.

    Args:
        hidden: The sequence (B, T, D).
        weights: Matrices "q", "k", "v" and "out", each (D, D) as `torch.nn.functional.linear` takes them, and their
            biases "q_bias", "k_bias", "v_bias" and "out_bias", each (D,).
        heads: Number of heads.
        mask: (T, T), True where a position may attend to another.

    Returns:
        (B, T, D).
    """
    linear = torch.nn.functional.linear
    q = split_heads(linear(hidden, weights["q"], weights["q_bias"]), heads)
    k = split_heads(linear(hidden, weights["k"], weights["k_bias"]), heads)
    v = split_heads(linear(hidden, weights["v"], weights["v_bias"]), heads)
    gathered = attend(q, k, v, mask)  # (B, H, T, K)
    joined = gathered.transpose(1, 2).flatten(2)  # (B, T, D): the heads side by side again
    return linear(joined, weights["out"], weights["out_bias"])
