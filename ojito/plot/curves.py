"""The curves of a run, from its metrics.jsonl."""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ojito.errors import OjitoError

METRICS = "metrics.jsonl"

By = Literal["step", "samples", "minutes"]

_NO_CURVE = ("evaluation", "step", "seconds", "samples", "n", "cut")
_HALF_LIFE = 0.02  # of a curve, over which its smooth form forgets half
_FEW = 20  # points that are not smoothed


@dataclass(frozen=True)
class Curve:
    """Values over the run.

    Attributes:
        x: Steps, samples or minutes, in rising order.
        y: The values; NaN where there was none, such as the loss of steps that were all skipped.
    """

    x: list[float] = field(default_factory=list)
    y: list[float] = field(default_factory=list)

    @property
    def values(self) -> list[float]:
        """The values that are numbers."""
        return [value for value in self.y if math.isfinite(value)]

    def alone(self) -> Curve:
        """Return the points between two places without a number."""
        around = [math.nan, *self.y, math.nan]
        kept = [
            number
            for number, (before, value, after) in enumerate(zip(around, around[1:], around[2:], strict=False))
            if math.isfinite(value) and not math.isfinite(before) and not math.isfinite(after)
        ]
        return Curve([self.x[number] for number in kept], [self.y[number] for number in kept])

    def smooth(self) -> Curve:
        """Return the curve with its noise averaged away, in both directions; a short one stays as it is."""
        if len(self.values) < _FEW:
            return self
        there, back = _averages(self.y), _averages(self.y[::-1])[::-1]
        return Curve(self.x, [(a + b) / 2 for a, b in zip(there, back, strict=True)])


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        name: The folder's, or the file's.
        by: What the curves run over.
        curves: By name: "loss", "lr", "grad_norm/vision", "evaluation/exact_match".
        steps: The last step that is known; 0 of a run that has none yet.
        seconds: Of training, up to then.
        samples: Rows learned from up to then; None where the lines do not say.
    """

    name: str
    by: By = "step"
    curves: dict[str, Curve] = field(default_factory=dict)
    steps: int = 0
    seconds: float = 0.0
    samples: int | None = None

    def group(self, name: str) -> dict[str, Curve]:
        """Return the curves "name/..." by what follows the stroke."""
        return {key.removeprefix(f"{name}/"): curve for key, curve in self.curves.items() if key.startswith(f"{name}/")}

    def to_dict(self) -> dict[str, Any]:
        """Return values for JSON, with null for NaN."""
        curves = {
            name: {"x": curve.x, "y": [value if math.isfinite(value) else None for value in curve.y]}
            for name, curve in self.curves.items()
        }
        totals = {"steps": self.steps, "seconds": self.seconds, "samples": self.samples}
        return {"name": self.name, **totals, "by": self.by, "curves": curves}


def read_run(path: Path | str, by: By = "step") -> Run:
    """Read the last run of a folder. It may be going on, have failed, or have been gone on with.

    Args:
        path: The folder, or its metrics.jsonl.
        by: What the curves run over.

    Raises:
        OjitoError: There is no metrics.jsonl, it cannot be read, or it does not say how many samples were learned from.
    """
    path = Path(path)
    file = path / METRICS if path.is_dir() else path
    lines = _last_run(_lines(file))
    steps = [(line["step"], line["samples"]) for line in lines if isinstance(line.get("samples"), int)]
    if by == "samples" and lines and not steps:
        raise OjitoError(file, "does not say how many samples were learned from", "plot it by step or minutes")
    curves: dict[str, Curve] = {}
    for line in lines:
        place = _place(line, by, steps)
        if place is None:
            continue
        for name, value in _figures(line, "evaluation/" if line.get("evaluation") else ""):
            curve = curves.setdefault(name, Curve())
            curve.x.append(place)
            curve.y.append(value)
    return Run(
        str(path if path.is_dir() else path.parent if path.name == METRICS else path),
        by,
        curves,
        steps=lines[-1]["step"] if lines else 0,
        seconds=max((_seconds(line) or 0.0 for line in lines), default=0.0),
        samples=steps[-1][1] if steps else None,
    )


def _averages(values: list[float]) -> list[float]:
    """At each value, the average of it and those before, the nearest of which count most; NaN where there is none."""
    keep = 0.5 ** (1 / max(1.0, _HALF_LIFE * len(values)))
    total = weight = 0.0
    found: list[float] = []
    for value in values:
        if math.isfinite(value):
            total, weight = keep * total + (1 - keep) * value, keep * weight + (1 - keep)
        found.append(total / weight if math.isfinite(value) else math.nan)
    return found


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    """The lines that are about a step. One that a crash cut off, or that is being written, is passed over."""
    try:
        with file.open(encoding="utf-8", errors="replace") as opened:
            for text in opened:
                try:
                    line = json.loads(text)
                except (ValueError, RecursionError):
                    continue
                if isinstance(line, dict) and isinstance(line.get("step"), int):
                    yield line
    except FileNotFoundError:
        remedy = f"give the folder of a run, which holds a {METRICS}"
        raise OjitoError(file, "is not there", remedy) from None
    except OSError as error:
        raise OjitoError(file, f"cannot be read ({error.strerror})", "check its permissions") from error


def _last_run(lines: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines from where the step last falls."""
    run: list[dict[str, Any]] = []
    for line in lines:
        if run and line["step"] < run[-1]["step"]:
            run = []
        run.append(line)
    return run


def _seconds(line: Mapping[str, Any]) -> float | None:
    seconds = line.get("seconds")
    return float(seconds) if isinstance(seconds, (int, float)) else None


def _place(line: Mapping[str, Any], by: By, steps: list[tuple[int, int]]) -> float | None:
    """Where the values of a line stand; None where that is not known."""
    if by == "step":
        return float(line["step"])
    if by == "minutes":
        seconds = _seconds(line)
        return None if seconds is None else seconds / 60
    after = bisect_left(steps, (line["step"], 0))  # lines of other kinds lie between two lines that know
    step, samples = steps[min(after, len(steps) - 1)]
    before_step, before = steps[after - 1] if 0 < after < len(steps) else (0, 0)
    share = (line["step"] - before_step) / max(step - before_step, 1)
    return before + share * (samples - before)


def _figures(line: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, float]]:
    """The figures of a line by name, "grad_norm/vision"; null is NaN."""
    for name, value in line.items():
        if name in _NO_CURVE or isinstance(value, (bool, str, list)):
            continue
        if isinstance(value, dict):
            yield from _figures(value, f"{before}{name}/")
        else:
            yield before + name, math.nan if value is None else float(value)
