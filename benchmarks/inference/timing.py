"""What every process measures: an answer cold, then warm ones, and the memory that all of it took."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from ojito.meter.memory import peak_memory

WARM = 2
"""Answers that count; one more comes before them."""

Answer = Callable[[Callable[[], None]], object]
"""Answers, and calls what it is given after every step, the first of which has read the prompt."""


def timed(answer: Answer, device: torch.device) -> dict[str, float]:
    """Seconds of answers: whole, to the first token, and milliseconds of each step after that."""
    cold, *warm = [_steps(answer) for _ in range(WARM + 1)]
    first = statistics.median(steps[1] - steps[0] for steps in warm)
    whole = statistics.median(steps[-1] - steps[0] for steps in warm)
    return {
        "cold_seconds": cold[-1] - cold[0],
        "first_token_seconds": first,
        "ms_per_token": 1000 * statistics.median((s[-1] - s[1]) / max(1, len(s) - 2) for s in warm),
        "seconds": whole,
        "tokens": len(warm[0]) - 1,
        "peak_gb": peak_memory(device) / 1e9,
    }


def _steps(answer: Answer) -> list[float]:
    times = [time.perf_counter()]
    answer(lambda: times.append(time.perf_counter()))
    return times


def median_ms(run: Callable[[], object], device: torch.device, seconds: float = 0.5) -> float:
    """Milliseconds of some work, the median of as many as fit into a time, five at the least."""
    from ojito.meter.clock import Stopwatch

    run()
    clock, laps = Stopwatch(device), []
    while len(laps) < 5 or clock.total < seconds:
        run()
        laps.append(clock.lap())
    return 1000 * statistics.median(laps)
