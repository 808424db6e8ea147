"""`ojito bench`: what answers of a model cost on this machine, in seconds and memory."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from itertools import product

import torch

from ojito.bench.case import Case
from ojito.bench.figures import Bench
from ojito.bench.page import page
from ojito.bench.run import bench
from ojito.commands.console import progress
from ojito.errors import UsageError
from ojito.threads import keeping_threads
from ojito.web_page import write_page

COLUMNS = ("batch", "prompt", "image s", "first token s", "ms/token", "tokens/s", "answer s", "peak GB", "foretold")


def run(args: Namespace) -> int:
    """Measure every batch size with every length of the prompt."""
    if args.prompt is not None and args.prompt_tokens is not None:
        problem = "gives the question, and --prompt-tokens its length"
        raise UsageError(f"--prompt {args.prompt!r}", problem, "use one of the two")
    if args.prompt is not None and not args.prompt.strip():
        raise UsageError(f"--prompt {args.prompt!r}", "is empty", "write a question, or leave it out")
    lengths = args.prompt_tokens or (Case.prompt_tokens,)
    cases = [Case(batch, length, args.tokens) for batch, length in product(args.batch, lengths)]
    with keeping_threads(), progress(f"measuring {args.model}") as report:
        if args.threads is not None:
            torch.set_num_threads(args.threads)
        found = bench(
            args.model,
            cases,
            device=args.device,
            dtype=args.dtype,
            quantize=args.quantize,
            prompt=args.prompt or "",
            image_size=args.image_size,
            rounds=args.rounds,
            seed=args.seed or 0,
            progress=report,
        )
    if args.json:
        print(json.dumps(found.to_dict()))
    else:
        _print(found)
    if args.out is not None:  # last: a page that cannot be written costs no figures
        write_page(args.out, page(found))
        print(f"ojito: the figures are drawn in {args.out}", file=sys.stderr)
    return 0


def _print(found: Bench) -> None:
    """Print the figures as a table, with what they stand beside."""
    stored = "" if found.quantize == "none" else f", matrices in {found.quantize}"
    where = found.machine.get("gpu") or f"{found.machine['cpu']}, {found.machine['threads']} threads"
    print(f"{found.name} in {found.dtype}{stored}, on {where}\n")
    first = found.cases[0]
    print(
        f"load {found.load_seconds:.2f} s, first answer {first.cold_seconds:.2f} s, the others {first.seconds:.2f} s\n"
    )
    print("  ".join(f"{name:>{_width(name)}}" for name in COLUMNS))
    for case in found.cases:
        cells = (
            case.batch,
            case.prompt,
            f"{case.encode_seconds:.3f}",
            f"{case.first_token_seconds:.3f}",
            f"{case.ms_per_token:.1f}",
            f"{case.tokens_per_second:.1f}",
            f"{case.seconds:.2f}",
            f"{case.peak / 1e9:.2f}",
            f"{case.foretold.peak / 1e9:.2f}",
        )
        print("  ".join(f"{cell:>{_width(name)}}" for name, cell in zip(COLUMNS, cells, strict=True)))
    limits = found.limits
    print(
        f"\nThis machine reads {limits.bytes_per_second / 1e9:.1f} GB/s "
        f"and multiplies {limits.operations_per_second / 1e12:.2f} TFLOP/s:"
    )
    for case in found.cases:
        print(
            f"  batch {case.batch}, prompt {case.prompt}: decoding at {case.decode_share:.0%} of what reading allows, "
            f"the prompt at {case.prompt_share:.0%} of what products allow"
        )


def _width(name: str) -> int:
    return max(len(name), 6)
