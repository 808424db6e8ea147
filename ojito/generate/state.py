"""Generation under way: the rows that run, and how they leave and join."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ojito.generate.beam import BeamSearch
from ojito.generate.choosing import group
from ojito.generate.model import Model
from ojito.generate.rows import FILL, Generation, Row
from ojito.generate.sampling import Sampler
from ojito.model import KVCache
from ojito.records import Batch


@dataclass
class State:
    """Generation under way: everything that `step` needs.

    Attributes:
        rows: The answers, in the order of the prompts; ended ones are dropped when other rows join.
        running: The rows that go on, in the order of the cache. With beams all rows, until the last one has ended.
        model: The model that answers.
        cache: Keys and values of all tokens read, of the rows that run.
        batch: Their tokens to read next, one a row; while `hidden` is there, the tokens read last.
        hidden: (B, D) the last hidden state of each row's prompt; None once it is used.
        eos: Tokens that end a row.
        vocab_size: Ids from this on are never chosen; None means that all may be.
        search: Beams of each row; None where a row has one only, and samples.
        seen: (B, V) bool, the tokens of each row's text; None where no row has a repetition penalty.
        penalties: (B, 1) the rows' repetition penalties. With beams B is the number of all beams.
        samplers: Each sampler with its rows.
    """

    rows: list[Generation]
    running: list[Row]
    model: Model
    cache: KVCache
    batch: Batch
    hidden: Tensor | None
    eos: frozenset[int]
    vocab_size: int | None
    search: BeamSearch | None = None
    seen: Tensor | None = None
    penalties: Tensor | None = None
    samplers: list[tuple[Sampler, list[int]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.samplers = group([row.options for row in self.running])

    @property
    def done(self) -> bool:
        """Whether every row has ended."""
        return all(row.finish for row in self.rows)

    @torch.inference_mode()
    def leave(self) -> None:
        """Let rows that have ended leave, so that nothing is read for them any more; with beams all at once."""
        if self.search is not None:
            self.running = [] if self.done else self.running
            return
        ended = [number for number, row in enumerate(self.running) if row.answer.finish]
        if ended:
            self._take(self.cache.drop(ended))

    @torch.inference_mode()
    def join(self, others: State) -> None:
        """Let the rows of another batch join. Its cache is copied, and of no use afterwards.

        Args:
            others: A batch of the same model, without beams, after its first step.
        """
        # The columns that each row will need: all of its tokens are read but the last.
        needs = [length + row.left for length, row in zip(self.cache.lengths, self.running, strict=True)]
        needs += [
            length - (row.gap.stop - row.gap.start) + row.left
            for length, row in zip(others.cache.lengths, others.running, strict=True)
        ]
        longest = max(needs, default=0)
        if longest > self.cache.capacity:
            longest = max(longest, self.cache.capacity + self.cache.capacity // 4)  # growing moves it all: do so seldom
        self.cache.reserve(len(needs), longest)
        for number, row in enumerate(others.running):
            mine = self.cache.add_row()
            for columns in (slice(row.gap.start), slice(row.gap.stop, others.cache.lengths[number])):
                self.cache.write(mine, others.cache.columns(number, columns))
            row.gap = slice(0, 0)
        self._join_penalties(others)
        self.batch = Batch(
            **{name: torch.cat((getattr(self.batch, name), getattr(others.batch, name))) for name in FILL}
        )
        self.rows = [row for row in self.rows if not row.finish] + others.rows
        self.running = self.running + others.running
        self.samplers = group([row.options for row in self.running])

    def _join_penalties(self, others: State) -> None:
        if self.seen is None and others.seen is None:
            return
        both = []
        for state in (self, others):
            seen, penalties = state.seen, state.penalties
            if seen is None or penalties is None:
                shape = (len(state.running), self.model.config.decoder.vocab_size)
                seen = torch.zeros(shape, dtype=torch.bool, device=self.model.device)
                penalties = torch.ones(len(state.running), 1, device=self.model.device)
            both.append((seen, penalties))
        (seen, penalties), (more_seen, more_penalties) = both
        self.seen, self.penalties = torch.cat((seen, more_seen)), torch.cat((penalties, more_penalties))

    def _take(self, order: Sequence[int]) -> None:
        """Keep these rows, in the order that the cache has them in already."""
        self.running = [self.running[number] for number in order]
        places = torch.tensor(order, dtype=torch.int64, device=self.model.device)
        taken = {name: getattr(self.batch, name)[places] for name in FILL}
        self.batch = dataclasses.replace(self.batch, **taken)
        if self.hidden is not None:
            self.hidden = self.hidden[places]
        if self.seen is not None and self.penalties is not None:
            penalized = any(row.options.repetition_penalty != 1 for row in self.running)
            self.seen, self.penalties = (self.seen[places], self.penalties[places]) if penalized else (None, None)
        self.samplers = group([row.options for row in self.running])
