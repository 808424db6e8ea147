"""Rows: what each was asked, how far its answer has come, and the batches that they are read in."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F

from ojito.errors import OjitoError
from ojito.generate.lookup import Lookup, may_draft
from ojito.generate.options import GenerateOptions
from ojito.generate.stops import Finish, Stop
from ojito.records import IGNORE, IMAGE, PADDING, Batch

FILL = {"tokens": 0, "positions": 0, "segments": PADDING, "prefix": False, "targets": IGNORE}
"""The value of padding in each per-token field of a batch."""


@dataclass
class Generation:
    """The answer of a row.

    Attributes:
        tokens: So far; without the one that ends it.
        finish: Why it ended: the end-of-text token, no more tokens allowed or no position left, a stop text, or nobody
            waits for it any more. None while it goes on.
    """

    tokens: list[int] = field(default_factory=list)
    finish: Finish | None = None


@dataclass(eq=False)
class Row:
    """A row that is being answered.

    Attributes:
        options: How.
        limit: The most tokens of its answer.
        stop: Whether a stop text ends its tokens; None where it has none.
        gap: Columns of the cache in which it has padding in place of tokens.
        lookup: Guesses its next tokens; None where none are to be guessed.
        generator: Its random numbers, on the CPU.
        answer: So far.
    """

    options: GenerateOptions
    limit: int
    stop: Stop | None
    gap: slice
    lookup: Lookup | None
    generator: torch.Generator
    answer: Generation = field(default_factory=Generation)

    @property
    def left(self) -> int:
        """Tokens that it may still get."""
        return self.limit - len(self.answer.tokens)

    def guess(self, most: int) -> list[int]:
        """Return a guess at its next tokens: `most` at most, and few enough for one more to follow."""
        return [] if self.lookup is None else self.lookup.guess(min(most, self.left - 1))

    def add(self, token: int, eos: Collection[int]) -> None:
        """Append a token, and end the row if that ends it."""
        answer = self.answer
        if token in eos:
            answer.finish = "eos"
            return
        answer.tokens.append(token)
        if self.lookup is not None:
            self.lookup.add(token)
        if self.stop is not None and self.stop(answer.tokens):
            answer.finish = "stop"
        elif not self.left:
            answer.finish = "length"


def make_rows(
    batch: Batch,
    options: Sequence[GenerateOptions],
    stops: Sequence[Stop | None],
    gaps: Sequence[slice],
    max_positions: int,
) -> list[Row]:
    """Rows of prompts that are to be answered.

    Args:
        batch: The prompts, padded on the left.
        options: Of each.
        stops: For each, what finds the texts of `options.stop`.
        gaps: Columns of the cache in which each has padding.
        max_positions: Of the decoder.

    Raises:
        OjitoError: Prompts padded on the right, or too long for the decoder's positions.
    """
    limits = limits_of(batch, options, max_positions)
    prompts = [tokens[-count:] for tokens, count in zip(batch.tokens.tolist(), tokens_of(batch), strict=True)]
    return [
        Row(
            options=one,
            limit=limit,
            stop=stop,
            gap=gap,
            lookup=Lookup(prompt, int(one.drafts)) if may_draft(one) else None,
            generator=torch.Generator().manual_seed(int(one.seed)),
        )
        for one, limit, stop, gap, prompt in zip(options, limits, stops, gaps, prompts, strict=True)
    ]


def limits_of(batch: Batch, options: Sequence[GenerateOptions], most: int) -> list[int]:
    """The most new tokens of each row, of a decoder of so many positions.

    Raises:
        OjitoError: As for `make_rows`.
    """
    if bool((batch.segments[:, -1] == PADDING).any()):
        raise OjitoError("batch", "the prompts are padded on the right", "use processor(samples), not training=True")
    lasts = batch.positions[:, -1].tolist()
    limits = [min(int(one.max_new_tokens), most - 1 - last) for one, last in zip(options, lasts, strict=True)]
    if min(limits) < 1:
        raise OjitoError(
            "batch",
            f"a prompt takes {most - min(limits)} positions, which leaves none of the decoder's {most} for an answer",
            "shorten it, or use fewer images",
        )
    return limits


def tokens_of(batch: Batch) -> list[int]:
    """Tokens of each row, padding not counted."""
    counts: list[int] = (batch.segments != PADDING).sum(1).tolist()
    return counts


def last_columns(batch: Batch, counts: Sequence[int]) -> Batch:
    """The last tokens of each row, padded on the left; without images if no image is among them.

    Args:
        batch: Rows, padded on the left.
        counts: How many tokens of each row.
    """
    length = max(counts)
    columns = {name: getattr(batch, name)[:, -length:].clone() for name in FILL}
    for row, count in enumerate(counts):
        for name, value in FILL.items():
            columns[name][row, : length - count] = value
    rest = dataclasses.replace(batch, **columns)
    if not bool((rest.tokens == IMAGE).any()):
        rest = dataclasses.replace(rest, images=None, patches=None, visual=None)
    return rest


def collate(batches: Sequence[Batch]) -> Batch:
    """Several batches as one, padded on the left.

    Args:
        batches: Those with images bring them alike: all as images, all as patches, or all as visual tokens.
    """
    length = max(batch.tokens.shape[1] for batch in batches)
    together: dict[str, Any] = {}
    for name, value in FILL.items():
        columns = [getattr(batch, name) for batch in batches]
        together[name] = torch.cat([F.pad(one, (length - one.shape[1], 0), value=value) for one in columns])
    for name in ("images", "patches", "visual"):
        brought = [one for one in (getattr(batch, name) for batch in batches) if one is not None]
        together[name] = torch.cat(brought) if brought else None
    return Batch(**together)
