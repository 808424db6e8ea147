"""`ojito compare`: whether two evaluations differ by more than chance."""

from __future__ import annotations

import json
import sys
from argparse import Namespace

from ojito.commands.paths import check_page
from ojito.errors import UsageError
from ojito.evaluate.compared_page import LIMIT, page
from ojito.evaluate.runs import Compared, Prediction, compare_runs, read_run
from ojito.evaluate.scoring import check_metrics
from ojito.web_page import write_page

_SHOWN = 5
_CERTAIN = 0.05


def run(args: Namespace) -> int:
    """Compare the predictions of two runs."""
    metrics = None if args.metrics is None else [name.strip() for name in args.metrics.split(",")]
    check_metrics(metrics or ())
    if args.limit is not None and args.out is None:
        raise UsageError(f"--limit {args.limit}", "is of a page, and none is written", "add --out compare.html")
    if args.out is not None:
        check_page("--out", args.out)
    found = compare_runs(read_run(args.run_a), read_run(args.run_b), metrics)
    if args.json:
        print(json.dumps({"a": args.run_a, "b": args.run_b, **found.to_dict()}, ensure_ascii=False, indent=1))
    else:
        _tell(found, args.run_a, args.run_b)
    if args.out is not None:
        limit = LIMIT if args.limit is None else args.limit
        write_page(args.out, page(found, args.run_a, args.run_b, limit=limit))
        print(f"ojito: both runs are side by side in {args.out}", file=sys.stderr)
    return 0


def _tell(found: Compared, a: str, b: str) -> None:
    left_out = f"; {found.left_out} of one run alone are left out" if found.left_out else ""
    print(f"A  {a}\nB  {b}\n{found.n} questions of both{left_out}\n")
    width = max(map(len, found.scores))
    print(f"{'':<{width}}  {'A':>7}  {'B':>7}  {'A - B':>7}  {'95% interval':<18}  p")
    for name, (one, other, difference) in found.scores.items():
        interval = f"{difference.low:+.3f} to {difference.high:+.3f}"
        said = "" if difference.p < _CERTAIN else "  may be chance"
        print(
            f"{name:<{width}}  {one:>7.3f}  {other:>7.3f}  {difference.difference:>+7.3f}  {interval:<18}  "
            f"{difference.p:.4f}{said}"
        )
    for title, pairs in (("right in A, wrong in B", found.won), ("right in B, wrong in A", found.lost)):
        print(f"\n{title}: {len(pairs)}")
        for ours, theirs in pairs[:_SHOWN]:
            print(f"  {_where(ours)}: A {ours.given!r}, B {theirs.given!r}, expected {ours.turn.answers[0]!r}")


def _where(one: Prediction) -> str:
    return f"{one.origin or 'a row'}, {one.turn.prompt or 'caption'}"
