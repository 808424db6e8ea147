"""A source of large data: an index of its rows is in memory, and the rows are not."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ojito.data.indexed.lazy_rows import LazyRows, Places
from ojito.data.indexed.reader import Reader, joined
from ojito.data.source import Source, draw
from ojito.data.splits import split_name
from ojito.records import Sample

log = logging.getLogger(__name__)


@dataclass
class IndexedSource(Source):
    """Rows that are read when they are asked for. As `Source`, and:

    Rows about one image stay as the data have them. A bad row is a sample with a `problem`.

    Attributes:
        reader: Reads a row.
        places: The rows of each split.
        held: How rows were held out, "seed share"; empty where none were.
    """

    reader: Reader = field(default_factory=lambda: Reader([], False, False, True))
    places: dict[str, Places] = field(default_factory=dict)
    held: str = ""

    @property
    def splits(self) -> dict[str, int]:
        """Samples of each split."""
        return {name: len(places) for name, places in self.places.items()}

    def samples(self, split: str, limit: int | None = None, seed: int = 0) -> Sequence[Sample]:
        """Return the rows of a split; at most `limit` of them without those that are bad. As for `Source`.

        Raises:
            DataError: There are none.
        """
        name = split if split in self.places else split_name(split)
        if name not in self.places:
            raise self.lacks(split)
        rows = LazyRows(self.reader, self.places[name], name if self.held else "")
        if limit is None or limit >= len(rows):
            return rows
        drawn = [rows[number] for number in draw(len(rows), limit, f"{seed} rows of {split}")]
        for sample in drawn:
            if sample.problem is not None and str(sample.problem) not in self.problems:
                self.problems.append(str(sample.problem))
                log.warning("skipped %s", sample.problem)
        return [sample for sample in drawn if sample.problem is None]

    @property
    def names_splits(self) -> bool:
        """Whether the data name splits."""
        return any(table.split or table.index.names != ("",) for table in self.reader.tables)

    def hold(self, rule: str, split: str) -> IndexedSource:
        """Return the same data with the rows about some images in a split of their own; itself, if that were none.

        Which images these are depends on their names alone. A row that shows some of them and others is left out.

        Args:
            rule: Which, "seed share": what they are drawn by, and the share of the images.
            split: The split.
        """
        (whole,) = self.places.values()  # data that name no split have one
        seed, share = rule.split()
        numbers = np.asarray(whole, np.int64)
        among, without = self.reader.divided(f"{seed} hold out", float(share))
        held, rest = numbers[among[numbers]], numbers[without[numbers]]
        if not len(held) or not len(rest):
            return self
        places: dict[str, Places] = {**dict.fromkeys(self.places, rest), split: held}
        return dataclasses.replace(self, places=places, held=rule)


def open_indexed(reader: Reader, name: str, form: str) -> IndexedSource:
    """Return the source of these rows.

    Args:
        reader: Reads them.
        name: Where they come from, for messages.
        form: Their form.
    """
    places = reader.places()
    rows = next(iter(places.values())) if len(places) == 1 else np.sort(joined([*places.values()]))
    turns = "read when they are needed; rows about one image are not joined"
    return IndexedSource(name, LazyRows(reader, rows), [], form, len(reader), turns, [], reader, places)
