"""START HERE: answers token by token. The images and the prompt are read once, then one token a row and step."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from ojito.generate.sampling import Greedy, Sampler, check_sampler, choose, penalize
from ojito.model import VLM, KVCache
from ojito.records import IMAGE, PADDING, Batch

Finish = Literal["eos", "length", "stop"]
Stop = Callable[[int, list[int]], bool]


@dataclass
class Generation:
    """What a row says.

    Attributes:
        tokens: So far; without the one that ends it.
        finish: Why it ended: the end-of-text token, no more tokens allowed or no position left, or `stop`. None while
            it goes on.
    """

    tokens: list[int] = field(default_factory=list)
    finish: Finish | None = None


def generate(model: VLM, batch: Batch, **options: Any) -> list[Generation]:
    """The finished rows. Takes the arguments of `stream`."""
    *_, rows = stream(model, batch, **options)
    return rows


@torch.inference_mode()
def stream(
    model: VLM,
    batch: Batch,
    *,
    eos: int | Collection[int],
    max_new_tokens: int = 64,
    sampler: Sampler = Greedy(),  # noqa: B008 - frozen
    repetition_penalty: float = 1.0,
    stop: Stop | None = None,
    seed: int = 0,
    vocab_size: int | None = None,
) -> Iterator[list[Generation]]:
    """The rows after every step: always the same list, which grows.

    A row is the same whatever rows it is batched with, sampled or not: row i draws from a generator of its own,
    seeded with `seed + i`.

    Args:
        model: Put into evaluation mode meanwhile.
        batch: Prompts, padded on the left, as `processor(samples)` makes them.
        eos: The token that ends a row, or several, any of which does.
        max_new_tokens: The most tokens a row gets; fewer where the decoder has no more positions.
        sampler: How a token is chosen.
        repetition_penalty: On tokens that the row's text, prompt included, holds already; see `penalize`.
        stop: Asked after every token, with the row's number and its tokens, whether the row ends there.
        seed: Of row 0; no row's reaches 2**63.
        vocab_size: Ids from this on are no tokens and never chosen; None means that all are.

    Raises:
        ValueError: An argument out of range, prompts padded on the right or too long for the decoder's positions, or
            logits that are not finite.
    """
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens={max_new_tokens} generates nothing; use 1 or more")
    if not 0 < repetition_penalty < float("inf"):
        raise ValueError(f"repetition_penalty={repetition_penalty} must be greater than 0; 1 is none, 1.2 is usual")
    check_sampler(sampler)
    if not -(2**63) <= seed <= 2**63 - len(batch.tokens):
        raise ValueError(f"seed={seed} is beyond what a random generator takes; use for example 0 to {2**32 - 1}")
    ends = {eos} if isinstance(eos, int) else set(eos)
    limits = _limits(model, batch, max_new_tokens)
    num_rows, length = batch.tokens.shape
    weight = model.decoder.embedding.weight
    batch = batch.to(weight.device)
    generators = [torch.Generator().manual_seed(seed + row) for row in range(num_rows)]
    rows = [Generation() for _ in range(num_rows)]
    cache = KVCache(model.config.decoder, num_rows, length + max(limits) - 1, weight.dtype, weight.device)
    seen = _seen(batch, model.config.decoder.vocab_size) if repetition_penalty != 1 else None

    with evaluating(model):
        while True:
            # Only the last place of a row says how it goes on: the head is spared for all others.
            logits = model.head(model.features(batch, cache)[:, -1])[:, :vocab_size]  # (B, V)
            if not bool(logits.isfinite().all()):
                raise ValueError("the model's logits are not finite; its weights are damaged, or too large for float16")
            if seen is not None:
                logits = penalize(logits, seen[:, :vocab_size], repetition_penalty)
            tokens = choose(logits, sampler, generators)
            if seen is not None:
                seen.scatter_(1, tokens[:, None], True)
            for i, (row, token) in enumerate(zip(rows, tokens.tolist(), strict=True)):
                if row.finish is None:
                    row.finish = _add(row, token, ends, limits[i], stop, i)
            yield rows
            if all(row.finish for row in rows):
                return
            batch = _next(batch, tokens, model.config.decoder.max_positions - 1)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode; afterwards every module in the mode it had (frozen parts do not train)."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _limits(model: VLM, batch: Batch, max_new_tokens: int) -> list[int]:
    """The most new tokens of each row."""
    if bool((batch.segments[:, -1] == PADDING).any()):
        raise ValueError("the prompts are padded on the right; make them with processor(samples), not training=True")
    most = model.config.decoder.max_positions
    limits = [min(max_new_tokens, most - 1 - last) for last in batch.positions[:, -1].tolist()]
    if min(limits) < 1:
        raise ValueError(
            f"a prompt takes {most - min(limits)} positions, which leaves none of the decoder's {most} for an answer; "
            "shorten it, or use fewer images"
        )
    return limits


def _seen(batch: Batch, vocab_size: int) -> torch.Tensor:
    """(B, V) bool: the tokens of each row's text."""
    is_text = (batch.tokens != IMAGE) & (batch.segments != PADDING)
    # One more column takes what is not text.
    seen = torch.zeros(len(batch.tokens), vocab_size + 1, dtype=torch.bool, device=batch.tokens.device)
    return seen.scatter_(1, batch.tokens.where(is_text, vocab_size), True)[:, :vocab_size]


def _add(row: Generation, token: int, ends: set[int], limit: int, stop: Stop | None, number: int) -> Finish | None:
    """Gives a row its token; says whether that was the last."""
    if token in ends:
        return "eos"
    row.tokens.append(token)
    if stop and stop(number, row.tokens):
        return "stop"
    return "length" if len(row.tokens) >= limit else None


def _next(batch: Batch, tokens: torch.Tensor, last: int) -> Batch:
    """The tokens just chosen, as the batch to read next: each goes on in the segment of the one before.

    A row that has finished is read on along with the others, and nobody looks at what it says. Where it finished
    because there is no position after the `last`, it stays there.
    """
    return Batch(
        tokens=tokens[:, None],
        positions=(batch.positions[:, -1:] + 1).clamp(max=last),
        segments=batch.segments[:, -1:],
        prefix=torch.zeros_like(batch.prefix[:, -1:]),
        targets=batch.targets[:, -1:],
    )
