"""Decoding steps that are recorded once and replayed: on a GPU one launch a step, in place of hundreds.

For one token a row, a GPU is done with an operation sooner than Python tells it the next one. A recorded step is told
as a whole. It reads its inputs from the same addresses every time, and writes to the same ones. So whatever changes
from step to step stands in tensors, which are filled before a replay:

    tokens, positions, segments, prefix     of the batch
    columns                                 of the cache, that each row's new tokens go to

And whatever cannot change is what a recording is known by: the numbers of rows and tokens, how many columns are read
(`REACH` more at a time), and where the cache lies. Rows are filled up to a power of two, as far as the cache has memory
for them, and so are tokens; so rows that leave and join need few recordings.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ojito.model.cache import REACH, KVCache
from ojito.model.fixed_cache import FixedCache
from ojito.records import IGNORE, PADDING, Batch

log = logging.getLogger(__name__)

MOST = 16
"""Recordings that are kept; the least recently used ones leave."""

AFTER = 2
"""A step is recorded when it is asked for so often: recording takes as long as two or three steps."""

LARGEST = 256
"""Tokens of all rows together up to which a step is recorded; with more, a GPU has enough to do."""


class Recorder(Protocol):
    """What records the operations of a function on a device."""

    def ready(self) -> bool:
        """Whether something can be recorded or replayed now."""
        ...

    def record(self, run: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """Return what does again what `run` does, to the same addresses, and returns the same tensor.

        Args:
            run: It may be called several times, or not at all later, and is not kept where it is not needed.

        Raises:
            RuntimeError: It cannot be recorded.
        """
        ...


Reading = Callable[[Batch, KVCache], Tensor]
"""What a model does with a batch on its device: `VLM.read`."""


class Replay:
    """Recorded steps of one model, which must outlive them.

    Args:
        recorder: Of the model's device.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder: Recorder | None = recorder
        self._known: OrderedDict[Hashable, _Known] = OrderedDict()
        self._lock = threading.Lock()  # from the filling of a recording's inputs to the copy of its output

    def __call__(self, read: Reading, batch: Batch, cache: KVCache) -> Tensor | None:
        """Return hidden states (B, T, D) of a batch, whose tokens are added to the cache; None if it is not replayed.

        Args:
            read: The model's, always the same one.
            batch: Tokens without images.
            cache: Of earlier tokens.
        """
        recorder = self._recorder
        if recorder is None or torch.is_grad_enabled() or not recorder.ready():
            return None
        shape = _Shape.of(batch, cache)
        if shape is None:
            return None
        with self._lock, torch.inference_mode():
            known = self._look_up(shape.key(cache))
            if known.recording is None:
                known.asked += 1
                if known.asked < AFTER:
                    return None
                try:
                    known.recording = _Recording(recorder, read, shape, batch, cache)
                except RuntimeError as error:  # of PyTorch and CUDA: out of memory, an operation that waits
                    self._recorder = None
                    self._known.clear()
                    log.warning("decoding goes on without recorded steps: %s", error)
                    return None
            return known.recording(batch, cache)

    def _look_up(self, key: Hashable) -> _Known:
        known = self._known.setdefault(key, _Known())
        self._known.move_to_end(key)
        while len(self._known) > MOST:
            self._known.popitem(last=False)
        return known


@dataclass
class _Known:
    """How often a step was asked for, and its recording, once there is one."""

    asked: int = 0
    recording: _Recording | None = None


@dataclass(frozen=True)
class _Shape:
    """What of a step cannot change: its rows and tokens, both filled up, and the columns that it reads."""

    rows: int
    tokens: int
    reach: int

    @classmethod
    def of(cls, batch: Batch, cache: KVCache) -> _Shape | None:
        """The shape of a step; None for a batch that is none, or does not fit."""
        rows, tokens = batch.tokens.shape
        if batch.num_images or not rows or rows != len(cache.lengths):
            return None
        filled = min(_power_of_two(rows), cache.rows), _power_of_two(tokens)
        needed = cache.length + filled[1]
        if filled[0] * filled[1] > LARGEST or needed > cache.capacity:
            return None
        return cls(*filled, min(cache.capacity, -(-needed // REACH) * REACH))

    def key(self, cache: KVCache) -> Hashable:
        """What a recording is known by: a cache at the same addresses is the same cache to it."""
        return self, cache.keys.dtype, cache.address


class _Recording:
    """A step, its inputs in tensors of its own."""

    def __init__(self, recorder: Recorder, read: Reading, shape: _Shape, batch: Batch, cache: KVCache) -> None:
        device, size = cache.keys.device, (shape.rows, shape.tokens)
        zeros = torch.zeros(size, dtype=torch.int64, device=device)
        self._inputs = Batch(
            tokens=zeros,
            positions=zeros.clone(),
            segments=torch.full_like(zeros, PADDING),
            prefix=torch.zeros_like(zeros, dtype=torch.bool),
            targets=torch.full_like(zeros, IGNORE),
        )
        self._columns = zeros.clone()
        self._places = torch.arange(shape.tokens)
        self._fill(batch, cache)  # with something that can be computed with
        inputs, fixed = self._inputs, FixedCache(cache, shape.reach, self._columns)
        # Nothing of the cache is kept here: when an answer is done, the next one may get its memory.
        self._replay = recorder.record(lambda: read(inputs, fixed))

    def __call__(self, batch: Batch, cache: KVCache) -> Tensor:
        """As for `Replay`."""
        rows, tokens = batch.tokens.shape
        self._fill(batch, cache)
        cache.advance(tokens)
        # A copy, because the next replay, of this or another step, writes to the same memory.
        return self._replay()[:rows, :tokens].clone()

    def _fill(self, batch: Batch, cache: KVCache) -> None:
        """Copy a step's inputs to where the recording reads them; what fills up rows and tokens is padding."""
        mine, (rows, tokens) = self._inputs, batch.tokens.shape
        if mine.tokens.shape != (rows, tokens):
            mine.segments.fill_(PADDING)
        for name in ("tokens", "positions", "segments", "prefix"):
            getattr(mine, name)[:rows, :tokens].copy_(getattr(batch, name))
        starts = torch.tensor([*cache.lengths, *[0] * (len(mine.tokens) - rows)])
        columns = starts[:, None] + self._places
        if self._columns.device.type == "cuda":
            columns = columns.pin_memory()  # then nobody waits for the copy
        self._columns.copy_(columns, non_blocking=True)


def _power_of_two(number: int) -> int:
    """The next power of two, or the number itself."""
    return 1 << (number - 1).bit_length()
