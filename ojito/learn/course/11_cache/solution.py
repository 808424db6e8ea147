"""Lesson 11, solved. In the library: ojito/model/cache.py, ojito/generate/engine.py."""

from collections.abc import Callable

import torch
from torch import Tensor

PREDICTION = "b"


class Cache:
    """Keys and values of all positions that a decoder has read, layer by layer.

    Attributes:
        keys: (B, G, S, K) of each layer that was updated, by its number: 0, 1, ...
        values: As the keys.
    """

    def __init__(self) -> None:
        self.keys: dict[int, Tensor] = {}
        self.values: dict[int, Tensor] = {}

    @property
    def length(self) -> int:
        """Number of positions S that each layer holds between two passes; 0 before the first."""
        return self.keys[0].shape[2] if self.keys else 0

    def update(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Keep the keys and values of T new positions of one layer.

        Args:
            layer: Its number.
            k: Keys (B, G, T, K).
            v: Values (B, G, T, K).

        Returns:
            Keys and values of all the layer's positions so far, (B, G, S, K) each, in reading order.
        """
        if layer in self.keys:
            k = torch.cat([self.keys[layer], k], dim=2)  # (B, G, S, K): the old ones, then the new ones
            v = torch.cat([self.values[layer], v], dim=2)  # (B, G, S, K)
        self.keys[layer], self.values[layer] = k, v
        return k, v


def generate_greedy(step: Callable[[Tensor, int], Tensor], ids: Tensor, steps: int, eos: int) -> list[list[int]]:
    """Answer prompts of one length, always with the likeliest token.

    Args:
        step: A model with a cache. `step(ids, start)` reads ids (B, t), the first of which is at position `start`, after
            all that it has read before, and returns logits (B, t, V).
        ids: The prompts (B, T).
        steps: Most tokens of an answer.
        eos: The token that ends an answer.

    Returns:
        The tokens of each row's answer, without `eos` and what follows it.
    """
    answers: list[list[int]] = [[] for _ in range(len(ids))]
    ended = torch.zeros(len(ids)).bool()  # (B,)
    start = 0
    for _ in range(steps):
        logits = step(ids, start)  # (B, t, V): what the model makes of ids
        start = start + ids.shape[1]  # where the next token will stand
        ids = logits[:, -1].argmax(dim=-1, keepdim=True)  # (B, 1): the next token of each row, all there is to read
        ended = ended | (ids[:, 0] == eos)  # (B,): rows that have ended, now or before
        for row in (~ended).nonzero().flatten().tolist():
            answers[row].append(int(ids[row, 0]))
        done = ended.all()  # whether there is nothing left to do
        if done:
            break
    return answers
