"""Rows of tables as samples, by their number."""

from __future__ import annotations

import bisect
import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ojito.data.finder import DirectFinder
from ojito.data.grouping import regroup
from ojito.data.indexed.facts import WAYS, digest
from ojito.data.indexed.index import Numbers
from ojito.data.indexed.lazy_rows import Places
from ojito.data.indexed.tables import Table
from ojito.data.keys import BadRow
from ojito.data.rows import samples_of, with_split
from ojito.errors import OjitoError
from ojito.processor import RowError
from ojito.processor.images import ImageError
from ojito.records import Sample


class Reader:
    """Reads the rows of tables, one table after the other.

    Args:
        tables: The tables.
        pack: Whether questions about the image of a row are one sample.
        blind: Whether a conversation is such questions, too; with `pack`.
        system: Whether there is a place for system messages; else they are left out.
    """

    def __init__(self, tables: Sequence[Table], pack: bool, blind: bool, system: bool) -> None:
        self.tables, self._system = tables, system
        self._way = (pack, blind and pack)
        self.ends = [*itertools.accumulate(map(len, tables))]
        self._finders: dict[Path, DirectFinder] = {}

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def __call__(self, number: int) -> list[Sample]:
        """Return the samples of a row; of a bad one, a sample that says what is wrong with it.

        Raises:
            DataError: The file cannot be read, or has changed.
        """
        which = bisect.bisect_right(self.ends, number)
        table = self.tables[which]
        row = table.read(number - self.ends[which] + len(table))
        split, origin = table.split, row.origin
        try:
            if isinstance(row.values, BadRow):
                raise row.values
            values = with_split(row, split).values if split else row.values
            finder = self._finders.get(row.folder) or self._finders.setdefault(row.folder, DirectFinder(row.folder))
            samples = samples_of(values, finder.find, origin)  # type: ignore[arg-type]
        except (BadRow, ImageError) as error:
            return [Sample(split=split, origin=origin, problem=_problem(origin, error))]
        if not self._system:
            samples = [_without_system(sample) for sample in samples]
        return regroup(samples, *self._way)

    def places(self) -> dict[str, Places]:
        """The rows of each split, without those that are known to be bad."""
        found: dict[str, list[Places]] = {}
        for table, end in zip(self.tables, self.ends, strict=True):
            index, first = table.index, end - len(table)
            names = [name or table.split or "train" for name in index.names]
            for name in dict.fromkeys(names):
                codes = [code for code, other in enumerate(names) if other == name]
                rows = np.flatnonzero(np.isin(index.splits, codes)) if len(names) > 1 else np.arange(len(table))
                if len(index.bad):
                    rows = np.setdiff1d(rows, index.bad, assume_unique=True)
                if len(rows):
                    found.setdefault(name, []).append(_shortest(self._repeated(table, rows) + first))
        return {name: joined(parts) for name, parts in found.items()}

    def bad(self) -> Iterator[int]:
        """The rows that are known to be bad."""
        for table, end in zip(self.tables, self.ends, strict=True):
            yield from (int(row) + end - len(table) for row in table.index.bad)

    def divided(self, seed: str, share: float) -> tuple[Numbers, Numbers]:
        """Divide the images: return which rows show only some of them, and which only the others, as masks.

        Args:
            seed: Decides which.
            share: Share of the images that are some of them.
        """
        among, without = [], []
        for table in self.tables:
            index = table.index
            images = index.images if len(index.images) else _numbered(len(table), digest(table.name))
            chosen = mixed(images, digest(seed)) < np.uint64(min(share, 1) * (2**64 - 2**11))
            counts = np.diff(index.image_starts) if len(index.image_starts) else np.ones(len(table), np.int64)
            before = np.concatenate([[0], np.cumsum(chosen)])
            ends = np.cumsum(counts)
            found = before[ends] - before[ends - counts]
            among.append((found == counts) & (counts > 0))
            without.append(found == 0)
        return np.concatenate(among), np.concatenate(without)

    def _repeated(self, table: Table, rows: Numbers) -> Numbers:
        """The rows, each as often as it makes samples."""
        index = table.index
        if not len(index.several):
            return rows
        counts = np.ones(len(table), np.int64)
        counts[index.several] = index.samples[:, WAYS.index(self._way)]
        return np.repeat(rows, counts[rows])


def mixed(numbers: Numbers, seed: int) -> Numbers:
    """Numbers of 64 bits that have nothing to do with each other, one for each number.

    Source: Steele et al. 2014, "Fast splittable pseudorandom number generators": the finalizer of SplitMix64.
    """
    z = np.asarray(numbers, np.uint64) ^ np.uint64(seed)
    z = (z + np.uint64(0x9E3779B97F4A7C15)) & np.uint64(2**64 - 1)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _numbered(count: int, seed: int) -> Numbers:
    """Digests for rows of which each has an image of its own."""
    return mixed(np.arange(count, dtype=np.uint64), seed)


def joined(parts: Sequence[Places]) -> Places:
    """Rows that come one after the other, as a range if they are one."""
    together = len(parts) > 0 and all(
        isinstance(part, range) and (not before or part.start == parts[before - 1][-1] + 1)
        for before, part in enumerate(parts)
    )
    if together:
        return range(int(parts[0][0]), int(parts[-1][-1]) + 1)
    return np.concatenate([np.asarray(part, np.int64) for part in parts]) if parts else range(0)


def _shortest(rows: Numbers) -> Places:
    """The rows as a range, if they are one."""
    first, last = int(rows[0]), int(rows[-1])
    whole = last - first + 1 == len(rows) and (len(rows) < 2 or bool((np.diff(rows) == 1).all()))
    return range(first, last + 1) if whole else rows


def _problem(origin: str, error: OjitoError) -> RowError:
    problem = error.problem if error.where in ("", origin) else f"{error.where}: {error.problem}"
    return RowError(origin, problem, error.remedy)


def _without_system(sample: Sample) -> Sample:
    if not sample.system:
        return sample
    return dataclasses.replace(sample, system="", chat=sample.chat and len(sample.turns) > 1)
