"""How the next token is chosen from the logits: samplers are data, and every row has random numbers of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Union, get_args

import torch
from torch import Tensor


@dataclass(frozen=True)
class Greedy:
    """The likeliest token."""


@dataclass(frozen=True)
class Temperature:
    """Any token, as likely as the model says.

    Attributes:
        temperature: Logits are divided by it: less than 1 sharpens, 0 is greedy.
    """

    temperature: float = 1.0

    def __post_init__(self) -> None:
        _check_temperature(self.temperature)


@dataclass(frozen=True)
class TopK:
    """One of the `k` likeliest tokens.

    Source: Fan et al. 2018, arXiv 1805.04833.
    """

    k: int
    temperature: float = 1.0

    def __post_init__(self) -> None:
        _check_temperature(self.temperature)
        if self.k < 1:
            raise ValueError(f"k={self.k} leaves no token to choose; use 1 or more, for example 40")


@dataclass(frozen=True)
class TopP:
    """One of the fewest tokens that together are at least as likely as `p`; the one that reaches `p` is among them.

    Source: nucleus sampling, Holtzman et al. 2019, arXiv 1904.09751.

    Attributes:
        p: Greater than 0, at most 1.
        temperature: As for `Temperature`; applied first.
        k: Keeps the `k` likeliest before that; 0 keeps all.
    """

    p: float
    temperature: float = 1.0
    k: int = 0

    def __post_init__(self) -> None:
        _check_temperature(self.temperature)
        if not 0 < self.p <= 1:
            raise ValueError(f"p={self.p} must be greater than 0 and at most 1, for example 0.9")
        if self.k < 0:
            raise ValueError(f"k={self.k} must be 0 (all tokens) or more, for example 40")


Sampler = Union[Greedy, Temperature, TopK, TopP]


def check_sampler(sampler: Any) -> None:
    """Refuses what is no sampler, its name among it.

    Raises:
        ValueError: It is none.
    """
    if not isinstance(sampler, get_args(Sampler)):
        raise ValueError(f"sampler={sampler!r} is none; use Greedy(), Temperature(0.7), TopK(40) or TopP(0.9)")


def choose(logits: Tensor, sampler: Sampler, generators: Sequence[torch.Generator]) -> Tensor:
    """The next token of every row.

    Args:
        logits: (B, V) float32.
        sampler: How to choose.
        generators: One a row, on the CPU. Each gives one number, so that a row's choice does not depend on the others.

    Returns:
        (B,) int64.
    """
    if isinstance(sampler, Greedy) or sampler.temperature == 0:
        return logits.argmax(dim=-1)
    chances = keep(logits, sampler).softmax(dim=-1)
    drawn = torch.cat([torch.rand(1, generator=generator, dtype=torch.float64) for generator in generators])
    # The token at which the running sum passes the number drawn. In float64 the sum of a large vocabulary is exact
    # enough; and as a number drawn is less than 1, no token without a chance is ever the first to pass it.
    total = chances.double().cumsum(dim=-1)
    return (total <= drawn.to(total.device)[:, None] * total[:, -1:]).sum(dim=-1)


def keep(logits: Tensor, sampler: Sampler) -> Tensor:
    """Logits (B, V) over the temperature, -inf where a token may not be chosen: temperature, then k, then p."""
    if isinstance(sampler, Greedy):
        return logits
    logits = logits / sampler.temperature
    k = getattr(sampler, "k", 0)
    if 0 < k < logits.shape[-1]:
        least = logits.topk(k).values[:, -1:]
        logits = logits.masked_fill(logits < least, float("-inf"))
    if isinstance(sampler, TopP) and sampler.p < 1:
        ordered, order = logits.sort(dim=-1, descending=True, stable=True)
        chances = ordered.softmax(dim=-1)
        before = chances.cumsum(dim=-1) - chances  # of all likelier tokens
        dropped = torch.zeros_like(before, dtype=torch.bool).scatter(-1, order, before >= sampler.p)
        logits = logits.masked_fill(dropped, float("-inf"))
    return logits


def penalize(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Logits (B, V) with those of tokens that were there before made smaller: divided by the penalty, or multiplied.

    Source: CTRL, Keskar et al. 2019, arXiv 1909.05858; negative logits are multiplied, as in transformers.

    Args:
        logits: (B, V).
        seen: (B, V) bool: in the row's text.
        penalty: Greater than 0; 1 changes nothing, 1.2 is usual.
    """
    return torch.where(seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits)


def _check_temperature(temperature: float) -> None:
    if not 0 <= temperature < float("inf"):
        raise ValueError(f"temperature={temperature} must be 0 (greedy) or greater, for example 0.7")
