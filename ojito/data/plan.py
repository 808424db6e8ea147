"""The plan of a run's batches, before any image is read: which samples make which row of which batch.

It knows no ranks and no processes. Whoever reads a batch gets its part of the plan, so that a batch is the same however
many read it; and a plan goes on from any place of it, which two numbers tell.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from ojito.data.mixture import MixedOrder
from ojito.data.order import Order, Shuffled
from ojito.data.packing import pack

_WINDOW = 128  # packed rows that samples are put into at once
_LEAST = 32  # of them, at least, even if a sample then comes twice: the last of a window may be half empty

Place = tuple[int, int]
"""Number of a sample in the run, and of its row in the source."""


@dataclass(frozen=True)
class Position:
    """A place in the plan.

    Attributes:
        sample: Number of the next sample in the run; with packing, of the first one of the window.
        packed: Rows of that window that are done.
    """

    sample: int = 0
    packed: int = 0


@dataclass(frozen=True)
class Planned:
    """A micro-batch of all ranks together.

    Attributes:
        rows: The samples of each row.
        after: Where the plan goes on.
    """

    rows: list[list[Place]]
    after: Position


class Plan(Protocol):
    """Micro-batches without end."""

    def __call__(self, start: Position) -> Iterator[Planned]:
        """Yield the micro-batches from a place on."""
        ...


class Singles:
    """The plan of rows that are one sample each.

    Args:
        order: Of the samples.
        size: Rows of a micro-batch.
    """

    def __init__(self, order: Order, size: int) -> None:
        self._order, self._size = order, size

    def __call__(self, start: Position) -> Iterator[Planned]:
        """As for `Plan`."""
        for first in itertools.count(start.sample, self._size):
            places = enumerate(self._order(first, self._size), first)
            yield Planned([[place] for place in places], Position(first + self._size))


@dataclass(frozen=True)
class Window:
    """Packed rows that were planned together.

    Attributes:
        first: Number of its first sample in the run.
        after: Number of the first one after it.
        rows: The samples of each row.
    """

    first: int
    after: int
    rows: list[list[Place]]


class Windows(Iterator[Window]):
    """Samples in random order, gathered until they fill a window of rows, and packed into these.

    A window is planned from its first sample alone, and no sample is left over for the next one. Its rows get a random
    order.

    Args:
        order: Of the samples.
        length: Tokens of a sample, told without its images; 0 of one that whoever reads it will refuse.
        capacity: Tokens of a packed row.
        seed: Of the order of packed rows.
        first: Number of the first sample.
    """

    def __init__(
        self, order: Shuffled | MixedOrder, length: Callable[[int, int], int], capacity: int, seed: int, first: int
    ) -> None:
        self._order, self._length, self._capacity, self._seed = order, length, capacity, seed
        self._first = first

    def __next__(self) -> Window:
        first = self._first
        places, lengths = self._gather(first)
        rows = [[places[sample] for sample in row] for row in pack(lengths, self._capacity)]
        random.Random(f"{self._seed} window {first}").shuffle(rows)
        self._first += len(places)
        return Window(first, self._first, rows)

    def _gather(self, first: int) -> tuple[list[Place], list[int]]:
        """The samples of a window, and their lengths: of no more than an epoch if that fills enough rows."""
        places: list[Place] = []
        lengths: list[int] = []
        tokens = 0
        while tokens < (_WINDOW - 0.5) * self._capacity:  # a little more than whole rows would leave the last one empty
            number = first + len(places)
            (row,) = self._order(number, 1)
            places.append((number, row))
            lengths.append(self._length(number, row))
            tokens += lengths[-1] or self._capacity  # nothing but samples that will be refused are a window, too
            if len(places) >= self._order.rows and tokens >= _LEAST * self._capacity:
                break
        return places, lengths


class Packs:
    """The plan of rows that hold as many samples as fit.

    Args:
        windows: Packed rows from a sample on.
        size: Packed rows of a micro-batch.
    """

    def __init__(self, windows: Callable[[int], Iterator[Window]], size: int) -> None:
        self._windows, self._size = windows, size

    def __call__(self, start: Position) -> Iterator[Planned]:
        """As for `Plan`."""
        rows = self._rows(start)
        while True:
            taken = [*itertools.islice(rows, self._size)]
            yield Planned([row for row, _ in taken], taken[-1][1])

    def _rows(self, start: Position) -> Iterator[tuple[list[Place], Position]]:
        """Each packed row with the place after it."""
        done = start.packed
        for window in self._windows(start.sample):
            for number in range(done, len(window.rows)):
                last = number + 1 == len(window.rows)
                yield window.rows[number], Position(window.after) if last else Position(window.first, number + 1)
            done = 0
