"""`ojito pack-data`: data as shards, tar archives in WebDataset's layout."""

from __future__ import annotations

import dataclasses
import json
import sys
from argparse import Namespace
from pathlib import Path

from ojito.commands.console import format_bytes, progress
from ojito.config import Config
from ojito.data import Source, check_address, read_source
from ojito.data.shard_writer import check_folder, write_shards
from ojito.errors import ConfigError
from ojito.settings import override, read


def run(args: Namespace) -> int:
    """Write the shards."""
    changed = override({}, args.settings)
    for group in changed:
        if group != "data":
            raise ConfigError(group, "is not of data, as all settings here are", "use for example data.max_bad=0.5")
    data = read(Config, changed).data
    check_address(args.data)
    check_folder(Path(args.out), args.force)  # before the data are read, which may take long
    with progress(f"reading {args.data}") as report:
        # Questions about an image go together, so that the image is written once.
        source: Source = read_source(args.data, data.max_bad, pack=True, rows_mb=data.rows_mb, progress=report)
    with progress(f"writing {args.out}") as report:
        packed = write_shards(source, Path(args.out), args.shard_mb * 2**20, data.max_bad, args.force, report)
    if args.json:
        shards = [dataclasses.asdict(shard) for shard in packed.shards]
        print(json.dumps({"out": args.out, "rows": packed.rows, "shards": shards, "problems": packed.problems}))
        return 0
    for shard in packed.shards:
        print(f"{shard.file}  {shard.rows:>9,} rows  {format_bytes(shard.bytes):>9}  {shard.split}".rstrip())
    left_out = f"; {len(packed.problems):,} were left out" if packed.problems else ""
    print(f"ojito: {packed.rows:,} rows are in {args.out}{left_out}", file=sys.stderr)
    return 0
