"""Train, ask, and fill the table: see `benchmarks/quality/__init__.py`."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

import benchmarks.quality
from benchmarks.measure import RESULTS, machine, write
from benchmarks.quality.table import table
from benchmarks.quality.terms import ARCHITECTURES, DATA, Data, architectures, settings

RESULT = "quality"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality",
        description=benchmarks.quality.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data-folder", type=Path, metavar="DATA", help="the folder that holds flickr8k_128 and nlvr")
    parser.add_argument("--only", action="append", choices=[*architectures()], help="may be repeated")
    parser.add_argument("--on", action="append", choices=[*DATA], help="may be repeated")
    parser.add_argument("--minutes", type=float, default=2.0, help="of training, for each (default 2)")
    parser.add_argument("--jobs", type=int, default=2, help="at once, each on a core of its own (default 2)")
    parser.add_argument("--out", type=Path, default=Path("runs/quality"), help="models and answers (runs/quality)")
    parser.add_argument("--table", action="store_true", help="print the table of what was measured, and train nothing")
    args = parser.parse_args()
    path = RESULTS / f"{RESULT}-cpu.json"
    stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"rows": []}
    rows = stored["rows"]
    if not args.table:
        here = machine(torch.device("cpu"))
        if any(stored.get("machine", here).get(name) != here[name] for name in ("cpu", "capable")):
            rows = []  # a table is of one machine
        asked = [(name, DATA[data]) for data in args.on or DATA for name in args.only or architectures()]
        for _, data in asked:
            data.where(args.data_folder)  # what is missing is said before the first hour
        with ThreadPoolExecutor(args.jobs) as pool:
            for row in pool.map(lambda one: measure(*one, args), asked):
                rows = [one for one in rows if (one["name"], one["data"]) != (row["name"], row["data"])] + [row]
                write(RESULT, torch.device("cpu"), {"rows": rows})
    print(table(rows))


def measure(name: str, data: Data, args: argparse.Namespace) -> dict[str, Any]:
    """One model, trained and asked, in processes of their own; what an earlier run trained is not trained again."""
    out, path = args.out / data.name / name, data.where(args.data_folder)
    began = time.monotonic()
    words = ["train", "--preset", ARCHITECTURES / f"{name}.yaml", "--data", path, "--minutes", args.minutes]
    ojito(*words, "--out", out, "--resume", "auto", *settings(name, data))
    trained = time.monotonic() - began
    scores = json.loads(ojito("eval", out, path, "--split", data.split, "--out", f"{out}-answers", "--json"))
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    score = scores["metrics"][data.score]
    row = {
        "name": name,
        "data": data.name,
        "minutes": args.minutes,
        "trained_seconds": round(trained),
        "steps": report["steps"],
        "images": report["samples"],
        "parameters": sum(part["parameters"] for part in report["parts"].values()),
        **score,
    }
    gap = score["above_exchanged"]
    told = f"{data.score} {score['score']:.3f}, {gap['difference']:+.3f} above exchanged images"
    print(f"{data.name:<7} {name:<20} {told}", file=sys.stderr, flush=True)
    return row


def ojito(*words: object) -> str:
    """What a command prints.

    Raises:
        SystemExit: It failed; says how.
    """
    command = [sys.executable, "-m", "ojito", *map(str, words)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
