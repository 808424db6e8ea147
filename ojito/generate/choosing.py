"""How the rows of a batch get their next tokens from the logits: penalties, masks of allowed tokens, samplers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ojito.errors import OjitoError
from ojito.generate.options import GenerateOptions
from ojito.generate.rows import Row
from ojito.generate.sampling import Sampler
from ojito.records import IMAGE, PADDING, Batch

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int


def group(options: Sequence[GenerateOptions]) -> list[tuple[Sampler, list[int]]]:
    """Each sampler with its rows."""
    groups: list[tuple[Sampler, list[int]]] = []
    for row, one in enumerate(options):
        for sampler, rows in groups:
            if sampler is one.sampler or sampler == one.sampler:
                rows.append(row)
                break
        else:
            groups.append((one.sampler, [row]))
    return groups


def mask_allowed(rows: Sequence[Row], logits: Float[Tensor, "B V"]) -> Float[Tensor, "B V"]:
    """Logits, -inf where a row's `options.allowed` leaves a token out.

    Raises:
        OjitoError: A mask that is none, of another size, or without any token.
    """
    masked = logits
    for number, row in enumerate(rows):
        mask = None if row.options.allowed is None else row.options.allowed(row.answer.tokens)
        if mask is None:
            continue
        size = logits.shape[1]
        if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != (size,):
            found = f"{mask.dtype} {tuple(mask.shape)}" if isinstance(mask, Tensor) else repr(mask)
            raise OjitoError("allowed", f"returned {found}", f"return a bool tensor of {size} tokens, or None for all")
        if not bool(mask.any()):
            problem = f"leaves no token after {len(row.answer.tokens)} tokens of the answer"
            raise OjitoError("allowed", problem, "allow the end-of-text token where the answer is complete")
        masked = logits.clone() if masked is logits else masked
        masked[number].masked_fill_(~mask.to(logits.device), float("-inf"))
    return masked


def choose(
    samplers: Sequence[tuple[Sampler, list[int]]], generators: Sequence[torch.Generator], logits: Float[Tensor, "B V"]
) -> Int[Tensor, " B"]:
    """The next token of every row, each by its own sampler.

    Raises:
        OjitoError: A sampler that returns something else than a token for each of its rows.
    """
    chosen = torch.empty(len(logits), dtype=torch.int64, device=logits.device)
    for sampler, rows in samplers:
        every = len(rows) == len(logits)
        tokens = sampler.choose(logits if every else logits[rows], [generators[row] for row in rows])
        if not isinstance(tokens, Tensor) or tokens.shape != (len(rows),):
            found = tuple(tokens.shape) if isinstance(tokens, Tensor) else repr(tokens)
            raise OjitoError("sampler", f"{sampler!r} returned {found}", f"choose returns a tensor of {len(rows)} ids")
        if every:
            return tokens.to(chosen)
        chosen[rows] = tokens.to(chosen)
    return chosen


def seen_tokens(batch: Batch, vocab_size: int) -> Bool[Tensor, "B V"]:
    """The tokens of each row's text."""
    is_text = (batch.tokens != IMAGE) & (batch.segments != PADDING)
    # One more column takes what is not text.
    seen = torch.zeros(len(batch.tokens), vocab_size + 1, dtype=torch.bool, device=batch.tokens.device)
    return seen.scatter_(1, batch.tokens.where(is_text, vocab_size), True)[:, :vocab_size]


def finite(logits: Float[Tensor, "... V"]) -> Bool[Tensor, ""]:
    """Whether all of them are: found without a mask of them all, and still on their device."""
    lowest, highest = logits.aminmax()  # either is NaN where one is
    return lowest.isfinite() & highest.isfinite()


def check_finite(is_finite: bool) -> None:
    """Refuse logits that are not.

    Raises:
        OjitoError: They are not.
    """
    if not is_finite:
        raise OjitoError("the model's logits", "are not finite", "its weights are damaged, or too large for float16")
