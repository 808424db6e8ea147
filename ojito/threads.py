"""Threads that PyTorch computes with on a CPU: fewer of them where another process keeps the cores busy.

Threads wait for the slowest of them many times in a step. Where one shares its core, all run at its pace: two threads
beside one busy process can take ten times as long as one thread.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

EVERY = 60.0
"""Seconds of training between two measurements."""

_ROUNDS = 5
_GAIN = 1.2  # how many times as fast fewer threads must be: without a neighbour, measurements differ by less
_CHOSEN_ELSEWHERE = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


class Threads:
    """Choice of the number of threads, in force from here on: measured at the start and, if asked to, again.

    Args:
        count: The number; 0 measures it.
        most: As many as there may be; None asks PyTorch.
        measure: Returns the seconds that some work takes with so many threads.
        now: Clock, seconds.

    Attributes:
        count: The number chosen.
        most: As many as there may be.
    """

    def __init__(
        self,
        count: int = 0,
        most: int | None = None,
        measure: Callable[[int], float] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.most = torch.get_num_threads() if most is None else most
        self._measure, self._now = measure or _seconds, now
        self._measured = count == 0 and self.most > 1 and not any(name in os.environ for name in _CHOSEN_ELSEWHERE)
        self.count = self._fastest() if self._measured else count or self.most
        self._last = now()
        torch.set_num_threads(self.count)

    def again(self) -> bool:
        """Measure once more, if it is time to; return whether the number is another now."""
        if not self._measured or self._now() - self._last < EVERY:
            return False
        before, self.count = self.count, self._fastest()
        self._last = self._now()
        torch.set_num_threads(self.count)
        return self.count != before

    def _fastest(self) -> int:
        counts = sorted({self.most, self.most - 1, max(1, self.most // 2), 1}, reverse=True)
        self._measure(1)  # the first time of anything takes longer
        rounds = [[self._measure(count) for count in counts] for _ in range(_ROUNDS)]
        seconds = dict(zip(counts, map(statistics.median, zip(*rounds, strict=True)), strict=True))
        best = min(counts, key=lambda count: seconds[count])
        return best if seconds[self.most] > _GAIN * seconds[best] else self.most


@contextmanager
def keeping_threads() -> Iterator[None]:
    """Compute with as many threads afterwards as before."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _seconds(count: int) -> float:
    """The seconds that a few milliseconds of a small model's work take with so many threads."""
    torch.set_num_threads(count)
    rows, weight = torch.ones(512, 256), torch.ones(256, 256)
    start = time.perf_counter()
    for _ in range(4):
        rows = torch.relu(rows @ weight) / 256
    return time.perf_counter() - start
