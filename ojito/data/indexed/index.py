"""An index: where each row of a file stands, and the little that has to be known of it before it is read."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ojito.data.files import DataError
from ojito.data.indexed.facts import Facts

Numbers = NDArray[Any]
_MOST_SPLITS = 255


def _none() -> Numbers:
    return np.zeros(0, np.int64)


@dataclass(frozen=True)
class Index:
    """What is known of the rows of a file. R rows.

    Attributes:
        starts: (R + 1,) int64: where each row begins, bytes, and where the last one ends; empty where rows have no
            place of their own.
        splits: (R,) uint8: the split of each row, by its number in `names`; empty where all have the first one.
        names: Names of the splits; "" for rows that name none.
        images: (I,) uint64: a digest of the name of each image, row after row.
        image_starts: (R + 1,) int64: where the images of each row begin in `images`; empty where each row has one.
        several: (S,) int64: the rows that make several samples, or may make them.
        samples: (S, 3) int64: how many, in each of `facts.WAYS` of reading them.
        bad: (B,) int64: the rows that are known to be bad.
        blanks: (K,) int64: for each empty line, the number of rows before it.
        rows: R, where `starts` is empty.
    """

    starts: Numbers = field(default_factory=_none)
    splits: Numbers = field(default_factory=_none)
    names: tuple[str, ...] = ("",)
    images: Numbers = field(default_factory=_none)
    image_starts: Numbers = field(default_factory=_none)
    several: Numbers = field(default_factory=_none)
    samples: Numbers = field(default_factory=_none)
    bad: Numbers = field(default_factory=_none)
    blanks: Numbers = field(default_factory=_none)
    rows: int = 0

    def __len__(self) -> int:
        return len(self.starts) - 1 if len(self.starts) else self.rows

    def arrays(self) -> dict[str, Numbers]:
        """The arrays by their names."""
        return {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}

    def line(self, row: int) -> int:
        """The number of a row's line, counted from 1, in a file with a row a line."""
        return row + 1 + int(np.searchsorted(self.blanks, row, side="right"))


class IndexBuilder:
    """Collects what becomes an index.

    Args:
        name: Of the file, for messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._starts, self._splits = array("q"), array("B")
        self._names: dict[str, int] = {"": 0}
        self._images, self._image_starts = array("Q"), array("q", [0])
        self._several, self._samples = array("q"), array("q")
        self._bad, self._blanks = array("q"), array("q")
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def add(self, start: int, facts: Facts | None) -> None:
        """Add a row.

        Args:
            start: Where it begins, bytes.
            facts: What is known of it; None of a bad row.

        Raises:
            DataError: It is of one split too many.
        """
        self._starts.append(start)
        if facts is None:
            self._bad.append(self._rows)
            self._splits.append(0)
        else:
            self._splits.append(self._split(facts.split))
            self._images.extend(facts.images)
            if facts.samples:
                self._several.append(self._rows)
                self._samples.extend(facts.samples)
        self._image_starts.append(len(self._images))
        self._rows += 1

    def skip_line(self) -> None:
        """Count an empty line."""
        self._blanks.append(self._rows)

    def build(self, end: int) -> Index:
        """Return the index.

        Args:
            end: Where the last row ends, bytes.
        """
        self._starts.append(end)
        image_starts = np.asarray(self._image_starts)
        one_each = len(self._images) == self._rows and bool((np.diff(image_starts) == 1).all())
        return Index(
            np.asarray(self._starts),
            np.asarray(self._splits) if len(self._names) > 1 else _none(),
            tuple(self._names),
            np.asarray(self._images),
            _none() if one_each or not self._images else image_starts,
            np.asarray(self._several),
            np.asarray(self._samples).reshape(-1, 3),
            np.asarray(self._bad),
            np.asarray(self._blanks),
        )

    def _split(self, name: str) -> int:
        if name not in self._names:
            if len(self._names) > _MOST_SPLITS:
                problem = f"names more than {_MOST_SPLITS} splits, {name!r} among them"
                raise DataError(self._name, problem, "name the key otherwise, if it is no split")
            self._names[name] = len(self._names)
        return self._names[name]
