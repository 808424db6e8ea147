"""Endless training batches: planned, shared among ranks, read by processes, and gone on with to the last bit.

However many processes read images, however many ranks there are, and however many rows a batch has, the rows of a step
are the same: their order, the answers that are drawn, and the images that are mirrored.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ojito.config import DataConfig, TrainConfig
from ojito.data.features import Features
from ojito.data.files import DataError
from ojito.data.lengths import fitting_rows, is_large
from ojito.data.loader import BatchDataset, Problems, check_flip
from ojito.data.mixture import MixedOrder, MixedRows
from ojito.data.order import ByLength, Counted, Order, Shuffled
from ojito.data.plan import Packs, Place, Plan, Planned, Singles, Window, Windows
from ojito.data.sources import all_bad, check_budget
from ojito.data.state import LoaderState
from ojito.data.stream import Drawn, Rows, Stream
from ojito.data.workers import InTurn, Workers
from ojito.errors import OjitoError
from ojito.processor import Processor
from ojito.records import Batch, Sample
from ojito.settings import ConfigError

log = logging.getLogger(__name__)
_PATIENCE = 1000  # rows without a good one among them, at least, before the search ends where data.max_bad=1


class Batches(Iterator[Batch]):
    """Batches without end: of `train.batch_size` rows a step or, with `data.pack`, packed rows.

    Rows with too much text are looked for at the start, and divided or left out. A row with a bad image is left out of
    its batch, named in the log and counted. The budget, `config.max_bad`, is a share of the rows that are served here;
    what the source found when it was opened, in other units (lines of a file) and in all splits, was judged there.

    Several ranks read one batch together, each its share of the rows. They do so at the same time and never pass over
    any: of a share of bad rows alone a batch is made from which nothing is learned.

    To go on with a run, make the batches anew and load what `state_dict` returned. The batches that follow are the same
    to the last bit, on any number of ranks and with any number of processes.

    Args:
        source: Rows, or a stream.
        processor: Writes the rows as tokens and pixels.
        config: The recipe's `data`: split, budget of bad rows, processes, cache, packing.
        train: The recipe's `train`: seed, and rows a batch, `batch_size` / `accumulate`.
        features: The images of all rows as a frozen vision tower encodes them, in place of their pixels.
        rank: Which of the processes that train one model together this is.
        ranks: How many they are.

    Attributes:
        number: Number of the batch that comes next.
        problems: Every bad row met so far, and those that the source found when it was opened.

    Raises:
        DataError: No row that is short enough, more bad rows than `config.max_bad`, or nothing but bad rows; or
            `config.flip`, and a row that says where things are: a mirrored image would make that wrong; or
            `config.pack`, and a stream; or a process that reads images was killed.
        ConfigError: The rows of a step cannot be divided among ranks and micro-batches.
        OjitoError: A split that the source cannot draw from, or a rank that is not one of `ranks`.
    """

    def __init__(
        self,
        source: Rows | Stream,
        processor: Processor,
        config: DataConfig,
        train: TrainConfig,
        features: Features | None = None,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        size = train.batch_size // train.accumulate
        self._share = share_of(train, rank, ranks)
        self._config, self._name = config, source.name
        self._endless = isinstance(source, Stream)
        self.problems: list[str] = []
        self._processor = processor.for_packs(config.pack)
        samples: Sequence[Sample] | Drawn
        if isinstance(source, Stream):
            if config.pack:
                problem = f"draws its rows, and data.pack={config.pack} is for rows that are there"
                raise DataError(source.name, problem, "set data.pack=0")
            samples = Drawn(source, config.split, train.seed, train.batch_size)
            order: Order = Counted()
            rows = 0
        else:
            self.problems += source.problems
            samples = source.samples(config.split)
            if not isinstance(samples, MixedRows):  # which keeps its numbers: rows too long are left out when met
                samples, too_long = fitting_rows(source.name, samples, self._processor)
                self.problems += too_long
            if not is_large(samples):
                check_flip(config, self._name, samples)
            rows = len(samples)
            random_order = samples.order(train.seed) if isinstance(samples, MixedRows) else Shuffled(rows, train.seed)
            order = random_order if config.pack else ByLength(samples, train.seed, train.batch_size)
        self._dataset = BatchDataset(samples, self._processor, config, train.seed, features)
        self._plan: Plan = Singles(order, size)
        if isinstance(order, (Shuffled, MixedOrder)):
            self._plan = Packs(functools.partial(_windows, order, self._dataset.length, config, train.seed), size)
        self._state = LoaderState(
            {"rows": rows, "seed": train.seed, "batch_size": train.batch_size, "pack": config.pack}
        )
        self._patience = max(2 * rows, _PATIENCE)  # twice the rows: wherever that begins, it holds a whole epoch
        self._barren = 0  # rows since the last batch with a good one
        self._fruitful = False  # whether a good row is known
        self._results: Iterator[tuple[Batch | None, Problems]] | None = None
        self._ahead: deque[Planned] = deque()  # planned, and given to the processes

    @property
    def number(self) -> int:
        """Number of the batch that comes next."""
        return self._state.number

    def state_dict(self) -> dict[str, Any]:
        """Where the batches that were returned so far end, and the bad rows among them; can be written as JSON."""
        return self._state.state_dict()

    def load_state_dict(self, values: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned, or `merge_states` made of the states of several ranks.

        Raises:
            OjitoError: It is no such state, or one of other data or settings; or batches were returned already.
        """
        if self._results is not None:
            raise OjitoError("state of the data", "comes after the first batch", "load it before")
        self._state.load_state_dict(values)
        self.problems += [problem for problem, _ in self._state.bad.values()]
        self._fruitful = self._state.number > 0

    def __next__(self) -> Batch:
        if self._results is None:
            self._results = self._read()
        batch, problems = next(self._results)
        planned = self._ahead.popleft()
        self._state.number, self._state.position = self._state.number + 1, planned.after
        self._note(problems, planned)
        if batch is not None:
            self._barren, self._fruitful = 0, True
            return batch
        self._barren += sum(map(len, planned.rows[self._share]))
        if self._barren >= self._patience:
            raise self._all_bad()
        if not self._fruitful:
            self._seek()
        length = self._config.pack or 1
        return self._processor.packed([()] * (self._share.stop - self._share.start), length)

    def _read(self) -> Iterator[tuple[Batch | None, Problems]]:
        """What is read of the plan from the state on."""
        shares = _shares(self._plan(self._state.position), self._share, self._ahead)
        if self._config.workers:
            return Workers(self._dataset, self._config, shares)
        return map(self._dataset.__getitem__, shares)

    def _note(self, problems: Problems, planned: Planned) -> None:
        """Take down the bad rows of a batch.

        Raises:
            DataError: There are more than the budget allows.
        """
        bad = self._state.bad
        for row, (problem, counts) in problems.items():
            if row not in bad:
                bad[row] = problem, counts or self._endless
                self.problems.append(problem)
                log.warning("skipped %s", problem)
        if problems:
            total = planned.after.sample if self._endless else self._state.data["rows"]
            check_budget(self._name, [line for line, counts in bad.values() if counts], total, self._config.max_bad)

    def _seek(self) -> None:
        """Look for a good row further on, so that no run comes to its end without one.

        Raises:
            DataError: There is none.
        """
        sought = self._barren
        for planned in self._plan(self._state.position):
            batch, problems = self._dataset[planned.rows]
            self._note(problems, planned)
            if batch is not None:
                self._fruitful = True
                return
            sought += sum(map(len, planned.rows))
            if sought >= self._patience:
                raise self._all_bad()

    def _all_bad(self) -> DataError:
        return all_bad(self._name, [problem for problem, _ in self._state.bad.values()])


def share_of(train: TrainConfig, rank: int, ranks: int) -> slice:
    """The rows of every micro-batch that are a rank's.

    Args:
        train: The recipe's `train`.
        rank: Of this process.
        ranks: All of them.

    Raises:
        ConfigError: The rows of a step cannot be divided among ranks and micro-batches.
        OjitoError: There is no such rank.
    """
    if not 0 <= rank < ranks:
        raise OjitoError("rank", f"{rank} is not one of {ranks}", f"use 0 to {ranks - 1}")
    parts = train.accumulate * ranks
    if train.batch_size % parts:
        whole = -(-train.batch_size // parts) * parts
        micro = f" in {train.accumulate} micro-batches" * (train.accumulate > 1)
        problem = f"{train.batch_size} cannot be divided among {ranks} ranks{micro}"
        raise ConfigError("train.batch_size", problem, f"use a multiple of {parts}, for example {whole}")
    each = train.batch_size // parts
    return slice(rank * each, (rank + 1) * each)


# Functions, and no methods: processes end as soon as nobody refers to them, which a circle of references would delay.


def _shares(plan: Iterator[Planned], share: slice, ahead: deque[Planned]) -> Iterator[list[list[Place]]]:
    """A rank's rows of each batch; takes down which batches they are of."""
    for planned in plan:
        ahead.append(planned)
        yield planned.rows[share]


def _windows(
    order: Shuffled | MixedOrder, length: Callable[[int, int], int], config: DataConfig, seed: int, first: int
) -> Iterator[Window]:
    """Packed rows from a sample on, planned by a process of its own if others read them."""
    windows = Windows(order, length, config.pack, seed, first)
    if not config.workers:
        return windows
    return Workers(InTurn(windows), dataclasses.replace(config, workers=1), itertools.count())
