"""What every benchmark needs: turns by turns, medians, and the machine they were measured on."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ojito.meter.machine import machine

__all__ = ["RESULTS", "in_process", "in_turns", "machine", "write"]

RESULTS = Path(__file__).parent / "results"


def in_turns(candidates: Mapping[str, Callable[[], Any]], rounds: int, device: torch.device) -> dict[str, float]:
    """Median milliseconds of each candidate, measured A B A B: whatever else slows the machine slows both."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(rounds + 1):
        for name, candidate in candidates.items():
            _wait(device)
            start = time.perf_counter()
            candidate()
            _wait(device)
            if turn:  # the first one warms up
                times[name].append(1000 * (time.perf_counter() - start))
    return {name: round(statistics.median(values), 3) for name, values in times.items()}


def in_process(module: str, words: Sequence[str], threads: int) -> dict[str, Any]:
    """The JSON of the last line that a module prints in a process of its own; what it says on stderr is seen at once.

    Raises:
        CalledProcessError: It failed.
    """
    counts = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    command = [sys.executable, "-m", module, *words, "--threads", str(threads)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, **counts})
    return json.loads(done.stdout.splitlines()[-1])


def write(name: str, device: torch.device, result: Mapping[str, Any]) -> Path:
    """Puts a result into results/, with the machine and the commit."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    path = RESULTS / f"{name}-{device.type}.json"
    path.parent.mkdir(exist_ok=True)
    values = {**result, "machine": machine(device), "commit": commit.stdout.strip()}
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    return path


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
