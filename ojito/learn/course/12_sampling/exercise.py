"""Lesson 12: sampling. Read lesson.md first; `ojito learn check` says whether it is right, and what is wrong."""

import torch
from torch import Tensor

PREDICTION = ""  # a, b or c: your answer to the question at the end of lesson.md


def with_temperature(logits: Tensor, temperature: float) -> Tensor:
    """Chances of the tokens: sharper with a temperature below 1, flatter above.

    Args:
        logits: (B, V).
        temperature: Above 0.

    Returns:
        (B, V), each row sums to 1.
    """
    return ...


def top_k(probabilities: Tensor, k: int) -> Tensor:
    """Chances of the k likeliest tokens of each row, and of any that are as likely as the k-th; 0 for all others.

    Args:
        probabilities: (B, V), each row sums to 1.
        k: Tokens to keep, 1 to V.

    Returns:
        (B, V), each row sums to 1 again.
    """
    least = ...  # (B, 1): the least chance that is kept
    kept = ...  # (B, V): with 0 for what is dropped
    return kept / kept.sum(dim=-1, keepdim=True)


def top_p(probabilities: Tensor, p: float) -> Tensor:
    """Chances of the fewest likeliest tokens of each row that reach p together; 0 for all others.

    Args:
        probabilities: (B, V), each row sums to 1.
        p: Above 0, at most 1.

    Returns:
        (B, V), each row sums to 1 again.
    """
    ordered, order = probabilities.sort(dim=-1, descending=True)  # (B, V) each: chances, and the tokens they belong to
    likelier = ...  # (B, V): the sum of the chances before each token in `ordered`
    ordered = ...  # (B, V): with 0 for what is dropped
    kept = ...  # (B, V): each chance at the place of its token
    return ...


def sample(logits: Tensor, temperature: float, p: float, generator: torch.Generator) -> Tensor:
    """Draw the next token of every row.

    Args:
        logits: (B, V).
        temperature: 0 takes the likeliest token.
        p: As for `top_p`, which comes after the temperature.
        generator: Of the random numbers.

    Returns:
        (B,), token ids.
    """
    if temperature == 0:
        return ...  # (B,)
    probabilities = ...  # (B, V): the chances to draw with
    return ...  # (B,)
