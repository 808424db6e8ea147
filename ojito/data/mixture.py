"""Mixtures: several sources, each with its share of a run.

What row N of a run is depends on the seed and N alone. Each source is gone through in epochs of its own, in a random
order that is drawn anew for each of them, however large or small its share is.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ojito.data.permutation import Permutation
from ojito.data.sample_sequence import SampleSequence
from ojito.data.source import Source, draw
from ojito.data.splits import split_name
from ojito.records import Sample

_BLOCK = 256  # rows of a run that are shuffled together: each block has the shares, as nearly as whole rows can
_ONE = 1 << 32  # to which shares are added up, so that no sum is rounded
_KEPT = 64  # blocks and orders that are remembered


class MixedRows(SampleSequence):
    """The rows of several sources, one source after the other; `order` mixes them.

    Args:
        parts: The rows of each source.
        weights: The share of each; together they need not be 1.
    """

    def __init__(self, parts: Sequence[Sequence[Sample]], weights: Sequence[float]) -> None:
        self.parts, self._weights = parts, weights
        self._ends = [*itertools.accumulate(map(len, parts))]

    def __len__(self) -> int:
        return self._ends[-1]

    def sample(self, number: int) -> Sample:
        """Return the sample of a number, which its source has."""
        which = bisect.bisect_right(self._ends, number)
        return self.parts[which][number - self._ends[which] + len(self.parts[which])]

    def __iter__(self) -> Iterator[Sample]:
        return itertools.chain(*self.parts)

    def order(self, seed: int) -> MixedOrder:
        """Return the order in which a run takes the rows."""
        return MixedOrder([*map(len, self.parts)], self._weights, seed)


class MixedOrder:
    """The rows of a run, by their numbers in it; a row is the number that `MixedRows` has for it.

    Args:
        sizes: Rows of each source.
        weights: The share of each.
        seed: Of all orders.
    """

    def __init__(self, sizes: Sequence[int], weights: Sequence[float], seed: int) -> None:
        self._sizes, self._weights, self._seed = sizes, weights, seed
        self._firsts = [0, *itertools.accumulate(sizes)]
        self._shares = [max(1, round(_ONE * weight / sum(weights))) for weight in weights]
        rng = random.Random(f"{seed} mixture")
        self._phases = [rng.randrange(_ONE) for _ in weights]  # else the rows of all small shares would come together
        self._block = functools.lru_cache(_KEPT)(self._make_block)
        self._permutation = functools.lru_cache(_KEPT)(self._make_permutation)

    @property
    def rows(self) -> int:
        """All rows of all sources."""
        return self._firsts[-1]

    def __call__(self, start: int, count: int) -> list[int]:
        """Return the rows of `count` samples of the run from number `start` on."""
        return [self._row(number) for number in range(start, start + count)]

    def _row(self, number: int) -> int:
        block = number // _BLOCK
        while self._before(block) > number:
            block -= 1
        while self._before(block + 1) <= number:
            block += 1
        source, taken = self._block(block)[number - self._before(block)]
        epoch, place = divmod(taken, self._sizes[source])
        return self._firsts[source] + self._permutation(source, epoch)[place]

    def _taken(self, source: int, block: int) -> int:
        """How many rows of a source come before a block."""
        return (self._shares[source] * _BLOCK * block + self._phases[source]) // _ONE

    def _before(self, block: int) -> int:
        """How many rows come before a block."""
        return sum(self._taken(source, block) for source in range(len(self._sizes)))

    def _make_block(self, block: int) -> list[tuple[int, int]]:
        """The sources of the rows of a block, and how many rows each has given by then."""
        sources = range(len(self._sizes))
        rows = [source for source in sources for _ in range(self._taken(source, block), self._taken(source, block + 1))]
        random.Random(f"{self._seed} block {block}").shuffle(rows)
        counters = [itertools.count(self._taken(source, block)) for source in sources]
        return [(source, next(counters[source])) for source in rows]

    def _make_permutation(self, source: int, epoch: int) -> Permutation:
        return Permutation(self._sizes[source], f"{self._seed} source {source} epoch {epoch}")

    def __reduce__(self) -> tuple[type[MixedOrder], tuple[Sequence[int], Sequence[float], int]]:
        return type(self), (self._sizes, self._weights, self._seed)  # what is remembered is found again


@dataclass
class Mixture(Source):
    """Several sources as one. As `Source`, and:

    Attributes:
        parts: The sources.
        weights: The share of each in a run.
    """

    parts: tuple[Source, ...] = ()
    weights: tuple[float, ...] = ()

    @property
    def splits(self) -> dict[str, int]:
        """Samples of each split, in all sources."""
        found: dict[str, int] = {}
        for part in self.parts:
            for name, count in part.splits.items():
                found[name] = found.get(name, 0) + count
        return found

    @property
    def held(self) -> str:
        """How rows of large sources were held out, "seed share"; the same in all of them."""
        return next((held for part in self.parts if (held := getattr(part, "held", ""))), "")

    def samples(self, split: str, limit: int | None = None, seed: int = 0) -> Sequence[Sample]:
        """Return the rows of a split in all sources that have it. As for `Source`.

        Raises:
            DataError: None has it.
        """
        name = split if split in self.splits else split_name(split)
        having = [number for number, part in enumerate(self.parts) if {split, name} & {*part.splits}]
        if not having:
            raise self.lacks(split)
        rows = MixedRows([self.parts[n].samples(split) for n in having], [self.weights[n] for n in having])
        if limit is None or limit >= len(rows):
            return rows
        drawn = (rows[number] for number in draw(len(rows), limit, f"{seed} rows of {split}"))
        return [row for row in drawn if row.problem is None]


def mix(parts: Sequence[Source], weights: Sequence[float]) -> Mixture:
    """Return several sources as one.

    Args:
        parts: The sources.
        weights: The share of each.
    """
    whole = sum(weights)
    turns = "; ".join(f"{w / whole:.1%} {p.name} ({p.turns})" for p, w in zip(parts, weights, strict=True))
    return Mixture(
        f"mixture of {len(parts)}",
        MixedRows([part.rows for part in parts], weights),
        [problem for part in parts for problem in part.problems],
        " and ".join(dict.fromkeys(part.form for part in parts)),
        sum(part.total for part in parts),
        turns,
        [note for part in parts for note in part.notes],
        tuple(parts),
        tuple(weights),
    )
