"""metrics.jsonl: one JSON object a line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ojito.trainer.logs.sink import finite

METRICS = "metrics.jsonl"


class JsonLines:
    """metrics.jsonl in a folder, each line written out at once.

    Lines are added to those of earlier runs, which are never lost; where `step` falls, another run begins.

    Args:
        folder: Where it is, or will be.
        after: The step that a run is gone on with from: lines of that run about later steps go. They are made again.
    """

    def __init__(self, folder: Path, after: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / METRICS
        self.name = str(path)
        self._file = path.open("a", encoding="utf-8")
        with path.open("rb") as lines:
            if after is not None:
                self._file.truncate(_length_until(lines, after))
            elif self._file.tell():
                lines.seek(-1, os.SEEK_END)
                if lines.read() != b"\n":  # a crash cut a line off, and the next one must not be part of it
                    self._file.write("\n")

    def write(self, line: Mapping[str, Any]) -> None:
        """Add a line."""
        self._file.write(json.dumps(finite(line), ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _length_until(lines: Iterable[bytes], after: int) -> int:
    """Bytes of the lines up to the last run's first line about a step later than `after`."""
    length = kept = last = 0
    cut = False
    for line in lines:
        step = step_of(line)
        if step is not None and step < last:  # another run: all of the one before stays
            kept, cut = length, False
        length += len(line)
        cut |= step is not None and step > after
        if not cut and line.endswith(b"\n"):
            kept = length
        last = last if step is None else step
    return kept


def step_of(line: bytes | str) -> int | None:
    """The step that a line is about; None of a line that was cut off, or is none of a run."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None
    step = values.get("step") if isinstance(values, dict) else None
    return step if isinstance(step, int) and not isinstance(step, bool) else None
