"""Progress of a run and the learning rate that follows from it. Steps and minutes are one scale, from 0 to 1."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ojito.config import TrainConfig


def lr_factor(progress: float, config: TrainConfig) -> float:
    """Factor of the peak learning rate.

    It rises from 0 over the first `config.warmup` of the run. Then "cosine" falls along half a cosine to 0 at the
    end; "wsd" (warm-up, stable, decay) stays at 1 and falls in a line to 0 over the last `config.decay`.

    Args:
        progress: Share of the run that is done, 0 to 1.
        config: Names the schedule.
    """
    if progress < config.warmup:
        return progress / config.warmup
    if config.schedule == "cosine":
        return 0.5 + 0.5 * math.cos(math.pi * (progress - config.warmup) / (1 - config.warmup))
    left = 1 - progress
    return min(1.0, left / config.decay) if config.decay else 1.0


class Clock:
    """How far a run is. Only the time between `start` and `stop` counts, so a run may be left and gone on with.

    A run has `config.steps`, `config.samples` or `config.minutes` of wall-clock time, or several of them; then
    whichever is furthest along counts.

    Attributes:
        step: Steps that are done.
        samples: Rows learned from.
    """

    def __init__(self, config: TrainConfig, now: Callable[[], float] = time.monotonic) -> None:
        self.step = self.samples = 0
        self._steps, self._samples, self._limit = config.steps, config.samples, 60 * config.minutes  # seconds
        self._batch = config.batch_size
        self._now = now
        self._trained = 0.0  # seconds up to the last stop
        self._started: float | None = None
        self._first = 0.0  # seconds of the first step

    def start(self) -> None:
        """Let the time count from here on, added to what has counted before."""
        self._started = self._now()

    def stop(self) -> None:
        """Let no time count until the next `start`."""
        self._trained, self._started = self.seconds, None

    def tick(self, samples: int = 0) -> None:
        """Count one more step.

        Args:
            samples: Its rows.
        """
        self.step += 1
        self.samples += samples
        if self.step == 1:
            self._first = self.seconds

    @property
    def seconds(self) -> float:
        """Time that has counted."""
        return self._trained + (0.0 if self._started is None else self._now() - self._started)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let the time in here not count: it is evaluation's."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def progress(self, ahead: float = 0.0) -> float:
        """Share of the run that is done, 0 to 1.

        Args:
            ahead: Steps to add: 0.5 is the middle of the step that comes next.
        """
        by_steps = (self.step + ahead) / self._steps if self._steps > 0 else 0.0
        by_samples = (self.samples + ahead * self._batch) / self._samples if self._samples > 0 else 0.0
        by_time = self.seconds / self._limit if self._limit > 0 else 0.0
        return min(1.0, max(by_steps, by_samples, by_time))

    @property
    def done(self) -> bool:
        """Whether the run is over: another step would go beyond the steps or rows, or probably beyond the time."""
        if 0 < self._steps <= self.step or 0 < self._samples <= self.samples:
            return True
        if self._limit <= 0 or self.step == 0:
            return False
        # The first step warms up, and says little about the next.
        usual = (self.seconds - self._first) / max(self.step - 1, 1)
        return self.seconds + usual > self._limit

    def state_dict(self) -> dict[str, Any]:
        """Steps, rows and seconds so far."""
        return {"step": self.step, "samples": self.samples, "seconds": self.seconds, "first": self._first}

    def load_state_dict(self, values: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self.step, self.samples = values["step"], values["samples"]
        self._trained, self._first = values["seconds"], values["first"]
        self._started = None
