"""What every log of a run has in common."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Protocol


class Sink(Protocol):
    """A place for the figures of a run.

    Attributes:
        name: What it is called in messages.
    """

    name: str

    def write(self, line: Mapping[str, Any]) -> None:
        """Add the figures of a step: "step", numbers, mappings of numbers, and what the model says ("shown")."""
        ...

    def close(self) -> None:
        """Write out what is left."""
        ...


def numbers(line: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, float]]:
    """Yield the numbers of a line under one name each, "grad_norm/vision".

    Args:
        line: Of metrics.jsonl. Its "step" is none of its figures.
        before: What all names begin with.
    """
    for name, value in line.items():
        if isinstance(value, Mapping):
            yield from numbers(value, f"{before}{name}/")
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and name != "step":
            yield before + name, float(value)


def finite(value: Any) -> Any:
    """The value with None for each number that is infinite or NaN, which JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: finite(one) for name, one in value.items()}
    return [finite(one) for one in value] if isinstance(value, (list, tuple)) else value
