"""`ojito convert`: write a model in another form, or in another dtype."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from ojito.checkpoint.folder import describe
from ojito.checkpoint.huggingface.card import CARD
from ojito.commands.console import count, format_bytes, progress, short, tell_random
from ojito.commands.paths import check_place
from ojito.device import DTYPES, pick_device
from ojito.errors import UsageError
from ojito.inference import quantized_form
from ojito.loading import find_base_model, find_folder, load, load_described
from ojito.pipeline import Pipeline


def run(args: Namespace) -> int:
    """Read a model of any form, and write it."""
    out, form = Path(args.out), args.quantize or "none"
    to = args.to or ("huggingface" if form == "none" else "ojito")
    if form != "none" and to != "ojito":
        raise UsageError(f"--to {to}", f"has no place for weights in {form}", "leave it out: Ojito's own form has")
    check_place(out, args.force)
    with progress(f"fetching {args.model}") as report:
        folder = find_folder(args.model, report)
    # On the CPU and in its own dtype, a model is mapped from its files and not copied.
    with progress(f"fetching {args.adapter_base}") as report:
        base_model = find_base_model(args.adapter_base, report)
    described = None if folder is None else describe(folder, args.mmproj, base_model)
    dtypes = {"float32"} if described is None else described.dtypes
    own = min(dtypes) if len(dtypes) == 1 and dtypes <= {*DTYPES} else "float32"
    dtype = args.dtype or own
    device = "cpu" if args.device == "auto" else args.device
    # Ojito's form is saved as it is loaded; `export` converts tensor by tensor.
    loaded = dtype if to == "ojito" else own
    with progress(f"quantizing {args.model}" if form != "none" else f"loading {args.model}") as report:
        if described is None:
            pipe = load(args.model, device, loaded, form, args.seed or 0, None, args.mmproj, args.adapter_base)
        else:
            pipe = load_described(described, pick_device(device), DTYPES[loaded], form, report)
    tell_random(args.model)
    if len(dtypes) > 1 and not args.dtype:
        mixed = f"{args.model} has weights in {' and '.join(sorted(dtypes))}"
        print(f"ojito: {mixed}; all are written in float32, unless --dtype says otherwise", file=sys.stderr)
    family = None
    if to == "ojito":
        pipe.save(out)
    elif to == "gguf":
        with progress(f"writing {out}") as report:
            family = pipe.export_gguf(out, force=True, dtype=dtype, progress=report).architecture
    else:
        kept = (out / CARD).is_file()
        base = "" if folder is None or Path(args.model).exists() else args.model.partition("@")[0]
        with progress(f"writing {out}") as report:
            family = pipe.export(out, force=True, dtype=dtype, base_model=base, progress=report).family
        if kept:
            print(f"ojito: {out / CARD} was written by you, and is kept", file=sys.stderr)
    _conclude(args, out, to, family, dtype, pipe)
    return 0


def _conclude(args: Namespace, out: Path, to: str, family: str | None, dtype: str, pipe: Pipeline) -> None:
    parameters, form = sum(count(pipe.model).values()), quantized_form(pipe.model)
    files = {path.name: path.stat().st_size for path in sorted(out.iterdir()) if path.is_file()}
    if args.json:
        values: dict[str, Any] = {"model": args.model, "out": str(out), "to": to, "family": family}
        values.update(parameters=parameters, dtype=dtype, quantize=form, files=files)
        print(json.dumps(values, indent=1))
        return
    stored = dtype if form == "none" else f"{form} and {dtype}"
    size = f"{short(parameters)} parameters in {stored}, {format_bytes(sum(files.values()))}"
    if family is None:
        print(f"{out} is {args.model} in Ojito's own form: {size}")
        return
    if to == "gguf":
        print(f"{out} is {args.model} in llama.cpp's form, architecture {family}: {size}")
        return
    print(f"{out} is {args.model} in Hugging Face's form, family {family}: {size}")
    if CARD in files:
        print(f"next: describe in {out / CARD} what the model is for, and its license")
