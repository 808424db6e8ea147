"""The table of what was measured, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.quality.terms import DATA, architectures

_HEADS = {"exact_match": "right", "cider": "CIDEr-D"}


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: a row for each architecture, with each score, its 95% interval, and what looking adds to it."""
    found = {(row["name"], row["data"]): row for row in rows}
    about = architectures()
    names = [name for name in about if any(row["name"] == name for row in rows)]
    data = [one for one in DATA.values() if any(row["data"] == one.name for row in rows)]
    heads = [f"{one.name}: {_HEADS[one.score]} | by looking" for one in data]
    lines = [f"| architecture | parameters | {' | '.join(heads)} |", "|" + "---|" * (2 + 2 * len(data))]
    last = data[-1].name if data else ""
    names.sort(key=lambda name: -found.get((name, last), {"score": 0})["score"])
    for name in names:
        cells = [found.get((name, one.name)) for one in data]
        parameters = max(cell["parameters"] for cell in cells if cell)
        line = [f"`{name}`", f"{parameters / 1e6:.2f}M"]
        for cell in cells:
            line += ["", ""] if cell is None else [_score(cell), f"{cell['above_exchanged']['difference']:+.3f}"]
        lines.append(f"| {' | '.join(line)} |")
    return "\n".join([*lines, "", *(f"- `{name}`: {about[name]}" for name in names)])


def _score(cell: Mapping[str, Any]) -> str:
    return f"{cell['score']:.3f} ({cell['low']:.3f} to {cell['high']:.3f})"
