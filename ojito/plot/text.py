"""Runs on a terminal: a line of blocks for each curve."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ojito.plot.curves import Curve, Run

BLOCKS, ASCII = "▁▂▃▄▅▆▇█", "_.-=+*%#"

_WIDTH = 48  # blocks
_NAMES = {
    "loss": "loss",
    "loss_right": "loss, held out",
    "grounding_gap": "grounding gap",
    "lr": "learning rate",
    "grad_norm/all": "gradient norm",
    "samples_per_second": "samples/s",
    "mfu": "MFU",
}


def summary(run: Run, blocks: str = BLOCKS) -> str:
    """Return a run in some lines: how long it was, and each curve as blocks, with its first and last value.

    Args:
        run: The run.
        blocks: Characters for values from low to high.
    """
    if not run.steps:
        return f"{run.name}: no steps yet"
    rows = f", {run.samples:,} samples" if run.samples else ""
    head = f"{run.name}: {run.steps:,} steps{rows} in {duration(run.seconds)}"
    lines = [*_lines(run, blocks)]
    width = max((len(name) for name, *_ in lines), default=0)
    return "\n".join([head, *(f"  {name:<{width}}  {drawn}  {said}" for name, drawn, said in lines)])


def duration(seconds: float) -> str:
    """Return a time for people: 45 s, 3.2 min, 1.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def sparkline(curve: Curve, width: int, blocks: str = BLOCKS) -> str:
    """Return a curve as blocks, each the mean of its share of the points; a space where there is no number.

    Args:
        curve: The curve.
        width: Blocks at most.
        blocks: Characters for values from low to high.
    """
    count = min(width, len(curve.y))
    means: list[float] = []
    for i in range(count):
        part = [v for v in curve.y[i * len(curve.y) // count : (i + 1) * len(curve.y) // count] if math.isfinite(v)]
        means.append(sum(part) / len(part) if part else math.nan)
    found = [mean for mean in means if math.isfinite(mean)]
    low, span = min(found, default=0.0), max(found, default=0.0) - min(found, default=0.0)
    top = len(blocks) - 1
    return "".join(
        (blocks[round((mean - low) / span * top)] if span else blocks[top // 2]) if math.isfinite(mean) else " "
        for mean in means
    ).ljust(width)


def _lines(run: Run, blocks: str) -> Iterator[tuple[str, str, str]]:
    """Name, blocks and values of each curve that is worth a line."""
    scores = {f"evaluation/{name}": name.replace("_", " ") for name in run.group("evaluation")}
    for key, name in {**_NAMES, **scores}.items():
        curve = run.curves.get(key, Curve())
        values = curve.values
        if values:
            said = number(values[-1]) if len(values) == 1 else f"{number(values[0])} → {number(values[-1])}"
            yield name, sparkline(curve, _WIDTH, blocks), said


def number(value: float) -> str:
    """Return a number in a few digits: 0.123, 12.3, 1,234, 3.0e-04."""
    if value and (abs(value) < 0.001 or abs(value) >= 1e6):
        return f"{value:.1e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{1 if abs(value) >= 10 else 3}f}"
