"""Lesson 8: rotary positions. Read lesson.md first; `ojito learn check` says whether it is right, and what is wrong."""

import torch
from torch import Tensor

PREDICTION = ""  # a, b or c: your answer to the question at the end of lesson.md


def angles(positions: Tensor, head_size: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the angles by which a head's numbers are turned.

    Args:
        positions: Of the tokens (T,), whole numbers in any order.
        head_size: K, which is even.
        theta: Base of the frequencies: pair i turns by theta^(-2 i / K) radians a position.

    Returns:
        Two tensors (T, K) in float32; numbers i and i + K/2 are a pair, and have the same angle.
    """
    exponents = ...  # (K/2,): 0, 2/K, 4/K, ..., below 1
    frequencies = ...  # (K/2,): radians a position, from 1 down
    turned = ...  # (T, K/2): radians
    turned = ...  # (T, K): for both numbers of each pair
    return turned.cos(), turned.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Queries or keys, each turned to its position: (a, b) becomes (a cos - b sin, b cos + a sin).

    Args:
        x: Queries or keys (B, H, T, K).
        cos: Cosines (T, K), as `angles` returns them.
        sin: Sines (T, K).

    Returns:
        (B, H, T, K).
    """
    first, second = x.chunk(2, dim=-1)  # (B, H, T, K/2) each: all a, all b
    partners = ...  # (B, H, T, K): what the sine multiplies
    return ...  # (B, H, T, K)
