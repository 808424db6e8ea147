"""`ojito plot`: the curves of runs, as a chart, on the terminal, or as JSON."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path

from ojito.errors import UsageError
from ojito.plot.chart import FORMS, write_chart
from ojito.plot.curves import read_run
from ojito.plot.text import ASCII, BLOCKS, summary


def run(args: Namespace) -> int:
    """Show the curves, and draw them where there is a file for it."""
    out = None if args.out is None else Path(args.out)
    if out is not None and out.suffix.lower() not in FORMS:
        raise UsageError(f"--out {args.out}", "is no form of image", f"end it in {', '.join(FORMS)}")
    runs = [read_run(path, args.by) for path in args.runs]
    if out is not None:
        write_chart(runs, out)
    if args.json:
        print(json.dumps([one.to_dict() for one in runs]))
    else:
        blocks = BLOCKS if _writes(BLOCKS + "→") else ASCII
        print("\n".join(summary(one, blocks) if blocks == BLOCKS else _plain(summary(one, blocks)) for one in runs))
    if out is not None:
        print(f"ojito: the curves are drawn in {out}", file=sys.stderr)
    return 0


def _plain(text: str) -> str:
    return text.replace("→", "->")


def _writes(text: str) -> bool:
    """Whether the terminal has these characters."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
