"""A source: rows to learn from or to be scored on."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from ojito.data.files import DataError
from ojito.data.splits import split_name
from ojito.records import Sample


@dataclass
class Source:
    """Rows to learn from or to be scored on.

    Attributes:
        name: Where they come from, for messages.
        rows: The good rows; those about one image are one.
        problems: The bad rows, "captions.jsonl:12: what is wrong; what to do".
        form: The form of the data, "JSON Lines".
        total: Rows as the data have them, the bad ones among them.
        turns: How questions, captions and conversations are read, in one line.
        notes: What was passed over, and why.
    """

    name: str
    rows: Sequence[Sample]
    problems: list[str] = field(default_factory=list)
    form: str = ""
    total: int = 0
    turns: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def splits(self) -> dict[str, int]:
        """Rows of each split; a row that names none belongs to "train"."""
        return dict(Counter(row.split or "train" for row in self.rows))

    def samples(self, split: str, limit: int | None = None, seed: int = 0) -> Sequence[Sample]:
        """Return the rows of a split, in their order.

        Args:
            split: Its name; val, valid and validation are "dev".
            limit: How many at most; None for all. Where there are more, they are drawn.
            seed: Decides which are drawn: the first rows of a file are seldom like the others.

        Raises:
            DataError: There are none.
        """
        found = [row for row in self.rows if (row.split or "train") in (split, split_name(split))]
        if not found:
            raise self.lacks(split)
        if limit is None or limit >= len(found):
            return found
        return [found[number] for number in draw(len(found), limit, f"{seed} rows of {split}")]

    def lacks(self, split: str) -> DataError:
        """The error for a split that is not there."""
        known = ", ".join(f"{name} ({count})" for name, count in self.splits.items())
        return DataError(self.name, f"has no split {split!r}", f"it has {known}")


def draw(count: int, limit: int, seed: str) -> list[int]:
    """Draw some of so many numbers, in their order.

    Args:
        count: How many there are.
        limit: How many to draw.
        seed: Decides which.
    """
    return sorted(random.Random(seed).sample(range(count), max(0, limit)))
