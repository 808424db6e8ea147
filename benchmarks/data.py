"""What it takes to open large data: seconds and memory, the first time and from the index, and the cost of a row.

python -m benchmarks.data [--rows 1000000] [--folder /tmp]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image

from benchmarks.measure import write
from ojito.data import read_source
from ojito.data.shard_writer import write_shards

FORMS = ("rows.jsonl", "rows.json", "rows.csv", "rows.parquet", "shards")
PICKED = 5000
IMAGES = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", default=tempfile.gettempdir())
    parser.add_argument("--open", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.open:
        print(json.dumps(opened(Path(args.open))))
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        make(Path(folder), args.rows)
        found = {}
        for form in FORMS:
            path = Path(folder) / form
            size = sum(p.stat().st_size for p in path.rglob("*")) if path.is_dir() else path.stat().st_size
            first, again = (in_a_process(path, folder) for _ in range(2))
            found[form] = {
                "mb": round(size / 1e6),
                **first,
                "again_seconds": again["seconds"],
                "again_mb": again["added_mb"],
            }
            print(form, found[form])
    print(write("data", torch.device("cpu"), {"rows": args.rows, "opened": found}))


def make(folder: Path, count: int) -> None:
    """The same rows in each form. The shards have fewer, as their images take room."""
    for number in range(IMAGES):
        Image.effect_noise((64, 64), 90).convert("RGB").save(folder / f"{number}.jpg")
    rows = [
        {"image": f"{n % IMAGES}.jpg", "caption": f"a red kite number {n} flies over a green field near the river"}
        for n in range(count)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "rows.json").write_text(json.dumps(rows))
    (folder / "rows.csv").write_text("image,caption\n" + "".join(f'{r["image"]},"{r["caption"]}"\n' for r in rows))
    import pyarrow as arrow
    import pyarrow.parquet

    columns = {name: [row[name] for row in rows] for name in ("image", "caption")}
    arrow.parquet.write_table(arrow.table(columns), folder / "rows.parquet", row_group_size=1000)
    (folder / "few").mkdir()
    (folder / "few" / "rows.jsonl").write_text(
        "".join(json.dumps({**row, "image": f"../{row['image']}"}) + "\n" for row in rows[: count // 20])
    )
    os.environ["OJITO_CACHE"] = str(folder / "cache")
    write_shards(read_source(folder / "few" / "rows.jsonl", rows_mb=0), folder / "shards", 16 << 20, 0.0)
    for file in (folder / "shards").glob("*.index"):
        file.unlink()  # so that the first opening has to make them


def in_a_process(path: Path, folder: str) -> dict[str, float]:
    """Open data in a process of its own, whose memory is then that of the data."""
    command = [sys.executable, "-m", "benchmarks.data", "--open", str(path)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "OJITO_CACHE": f"{folder}/cache"}
    )
    return json.loads(done.stdout.splitlines()[-1])


def opened(path: Path) -> dict[str, float]:
    """Open data, and pick rows here and there."""
    before, start = memory(), time.perf_counter()
    source = read_source(path, rows_mb=0)
    rows = source.samples("train")
    seconds, draw = time.perf_counter() - start, random.Random(0)
    start = time.perf_counter()
    for _ in range(PICKED):
        assert rows[draw.randrange(len(rows))].problem is None
    each = (time.perf_counter() - start) / PICKED
    return {
        "rows": len(rows),
        "seconds": round(seconds, 2),
        "cpu_seconds": round(time.process_time(), 2),
        "added_mb": round(memory() - before),
        "peak_mb": round(memory("VmHWM") - before),
        "microseconds_a_row": round(each * 1e6),
    }


def memory(kind: str = "VmRSS") -> float:
    """Memory of this process, MB."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(kind)) * 1024 / 1e6


if __name__ == "__main__":
    main()
