"""`ojito convert`: a model in another form, or of another dtype."""

from __future__ import annotations

import json
import math
import sys
from argparse import Namespace
from collections import Counter
from pathlib import Path
from typing import Any

from ojito.checkpoint import holds_model, read_header
from ojito.commands.telling import count, memory, progress, short
from ojito.device import DTYPES
from ojito.loading import find_folder, load

NAMES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
"""What files of weights call the dtypes."""


def run(args: Namespace) -> int:
    """Reads a model of any form, and writes it."""
    out = Path(args.out)
    if holds_model(out) and not args.force:
        raise ValueError(f"--out {out} holds a model already; choose another folder, or replace it with --force")
    with progress(f"fetching {args.model}") as tell:
        folder = find_folder(args.model, tell)
    # On the CPU, and in the dtype that it has, a model is read from its files as it is written.
    dtype = "float32" if folder is None else dtype_of(folder)
    device = "cpu" if args.device == "auto" else args.device
    pipe = load(folder or args.model, device=device, dtype=dtype, seed=args.seed or 0)
    if folder is None:
        print(f"ojito: {args.model} is a preset, and its weights are random: train it first", file=sys.stderr)
    dtype, family = args.dtype or dtype, None
    if args.to == "ojito":
        pipe.model.to(DTYPES[dtype])
        pipe.save(out)
    else:
        base = "" if folder is None or Path(args.model).is_dir() else args.model.partition("@")[0]
        with progress(f"writing {out}") as tell:
            family = pipe.export(out, force=args.force, dtype=dtype, base_model=base, progress=tell).family
    _conclude(args, out, family, dtype, sum(count(pipe.model).values()))
    return 0


def dtype_of(folder: Path) -> str:
    """The dtype of most of the folder's numbers; float32 where Ojito does not compute in it."""
    sizes: Counter[str] = Counter()
    for entry in read_header(folder).values():
        sizes[entry.dtype] += math.prod(entry.shape)
    return NAMES.get(max(sizes, key=sizes.__getitem__, default=""), "float32")


def _conclude(args: Namespace, out: Path, family: str | None, dtype: str, parameters: int) -> None:
    files = {path.name: path.stat().st_size for path in sorted(out.iterdir()) if path.is_file()}
    if args.json:
        values: dict[str, Any] = {"model": args.model, "out": str(out), "to": args.to, "family": family}
        print(json.dumps({**values, "parameters": parameters, "dtype": dtype, "files": files}, indent=1))
        return
    size = f"{short(parameters)} parameters in {dtype}, {memory(sum(files.values()))}"
    if family is None:
        print(f"{out} is {args.model} in Ojito's own form: {size}")
        return
    print(f"{out} is {args.model} in the form of Hugging Face, family {family}: {size}")
    if "README.md" in files:
        print(f"next: say in {out / 'README.md'} what the model is for, and under which license it comes")
