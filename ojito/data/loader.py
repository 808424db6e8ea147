"""Endless training batches. Batch number n depends on the seed and n alone, however many processes read pictures."""

from __future__ import annotations

import itertools
import logging
import os
import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

import torch
from torch.utils.data import DataLoader, Dataset

from ojito.config import DataConfig, TrainConfig
from ojito.data.sources import DataError, all_bad, check_budget
from ojito.processor import ImageError, Processor, RowError
from ojito.processor.tiles import Tiles
from ojito.records import Batch, Sample

if TYPE_CHECKING:
    from ojito.records import ImageLike

T = TypeVar("T")
log = logging.getLogger(__name__)
_LOCATION = re.compile(r"<loc[0-9]{4}>")  # as `processor/locations.py` writes it
_PATIENCE = 1000  # rows without a good one among them, at least, before the search ends where data.max_bad=1


@runtime_checkable
class Rows(Protocol):
    """A source that ends, as `Source` does: the rows of a split, shuffled anew for every epoch."""

    name: str
    problems: list[str]

    def samples(self, split: str, limit: int | None = None) -> list[Sample]:
        """The rows of a split, at most `limit` of them."""
        ...


@runtime_checkable
class Stream(Protocol):
    """A source without end, as `Scenes` is in training: it draws its samples."""

    name: str

    def stream(self, split: str, seed: int) -> Iterator[Sample]:
        """Samples without end, the same for the same seed.

        Raises:
            ValueError: At the call, not with the first sample: this split is not one to draw from.
        """
        ...


class Batches(Iterator[Batch]):
    """Batches without end.

    A row with a bad picture or too much text is left out of its batch, named in the log and counted. The budget,
    `config.max_bad`, is a share of the rows that are served here; what the source found when it was opened, in other
    units (lines of a file) and in all splits, was judged there.

    Args:
        source: Rows, or a stream.
        processor: Writes them down.
        config: The recipe's `data`: split, budget of bad rows, processes, cache.
        train: The recipe's `train`: seed, and rows a batch, `batch_size` / `accumulate`.

    Attributes:
        problems: Every bad row met so far, those among them that the source found when it was opened.

    Raises:
        DataError: More bad rows than `config.max_bad`, or nothing but bad rows; or `config.flip`, and a row that says
            where things are: a mirrored picture would make that wrong.
    """

    def __init__(
        self,
        source: Rows | Stream,
        processor: Processor,
        config: DataConfig,
        train: TrainConfig,
    ) -> None:
        self.problems: list[str] = []
        self._name, self._max_bad = source.name, config.max_bad
        self._size = train.batch_size // train.accumulate
        draw: _Sampler
        if isinstance(source, Stream):
            self._total = 0  # grows as it is drawn
            draw = _StreamSampler(source, config.split)
        else:
            self.problems += source.problems
            draw = _RowSampler(source.samples(config.split), train.seed)
            if config.flip:
                _check_flip(self._name, draw.rows)
            self._total = len(draw.rows)
        self._opened = len(self.problems)  # how many of the problems are older than this loader
        self._endless = isinstance(source, Stream)
        self._patience = max(2 * self._total, _PATIENCE)  # twice the rows: wherever that begins, it holds a whole epoch
        self._barren = 0  # rows since the last batch
        self._met: set[int] = set()
        self._work = BatchDataset(draw, processor, config, train.seed, self._size)
        self._results = iter(self._work_through(config.workers))

    def __next__(self) -> Batch:
        while True:
            batch, problems = next(self._results)
            self._total += self._size * self._endless
            for number, problem in problems.items():
                if number not in self._met:
                    self._met.add(number)
                    self.problems.append(problem)
                    log.warning("skipped %s", problem)
            if problems:
                check_budget(self._name, self.problems[self._opened :], self._total, self._max_bad)
            if batch is not None:
                self._barren = 0
                return batch
            self._barren += self._size
            if self._barren >= self._patience:
                raise all_bad(self._name, self.problems[self._opened :])

    def _work_through(self, workers: int) -> Iterator[tuple[Batch | None, dict[int, str]]]:
        if not workers:
            return (self._work[number] for number in itertools.count())
        # The tokenizer's threads do not survive a fork; one process a worker is parallel enough.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        return iter(
            DataLoader(
                self._work,
                batch_size=None,
                sampler=itertools.count(),
                num_workers=workers,
                collate_fn=_as_it_is,
            )
        )


class BatchDataset(Dataset[tuple["Batch | None", dict[int, str]]]):
    """Makes batch number n: what a process of the loader does."""

    def __init__(self, draw: _Sampler, processor: Processor, config: DataConfig, seed: int, size: int) -> None:
        self._draw, self._processor, self._seed, self._size = draw, processor, seed, size
        self._flip = config.flip
        self._read = _Cache(processor.read_image, config.cache_mb * 2**20 // max(1, config.workers))

    def __getitem__(self, number: int) -> tuple[Batch | None, dict[int, str]]:
        """The batch, None if all its rows are bad; and what is wrong with which rows."""
        rng = random.Random(f"{self._seed} batch {number}")
        made, problems = [], {}
        for place, sample in self._draw(number * self._size, self._size, rng):
            try:
                row = self._processor.row(sample, training=True, rng=rng, read=self._read)
                if self._flip and rng.random() < 0.5:
                    row.pictures = [_mirrored(picture) for picture in row.pictures]
                made.append(row)
            except RowError as problem:  # says where the row stands
                problems[place] = str(problem)
            except ImageError as problem:
                problems[place] = f"{sample.origin}: {problem}" if sample.origin else str(problem)
        return self._processor.batch(made) if made else None, problems


class _Sampler(Protocol):
    """Samples number `start` to `start + count` of a run, each with the number of its row in the source."""

    def __call__(self, start: int, count: int, rng: random.Random) -> Iterable[tuple[int, Sample]]: ...


class _RowSampler:
    """Epoch after epoch, each in its own order. A batch may reach over the end of one into the next."""

    def __init__(self, rows: Sequence[Sample], seed: int) -> None:
        self.rows, self._seed = rows, seed
        self._orders: dict[int, list[int]] = {}

    def __call__(self, start: int, count: int, rng: random.Random) -> Iterator[tuple[int, Sample]]:
        for place in range(start, start + count):
            epoch, offset = divmod(place, len(self.rows))
            row = self._order(epoch)[offset]
            yield row, self.rows[row]

    def _order(self, epoch: int) -> list[int]:
        if epoch not in self._orders:
            order = list(range(len(self.rows)))
            random.Random(f"{self._seed} epoch {epoch}").shuffle(order)
            self._orders = {epoch: order}
        return self._orders[epoch]


class _StreamSampler:
    """A stream of its own for every batch, so that each process can draw any batch."""

    def __init__(self, source: Stream, split: str) -> None:
        self._source, self._split = source, split
        source.stream(split, 0)  # refuses a wrong split now, rather than in a process of the loader

    def __call__(self, start: int, count: int, rng: random.Random) -> Iterator[tuple[int, Sample]]:
        stream = self._source.stream(self._split, rng.getrandbits(63))
        return enumerate(itertools.islice(stream, count), start)


class _Cache:
    """Decoded pictures by path, until the memory is used up; the pictures after that are decoded every time."""

    def __init__(self, read: Callable[[ImageLike], Tiles], capacity: int) -> None:
        self._read, self._left = read, capacity  # bytes
        self._pictures: dict[str, Tiles] = {}

    def __call__(self, image: ImageLike) -> Tiles:
        if not isinstance(image, (str, Path)):
            return self._read(image)
        name = str(image)
        picture = self._pictures.get(name)
        if picture is None:
            picture = self._read(image)
            if picture.pixels.nbytes <= self._left:
                self._left -= picture.pixels.nbytes
                self._pictures[name] = picture
        return picture


def _check_flip(name: str, rows: Iterable[Sample]) -> None:
    """Whether no row says where things are: a location could be mirrored, and the codes of a mask could not."""
    for row in rows:
        found = _LOCATION.search(" ".join(text for turn in row.turns for text in (turn.prompt, *turn.answers)))
        if found:
            place = row.origin or name
            raise DataError(f"{place}: data.flip would make {found[0]} wrong, left for right; set data.flip=false")


def _mirrored(picture: Tiles) -> Tiles:
    """Left and right exchanged: in every square, and of a picture that was split, in the order of its tiles, too."""
    order, count = torch.arange(len(picture.pixels)), picture.rows * picture.columns
    order[:count] = order[:count].view(picture.rows, picture.columns).flip(1).flatten()
    return replace(picture, pixels=picture.pixels[order].flip(-1))


def _as_it_is(made: T) -> T:
    return made
