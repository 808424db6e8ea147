"""Scores by kind of question, with intervals and what is above the controls: a table for people and one for a page."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from ojito.evaluate.metrics.score import signed

_CONTROLS = ("above_blank", "above_exchanged")
_NAME = 20  # characters of a kind in a table for people
_GAP = 22

_ABOUT = (
    "Each kind of question with its main score, the interval in which that lies with 95% probability, and by how much "
    "it is above the same questions asked with less of the image, or answered from the question alone."
)


def kinds_table(kinds: Mapping[str, Any], without: Mapping[str, Any]) -> str:
    """Return the kinds as a table for people, at most 120 columns wide.

    Args:
        kinds: What `kinds_to_dict` gives.
        without: What can be had without looking, as `Blind.to_dict` gives it.
    """
    heads, rows = _cells(kinds, without, 2)
    lines = []
    for name, n, value, *gaps in [heads, *rows]:
        name = name if len(name) <= _NAME else name[: _NAME - 1] + "…"
        line = f"{name:<{_NAME}}  {n:>5}  {value:<19}" + "".join(f"  {gap:<{_GAP}}" for gap in gaps)
        lines.append(line.rstrip())
    return "\n".join(lines)


def kinds_html(kinds: Mapping[str, Any], without: Mapping[str, Any]) -> str:
    """Return the same as a section of a web page."""
    heads, rows = _cells(kinds, without, 3)
    table = f"<tr><th>{'<th>'.join(escape(head) for head in heads)}</tr>" + "".join(
        f"<tr><td>{'<td>'.join(escape(cell) for cell in row)}</tr>" for row in rows
    )
    return f'<h2>Scores by kind</h2><p>{_ABOUT}</p><div class="panel"><table>{table}</table></div>'


def _cells(kinds: Mapping[str, Any], without: Mapping[str, Any], digits: int) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of texts. The main score of a kind is the first that it has, named unless it is exact match."""
    scores = {kind: next(iter(one.items())) for kind, one in kinds.items() if one}
    controls = [key for key in _CONTROLS if any(key in one for _, one in scores.values())]
    prior = without.get("question_prior", {}).get("per_kind", {})
    heads = ["kind", "n", "score (95%)", *(key.replace("_", " ") for key in controls)]
    heads += ["above question prior"] * bool(prior)
    rows = []
    for kind, (name, one) in scores.items():
        value = f"{one['score']:.{digits}f} ({one['low']:.{digits}f} to {one['high']:.{digits}f})"
        gaps = [one.get(key) for key in controls]
        if prior:
            gaps.append(prior[kind]["model_above"] if kind in prior and name == "exact_match" else None)
        said = ["" if gap is None else signed(gap, digits) for gap in gaps]
        named = kind if name == "exact_match" else f"{kind}, {name}"
        rows.append([named, f"{one['n']}", value, *said])
    return heads, rows
