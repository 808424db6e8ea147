"""How the next token is chosen from the logits. Samplers are data with one method.

One of your own works as well:

    @dataclass(frozen=True)
    class Gumbel:
        def choose(self, logits, generators):
            noise = torch.stack([torch.empty(logits.shape[-1]).exponential_(generator=g) for g in generators])
            return (logits - noise.log().to(logits.device)).argmax(dim=-1)
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from ojito.errors import OjitoError

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

NEARLY_GREEDY = 1e-5
"""Below this temperature the likeliest token is chosen: float32 does not hold logits that are divided by so little."""


class Sampler(Protocol):
    """A way to choose a token. Samplers that are equal choose for their rows of a batch together."""

    def choose(self, logits: Float[Tensor, "B V"], generators: Sequence[torch.Generator]) -> Int[Tensor, " B"]:
        """Choose the next token of every row.

        Args:
            logits: Float32.
            generators: One a row, on the CPU. Draw for a row from its own alone, and what is chosen for it does not
                depend on the other rows.
        """


@dataclass(frozen=True)
class Greedy:
    """The likeliest token."""

    def choose(self, logits: Float[Tensor, "B V"], generators: Sequence[torch.Generator]) -> Int[Tensor, " B"]:
        """Choose the likeliest token of every row."""
        return logits.argmax(dim=-1)


@dataclass(frozen=True)
class Temperature:
    """Any token, as likely as the model says.

    Attributes:
        temperature: Logits are divided by it: less than 1 sharpens, 0 is greedy.
    """

    temperature: float = 1.0

    def __post_init__(self) -> None:
        _check_temperature(self.temperature)

    def choose(self, logits: Float[Tensor, "B V"], generators: Sequence[torch.Generator]) -> Int[Tensor, " B"]:
        """Draw the next token of every row."""
        return logits.argmax(dim=-1) if self.temperature < NEARLY_GREEDY else draw(self.keep(logits), generators)

    def keep(self, logits: Float[Tensor, "B V"]) -> Float[Tensor, "B V"]:
        """Logits over the temperature."""
        return logits / self.temperature


@dataclass(frozen=True)
class TopK:
    """One of the `k` likeliest tokens.

    Source: Fan et al. 2018, arXiv 1805.04833.

    Attributes:
        k: At least 1.
        temperature: As for `Temperature`.
    """

    k: int
    temperature: float = 1.0

    def __post_init__(self) -> None:
        _check_temperature(self.temperature)
        if not is_whole(self.k):
            raise OjitoError("k", f"{self.k!r} is not a whole number", "use for example 40")
        if self.k < 1:
            raise OjitoError("k", f"{self.k} leaves no token to choose", "use 1 or more, for example 40")

    def choose(self, logits: Float[Tensor, "B V"], generators: Sequence[torch.Generator]) -> Int[Tensor, " B"]:
        """Draw the next token of every row."""
        return logits.argmax(dim=-1) if self.temperature < NEARLY_GREEDY else draw(self.keep(logits), generators)

    def keep(self, logits: Float[Tensor, "B V"]) -> Float[Tensor, "B V"]:
        """Logits over the temperature, -inf where a token is not among the `k` likeliest."""
        return keep_k(logits / self.temperature, self.k)


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
        if not is_number(self.p) or not 0 < self.p <= 1:
            raise OjitoError("p", f"{self.p!r} must be greater than 0 and at most 1", "use for example 0.9")
        if not is_whole(self.k) or self.k < 0:
            raise OjitoError("k", f"{self.k!r} must be 0 (all tokens) or more", "use for example 40")

    def choose(self, logits: Float[Tensor, "B V"], generators: Sequence[torch.Generator]) -> Int[Tensor, " B"]:
        """Draw the next token of every row."""
        return logits.argmax(dim=-1) if self.temperature < NEARLY_GREEDY else draw(self.keep(logits), generators)

    def keep(self, logits: Float[Tensor, "B V"]) -> Float[Tensor, "B V"]:
        """Logits over the temperature, -inf where a token is not kept: first by `k`, then by `p`."""
        logits = keep_k(logits / self.temperature, self.k)
        if self.p == 1:
            return logits
        ordered, order = logits.sort(dim=-1, descending=True, stable=True)
        chances = ordered.softmax(dim=-1)
        dropped = chances.cumsum(dim=-1) - chances >= self.p  # the sum of all likelier tokens reaches p already
        dropped[:, 0] = False  # float32 takes a tiny p for 0
        return logits.masked_fill(torch.zeros_like(dropped).scatter(-1, order, dropped), float("-inf"))


def check_sampler(sampler: Any) -> None:
    """Refuse what is no sampler, such as its name or its class.

    Raises:
        OjitoError: It has no method `choose`, or is a class.
    """
    if isinstance(sampler, type) or not callable(getattr(sampler, "choose", None)):
        remedy = "use Greedy(), Temperature(0.7), TopK(40), TopP(0.9), or an object with a method choose"
        raise OjitoError("sampler", f"{sampler!r} is none", remedy)


def is_greedy(sampler: Sampler) -> bool:
    """Whether a sampler always takes the likeliest token, as far as it tells: by its class, or its temperature."""
    temperature: Any = getattr(sampler, "temperature", None)
    return type(sampler) is Greedy or (is_number(temperature) and bool(temperature < NEARLY_GREEDY))


def keep_k(logits: Float[Tensor, "B V"], k: int) -> Float[Tensor, "B V"]:
    """Logits, -inf where a token is not among the `k` likeliest; 0 keeps all."""
    if not 0 < k < logits.shape[-1]:
        return logits
    return logits.masked_fill(logits < logits.topk(k).values[:, -1:], float("-inf"))


def draw(logits: Float[Tensor, "B V"], generators: Sequence[torch.Generator]) -> Int[Tensor, " B"]:
    """Draw a token for every row, as likely as the logits say, with one number from the row's generator."""
    chances = logits.softmax(dim=-1)
    drawn = torch.cat([torch.rand(1, generator=generator, dtype=torch.float64) for generator in generators])
    # The token at which the running sum passes the number drawn. In float64 the sum of a large vocabulary is exact
    # enough; and as a number drawn is less than 1, no token without a chance is ever the first to pass it.
    total = chances.double().cumsum(dim=-1)
    return (total <= drawn.to(total.device)[:, None] * total[:, -1:]).sum(dim=-1)


def penalize(
    logits: Float[Tensor, "B V"], seen: Bool[Tensor, "B V"], penalty: float | Float[Tensor, "B 1"]
) -> Float[Tensor, "B V"]:
    """Logits, made smaller for tokens that the row's text holds: divided by the penalty, or multiplied.

    Source: CTRL, Keskar et al. 2019, arXiv 1909.05858; negative logits are multiplied, as in transformers.

    Args:
        logits: Of the next token.
        seen: Whether the row's text holds the token.
        penalty: Of all rows, or of each; 1 changes nothing, 1.2 is usual.
    """
    return torch.where(seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits)


def _check_temperature(temperature: Any) -> None:
    if not is_number(temperature) or not 0 <= temperature < float("inf"):
        raise OjitoError("temperature", f"{temperature!r} must be 0 (greedy) or greater", "use for example 0.7")


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number, of Python or NumPy."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether a value is a real number, of Python or NumPy."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
