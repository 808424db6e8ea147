"""Rows that are read when they are asked for, as a sequence of samples."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Union

import numpy as np

from ojito.data.indexed.index import Numbers
from ojito.data.sample_sequence import SampleSequence
from ojito.records import Sample

Places = Union[range, Numbers]
"""Numbers of rows, in order; a row that makes several samples is there as often."""


class LazyRows(SampleSequence):
    """Samples of large data. Cheap to count and to pick from; going through all of them takes as long as reading them.

    Args:
        read: Returns the samples of a row, by its number.
        places: The numbers of the rows.
        split: The split that all samples get; "" leaves them theirs.
    """

    def __init__(self, read: Callable[[int], list[Sample]], places: Places, split: str = "") -> None:
        self._read, self._places, self._split = read, places, split

    def __len__(self) -> int:
        return len(self._places)

    def sample(self, number: int) -> Sample:
        """Read the sample of a number."""
        row = int(self._places[number])
        samples = self._read(row)
        which = number - int(np.searchsorted(self._places, row)) if len(samples) > 1 else 0
        sample = samples[min(which, len(samples) - 1)]
        return replace(sample, split=self._split) if self._split else sample


def is_lazy(rows: Sequence[Sample]) -> bool:
    """Whether rows are read when they are asked for, so that to go through all of them may take long."""
    return isinstance(rows, LazyRows) or any(map(is_lazy, getattr(rows, "parts", ())))


def drawn_rows(rows: Sequence[Sample], most: int) -> Sequence[Sample]:
    """Return all rows; of large data, so many that are spread over all of them.

    Args:
        rows: The rows of a source.
        most: How many.
    """
    if not is_lazy(rows):
        return rows
    count = min(most, len(rows))
    draw = random.Random(f"{count} of {len(rows)}")  # one of each part: every n-th row may always be of one kind
    return [rows[int((part + draw.random() * (count < len(rows))) * len(rows) / count)] for part in range(count)]
