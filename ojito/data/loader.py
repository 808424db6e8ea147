"""Endless training batches. What a row is depends on the seed and its number in the run alone.

However many processes read images, and however many rows a batch has, the rows of a step are the same: their order, the
answers that are drawn, and the images that are mirrored.
"""

from __future__ import annotations

import functools
import itertools
import logging
import random
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from torch.utils.data import Dataset

from ojito.config import DataConfig, TrainConfig
from ojito.data.features import Features
from ojito.data.files import DataError
from ojito.data.lengths import fitting_rows
from ojito.data.mixture import MixedRows
from ojito.data.sources import all_bad, check_budget, problem_line
from ojito.data.workers import Workers
from ojito.errors import OjitoError
from ojito.processor import ImageError, Processor, RowError, TooLongError
from ojito.processor.augment import vary
from ojito.processor.prompts import Row
from ojito.processor.tiles import Encoded, Tiles
from ojito.records import Batch, Sample, StoredImage, image_key

if TYPE_CHECKING:
    from ojito.records import ImageLike

log = logging.getLogger(__name__)
_LOCATION = re.compile(r"<loc[0-9]{4}>")  # as `locate/boxes.py` writes it
_BUCKET = 16  # batches in which rows are sorted by length
_PATIENCE = 1000  # rows without a good one among them, at least, before the search ends where data.max_bad=1


@runtime_checkable
class Rows(Protocol):
    """A source that ends, as `Source` does: the rows of a split, shuffled anew for every epoch."""

    name: str
    problems: list[str]

    def samples(self, split: str, limit: int | None = None) -> Sequence[Sample]:
        """Return the rows of a split, at most `limit` of them."""
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


class Batches(Iterator[Batch]):
    """Batches without end.

    Rows with too much text are looked for at the start, and divided or left out. A row with a bad image is left out of
    its batch, named in the log and counted. The budget, `config.max_bad`, is a share of the rows that are served here;
    what the source found when it was opened, in other units (lines of a file) and in all splits, was judged there.

    Args:
        source: Rows, or a stream.
        processor: Writes the rows as tokens and pixels.
        config: The recipe's `data`: split, budget of bad rows, processes, cache.
        train: The recipe's `train`: seed, and rows a batch, `batch_size` / `accumulate`.
        start: Number of the batch to begin with: `state.batch`, to go on with a run.
        features: The images of all rows as a frozen vision tower encodes them, in place of their pixels.

    Attributes:
        number: Number of the batch that comes next.
        problems: Every bad row met so far, and those that the source found when it was opened.

    Raises:
        DataError: No row that is short enough, more bad rows than `config.max_bad`, or nothing but bad rows; or
            `config.flip`, and a row that says where things are: a mirrored image would make that wrong; or a process
            that reads images was killed.
        OjitoError: A split that the source cannot draw from, or `start` below 0.
    """

    def __init__(
        self,
        source: Rows | Stream,
        processor: Processor,
        config: DataConfig,
        train: TrainConfig,
        start: int = 0,
        features: Features | None = None,
    ) -> None:
        if start < 0:
            raise OjitoError("start", f"{start} is no number of a batch", "use 0 or more")
        self.number = start
        self.problems: list[str] = []
        self._name, self._max_bad = source.name, config.max_bad
        self._size = train.batch_size // train.accumulate
        self._endless = isinstance(source, Stream)
        sampler: _Sampler
        if isinstance(source, Stream):
            self._total = 0  # grows as samples are drawn
            sampler = _StreamSampler(source, config.split, train)
        else:
            self.problems += source.problems
            rows = source.samples(config.split)
            if isinstance(rows, MixedRows):  # which keeps its numbers: rows that are too long are left out when met
                sampler = _MixedSampler(rows, train.seed)
            else:
                rows, too_long = fitting_rows(source.name, rows, processor)
                self.problems += too_long
                sampler = _RowSampler(rows, train)
            if config.flip:
                _check_flip(self._name, sampler.rows)
            self._total = len(sampler.rows)
        self._opened = len(self.problems)  # how many of the problems are older than the first batch
        self._bad: list[str] = []  # those of them that count
        self._patience = max(2 * self._total, _PATIENCE)  # twice the rows: wherever that begins, it holds a whole epoch
        self._barren = 0  # rows since the last batch
        self._known_bad: set[int] = set()
        self._dataset = BatchDataset(sampler, processor, config, train.seed, self._size, features)
        self._config = config
        self._results: Iterator[tuple[Batch | None, Problems]] | None = None

    def _read(self) -> Iterator[tuple[Batch | None, Problems]]:
        if self._config.workers:
            return Workers(self._dataset, self._config, self.number)
        return (self._dataset[number] for number in itertools.count(self.number))

    def state_dict(self) -> dict[str, Any]:
        """The position after the batches that were returned, and the bad rows among them."""
        return {
            "number": self.number,
            "total": self._total,
            "bad": [*self._bad],
            "known": sorted(self._known_bad),
            "problems": self.problems[self._opened :],
        }

    def load_state_dict(self, values: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned; call it before the first batch."""
        self.number, self._total = values["number"], values["total"]
        self._bad, self._known_bad = [*values["bad"]], {*values["known"]}
        self.problems[self._opened :] = values["problems"]

    def __next__(self) -> Batch:
        self._results = self._results or self._read()
        while True:
            batch, problems = next(self._results)
            self.number += 1
            self._total += self._size * self._endless
            for row, (problem, too_long) in problems.items():
                if row not in self._known_bad:
                    self._known_bad.add(row)
                    self.problems.append(problem)
                    log.warning("skipped %s", problem)
                    # A long text is not broken, and what was not found at the start must not end a run late.
                    self._bad += [problem] * (self._endless or not too_long)
            if problems:
                check_budget(self._name, self._bad, self._total, self._max_bad)
            if batch is not None:
                self._barren = 0
                return batch
            self._barren += self._size
            if self._barren >= self._patience:
                raise all_bad(self._name, self.problems[self._opened :])


Problems = dict[int, tuple[str, bool]]
"""What is wrong with rows, by their number, and whether it is the length of a text."""


class BatchDataset(Dataset[tuple["Batch | None", Problems]]):
    """Batches by their number: what each process of the loader reads."""

    def __init__(
        self,
        sampler: _Sampler,
        processor: Processor,
        config: DataConfig,
        seed: int,
        size: int,
        features: Features | None = None,
    ) -> None:
        self._sampler, self._processor, self._seed, self._size = sampler, processor, seed, size
        self._config, self._features = config, features
        self._cached = _Cache(processor.read_image, config.cache_mb * 2**20 // max(1, config.workers))

    def __getitem__(self, number: int) -> tuple[Batch | None, Problems]:
        """Return the batch, None if all its rows are bad; and the problem of each bad row, by its number."""
        rows: list[Row] = []
        problems: Problems = {}
        first = number * self._size
        for position, (index, sample) in enumerate(self._sampler(first, self._size), first):
            rng = random.Random(f"{self._seed} row {position}")  # not of the batch, whose size `accumulate` decides
            try:
                rows.append(self._processor.row(sample, training=True, rng=rng, read=self._reader(rng)))
            except (ImageError, RowError) as error:
                problems[index] = problem_line(sample.origin, error), isinstance(error, TooLongError)
        return self._processor.batch(rows) if rows else None, problems

    def _reader(self, rng: random.Random) -> Callable[[ImageLike], Tiles | Encoded]:
        """How the images of one row are read: all of them from the same view."""
        if self._features is not None:
            views = self._features.views
            return functools.partial(self._features.read, view=rng.randrange(views) if views > 1 else 0)
        mirrored = self._config.flip and rng.random() < 0.5
        seed = rng.getrandbits(32) if self._config.varies else 0
        crop, colour = self._config.crop, self._config.colour
        return lambda image: vary(self._cached(image), mirrored, crop, random.Random(seed), colour)


class _Sampler(Protocol):
    """Samples number `start` to `start + count` of a run, each with the number of its row in the source."""

    def __call__(self, start: int, count: int) -> Iterable[tuple[int, Sample]]: ...


class _RowSampler:
    """Sampler of rows: epoch after epoch, each in its own order. A batch may reach over the end of one into the next.

    Rows with about as much text share a batch, since what is padded to the longest costs as much as what is not: of
    every few hundred rows in random order, those of one length go together, and these batches have a random order.

    Args:
        rows: All rows of the split.
        train: The recipe's `train`: the seed of the orders, and the rows of a step.
    """

    def __init__(self, rows: Sequence[Sample], train: TrainConfig) -> None:
        self.rows, self._seed, self._size = rows, train.seed, train.batch_size
        self._lengths = [sum(len(text) for turn in row.turns for text in (turn.prompt, *turn.answers)) for row in rows]
        self._orders: dict[int, list[int]] = {}

    def __call__(self, start: int, count: int) -> Iterator[tuple[int, Sample]]:
        for number in range(start, start + count):
            epoch, offset = divmod(number, len(self.rows))
            row = self._order(epoch)[offset]
            yield row, self.rows[row]

    def _order(self, epoch: int) -> list[int]:
        if epoch not in self._orders:
            order = list(range(len(self.rows)))
            rng = random.Random(f"{self._seed} epoch {epoch}")
            rng.shuffle(order)
            begun = -epoch * len(order) % self._size  # rows of a batch that the epoch before began
            parts = [
                order[start : start + _BUCKET * self._size] for start in range(begun, len(order), _BUCKET * self._size)
            ]
            self._orders = {epoch: order[:begun] + [row for part in parts for row in self._by_length(part, rng)]}
        return self._orders[epoch]

    def _by_length(self, rows: list[int], rng: random.Random) -> Iterator[int]:
        """The rows in batches of about one length; what is left over, less than a batch, comes last."""
        rows = sorted(rows, key=self._lengths.__getitem__)
        batches = [rows[start : start + self._size] for start in range(0, len(rows), self._size)]
        last = [] if len(batches[-1]) == self._size else batches.pop()
        rng.shuffle(batches)
        return itertools.chain(*batches, last)


class _MixedSampler:
    """Sampler of a mixture, which has an order of its own."""

    def __init__(self, rows: MixedRows, seed: int) -> None:
        self.rows, self._order = rows, rows.order(seed)

    def __call__(self, start: int, count: int) -> Iterator[tuple[int, Sample]]:
        return ((row, self.rows[row]) for row in self._order(start, count))


class _StreamSampler:
    """Sampler of a stream, with a stream of its own for every step, so that each process can draw any batch."""

    def __init__(self, source: Stream, split: str, train: TrainConfig) -> None:
        self._source, self._split, self._seed, self._size = source, split, train.seed, train.batch_size
        source.stream(split, 0)  # refuses a wrong split now, rather than in a process of the loader

    def __call__(self, start: int, count: int) -> Iterator[tuple[int, Sample]]:
        step, offset = divmod(start, self._size)
        rng = random.Random(f"{self._seed} batch {step}")
        stream = self._source.stream(self._split, rng.getrandbits(63))
        return enumerate(itertools.islice(stream, offset, offset + count), start)


class _Cache:
    """Decoded images of files, until the memory is used up; the images after that are decoded every time."""

    def __init__(self, read: Callable[[ImageLike], Tiles], capacity: int) -> None:
        self._read, self._left = read, capacity  # bytes
        self._images: dict[Hashable, Tiles] = {}

    def __call__(self, image: ImageLike) -> Tiles:
        if not isinstance(image, (str, Path, StoredImage)):
            return self._read(image)
        key = image_key(image)
        tiles = self._images.get(key)
        if tiles is None:
            tiles = self._read(image)
            if tiles.pixels.nbytes <= self._left:
                self._left -= tiles.pixels.nbytes
                self._images[key] = tiles
        return tiles


def _check_flip(name: str, rows: Iterable[Sample]) -> None:
    """Refuse rows that say where things are: a location could be mirrored, and the codes of a mask could not."""
    for row in rows:
        found = _LOCATION.search(" ".join(text for turn in row.turns for text in (turn.prompt, *turn.answers)))
        if found:
            problem = f"data.flip would make {found[0]} wrong, left for right"
            raise DataError(row.origin or name, problem, "set data.flip=false")
