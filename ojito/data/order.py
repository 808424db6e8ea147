"""The order of a run's samples: which row each of them is, epoch after epoch, and which of them share a batch.

An order is a function of the seed and the number of the sample alone, so that a run can be gone on with anywhere. No
more of it is held than the epoch's permutation, 4 bytes a row, and the lengths of the rows that are sorted together.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from ojito.data.mixture import MixedRows
from ojito.records import Sample

_BUCKET = 16  # batches in which rows are sorted by length


class Order(Protocol):
    """The rows of samples, by their numbers in the run."""

    def __call__(self, start: int, count: int) -> list[int]:
        """Return the rows of `count` samples from number `start` on."""
        ...


class Counted:
    """The order of a stream, whose samples have no other number than that in the run."""

    def __call__(self, start: int, count: int) -> list[int]:
        """As for `Order`."""
        return [*range(start, start + count)]


class Shuffled:
    """Rows epoch after epoch, each in a random order of its own.

    Args:
        rows: How many there are.
        seed: Of the orders.
    """

    def __init__(self, rows: int, seed: int) -> None:
        self.rows, self._seed = rows, seed
        self._epoch = -1
        self._permutation: np.ndarray = np.empty(0, np.uint32)

    def __call__(self, start: int, count: int) -> list[int]:
        """As for `Order`."""
        found: list[int] = []
        while len(found) < count:
            epoch, offset = divmod(start + len(found), self.rows)
            found += self.of_epoch(epoch)[offset : offset + count - len(found)].tolist()
        return found

    def of_epoch(self, epoch: int) -> np.ndarray:
        """Every row once."""
        if self._epoch != epoch:
            seed = random.Random(f"{self._seed} epoch {epoch}").getrandbits(128)
            order = np.arange(self.rows, dtype=np.uint32 if self.rows <= 2**32 else np.uint64)
            np.random.Generator(np.random.PCG64(seed)).shuffle(order)
            self._epoch, self._permutation = epoch, order
        return self._permutation


class ByLength:
    """Rows in random order, except that those with about as much text share a batch.

    What is padded to the longest row of a batch costs as much as what is not: so of every few hundred rows in random
    order, those of one length go together, and these batches have a random order. A batch may reach over the end of an
    epoch into the next.

    Args:
        rows: All rows of the split. Those of a mixture have an order of their own, which knows no epochs.
        seed: Of the orders.
        size: Rows of a batch.
    """

    def __init__(self, rows: Sequence[Sample], seed: int, size: int) -> None:
        self._rows, self._seed, self._size = rows, seed, size
        self._mixed = rows.order(seed) if isinstance(rows, MixedRows) else None
        self._shuffled = Shuffled(len(rows), seed)
        self._bucket: tuple[tuple[int, int], list[int]] = ((-1, -1), [])

    def __call__(self, start: int, count: int) -> list[int]:
        """As for `Order`."""
        if self._mixed:
            return [self._row(0, number) for number in range(start, start + count)]
        return [self._row(*divmod(number, len(self._rows))) for number in range(start, start + count)]

    def _row(self, epoch: int, offset: int) -> int:
        begun = -epoch * len(self._rows) % self._size  # rows of a batch that the epoch before began
        if offset < begun:
            return int(self._shuffled.of_epoch(epoch)[offset])
        bucket, place = divmod(offset - begun, _BUCKET * self._size)
        if self._bucket[0] != (epoch, bucket):
            first = begun + bucket * _BUCKET * self._size
            count = _BUCKET * self._size
            rows = self._mixed(first, count) if self._mixed else self._of_epoch(epoch, first, count)
            self._bucket = (epoch, bucket), [*self._sorted(rows, f"{self._seed} epoch {epoch} bucket {bucket}")]
        return self._bucket[1][place]

    def _of_epoch(self, epoch: int, first: int, count: int) -> list[int]:
        return list(self._shuffled.of_epoch(epoch)[first : first + count].tolist())

    def _sorted(self, rows: list[int], seed: str) -> Iterator[int]:
        """The rows in batches of about one length; what is left over, less than a batch, comes last."""
        rows = sorted(rows, key=self._length)
        batches = [rows[start : start + self._size] for start in range(0, len(rows), self._size)]
        last = [] if len(batches[-1]) == self._size else batches.pop()
        random.Random(seed).shuffle(batches)
        return itertools.chain(*batches, last)

    def _length(self, row: int) -> int:
        """Characters of a row's text."""
        return sum(len(text) for turn in self._rows[row].turns for text in (turn.prompt, *turn.answers))
