"""Times and memory of steps."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from ojito.meter.clock import wait
from ojito.meter.memory import peak_memory


def timed(once: Callable[[], object], rows: int, device: torch.device, steps: int) -> dict[str, Any]:
    """Seconds of a step, the median after two that warm up, and the memory that the process has taken at the most."""
    seconds = []
    for number in range(steps + 2):
        wait(device)
        start = time.perf_counter()
        once()
        wait(device)
        if number > 1:
            seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds)
    return {"seconds": median, "images_per_second": rows / median, "peak_bytes": peak_memory(device)}
