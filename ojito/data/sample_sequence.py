"""Samples that are made when they are asked for, as a sequence."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import overload

from ojito.records import Sample


class SampleSequence(Sequence[Sample]):
    """A sequence of samples; a subclass says how many there are, and makes the one of a number."""

    @abstractmethod
    def sample(self, number: int) -> Sample:
        """Return the sample of a number from 0 on, which is there."""

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Sample]: ...

    def __getitem__(self, index: int | slice) -> Sample | Sequence[Sample]:
        if isinstance(index, slice):
            return [self.sample(number) for number in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self.sample(index % len(self))

    def __iter__(self) -> Iterator[Sample]:
        return map(self.sample, range(len(self)))
