"""JSON of rows, with what Python's reader passes over in silence: a key that is there twice, NaN."""

from __future__ import annotations

import json
from typing import Any

from ojito.data.keys import BadRow


def loads(text: str) -> Any:
    """Read a JSON text.

    NaN, which is how Python and pandas write a missing value, is None. An object that has a key twice is a `BadRow` in
    its place, since the other objects of an array are no worse for it.

    Raises:
        json.JSONDecodeError: It is not JSON.
        ValueError: It holds a whole number of thousands of digits.
        RecursionError: It is nested too deeply.
    """
    return _DECODER.decode(text)


def _object(pairs: list[tuple[str, Any]]) -> Any:
    values = dict(pairs)
    if len(values) == len(pairs):
        return values
    seen: set[str] = set()
    twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return BadRow(f"has the key {twice!r} twice", "leave one of them out")


def _constant(name: str) -> float | None:
    return None if name == "NaN" else float(name.replace("Infinity", "inf"))


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
