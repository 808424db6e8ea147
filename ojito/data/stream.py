"""Sources of two kinds: rows that end, and streams that do not."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

from ojito.records import Sample


@runtime_checkable
class Rows(Protocol):
    """A source that ends, as `Source` does: the rows of a split, shuffled anew for every epoch."""

    name: str
    problems: list[str]

    def samples(self, split: str, limit: int | None = None) -> Sequence[Sample]:
        """Return the rows of a split, at most `limit` of them. They may be read when they are asked for."""
        ...


@runtime_checkable
class Stream(Protocol):
    """A source without end, as `Scenes` is in training: its samples are drawn at random."""

    name: str

    def stream(self, split: str, seed: int) -> Iterator[Sample]:
        """Yield samples without end, the same for the same seed.

        Raises:
            OjitoError: At the call, not with the first sample: this split is not one to draw from.
        """
        ...


class Drawn:
    """Samples of a stream by their number in the run: each step has a stream of its own, so that any can be drawn.

    Args:
        source: The stream.
        split: To draw from.
        seed: Of the run.
        size: Samples of a step.
    """

    def __init__(self, source: Stream, split: str, seed: int, size: int) -> None:
        self._source, self._split, self._seed, self._size = source, split, seed, size
        self._next = 0
        self._samples: Iterator[Sample] | None = None  # what a process of the loader is sent cannot hold one
        self._step(0)  # refuses a wrong split now, rather than there

    def __getitem__(self, number: int) -> Sample:
        """Return one sample; those that follow it in its step come without drawing them anew."""
        step, offset = divmod(number, self._size)
        if self._samples is None or number != self._next or not offset:
            self._samples = itertools.islice(self._step(step), offset, None)
        self._next = number + 1
        return next(self._samples)

    def _step(self, step: int) -> Iterator[Sample]:
        rng = random.Random(f"{self._seed} batch {step}")
        return self._source.stream(self._split, rng.getrandbits(63))
