"""What `ojito eval` prints: tables for people."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from typing import Any

from ojito.evaluate import Baselines, Report
from ojito.evaluate.chance import kinds_at_chance
from ojito.evaluate.confusion import confusion
from ojito.evaluate.kinds import kinds_table
from ojito.evaluate.metrics.score import signed
from ojito.evaluate.scoring import scores_table
from ojito.evaluate.without_looking import without_looking_table


def print_values(values: Mapping[str, Any], report: Report, baselines: Baselines | None) -> None:
    """Print the tables of an evaluation, each that it has.

    Args:
        values: What `ojito eval --json` writes.
        report: The evaluation.
        baselines: Captions that are chosen without looking.
    """
    print_scores(report, baselines)
    print(f"\n{scores_table(values['metrics'])}")
    blind = values.get("without_looking", {})
    if "metrics_per_kind" in values:
        print(f"\n{kinds_table(values['metrics_per_kind'], blind)}")
    if blind:
        print(f"\n{without_looking_table(blind)}")
    if "grounding" in values:
        print(f"\n{_grounding_table(values['grounding'], report)}")


def findings(report: Report) -> dict[str, Any]:
    """What stands out, for JSON: kinds of question at chance, and wrong answers that come again."""
    return {
        "at_chance": [dataclasses.asdict(one) for one in kinds_at_chance(report)],
        "confusion": [dataclasses.asdict(pair) for pair in confusion(report)],
    }


def print_scores(report: Report, baselines: Baselines | None) -> None:
    """Print the scores as a table: all questions and each kind, with the controls beside them."""
    tables = {"": Report(report.graded), "blank": Report(report.blank), "exchanged": Report(report.exchanged)}
    tables = {name: table for name, table in tables.items() if table.graded}
    captions = report.scores.overlap is not None
    head = [name or "right" for name in tables] + [name or "overlap" for name in tables] * captions
    kinds = ["all", *report.per_kind] if len(report.per_kind) > 1 else ["all"]
    width = max(map(len, kinds))
    print(" " * width + "      n" + "".join(f"{name:>11}" for name in head))
    for kind in kinds:
        beside = [table.scores if kind == "all" else table.per_kind.get(kind) for table in tables.values()]
        cells = ["" if scores is None else f"{scores.exact_match:.1%}" for scores in beside]
        cells += ["" if scores is None or scores.overlap is None else f"{scores.overlap:.3f}" for scores in beside]
        n = report.scores.n if kind == "all" else report.per_kind[kind].n
        print(f"{kind:<{width}}  {n:>5}" + "".join(f"{cell:>11}" for cell in cells).rstrip())
    if len(tables) > 1:
        print("\nblank, exchanged: the same with an empty image, or with that of another row; what guessing is worth")
    if baselines:
        print(
            f"\ncaptions without looking: overlap {baselines.constant_overlap:.3f} for always saying "
            f'"{baselines.constant}", {baselines.random_overlap:.3f} for random captions of the training rows'
        )
    for one in kinds_at_chance(report):
        print(f"\nat chance, so that nothing shows that it looks: {one.said}")
    if report.scores.cut:
        print(f"\n{cut_line(report)}")
    for problem in report.problems:
        print(f"ojito: not asked: {problem}", file=sys.stderr)


def cut_line(report: Report) -> str:
    """What to know about answers that the limit of tokens cut off."""
    return (
        f"{report.scores.cut} of {report.scores.n} answers were cut off at {report.limit} tokens; "
        "raise it with --max-new-tokens"
    )


def _grounding_table(values: dict[str, Any], report: Report) -> str:
    """The same for people."""
    lines = [f"{'':<10}  {'right':>6}  {'loss':>6}  loss above that with the image (95% interval)"]
    seen = next((one["loss_seen"] for name, one in values.items() if name != "seen"), None)
    lines.append(f"{'the image':<10}  {report.scores.exact_match:>6.1%}  " + ("" if seen is None else f"{seen:>6.3f}"))
    for name, one in values.items():
        if name != "seen":
            lines.append(f"{name:<10}  {one['exact_match']:>6.1%}  {one['loss']:>6.3f}  {signed(one['loss_above'])}")
    return "\n".join(lines)
