"""Lesson 3: attention. Read lesson.md first; `ojito learn check` says whether it is right, and what is wrong."""

import torch
from torch import Tensor

PREDICTION = ""  # a, b or c: your answer to the question at the end of lesson.md


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
    scores = ...  # (B, H, T, S): how well each query fits each key
    scores = ...  # what must not be attended to fits not at all
    weights = ...  # (B, H, T, S): the weights of one query sum to 1
    return ...


def split_heads(hidden: Tensor, heads: int) -> Tensor:
    """Cut the width into heads: (B, T, D) to (B, H, T, D / H)."""
    B, T, D = hidden.shape
    return ...


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
    k = ...
    v = ...
    gathered = attend(q, k, v, mask)  # (B, H, T, K)
    joined = ...  # (B, T, D): the heads side by side again
    return ...
