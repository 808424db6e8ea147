"""Run the cases: see `benchmarks/training/__init__.py`."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import benchmarks.training
from benchmarks.measure import in_process, write
from benchmarks.training.cases import BATCHES, CASES, MEMORY, Case
from ojito.device import fast_bfloat16

_NANOVLM = {1: 4449, 8: 5373, 16: 7604, 32: 12074, 128: 38834, 256: 74561}
"""MB on a GPU by batch size, as nanoVLM's README has them; 512 did not fit 80 GB."""

_KINDS = {"none": (), "full": ("train.checkpoint=[vision,decoder]",)}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training",
        description=benchmarks.training.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--case", action="append", choices=[*CASES, "memory", "batches", "gpu"], help="may be repeated")
    parser.add_argument("--only", help="of --case memory: those whose name has this in it")
    parser.add_argument("--peer", choices=["nanovlm"], help="measured beside, with --case step")
    parser.add_argument("--nanovlm", type=Path, metavar="DIR", help="a checkout of github.com/huggingface/nanoVLM")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], help="default: the faster one of the device")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="settings over the recipe")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each, in turns (default 3)")
    parser.add_argument("--steps", type=int, default=3, help="that count, in each process (default 3)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--once", metavar="JSON", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.precision = args.precision or ("bfloat16" if fast_bfloat16(args.device) else "float32")
    torch.set_num_threads(args.threads)
    if args.once:
        print(json.dumps(once(json.loads(args.once), args)))
        return
    if args.peer and not args.nanovlm:
        parser.error("--peer nanovlm needs --nanovlm DIR")
    for name in args.case or [*CASES]:
        {"memory": memory, "batches": batches, "gpu": batches}.get(name, lambda args, name=name: speed(name, args))(
            args
        )


def speed(name: str, args: argparse.Namespace) -> None:
    """Images a second and peak memory of a step, beside the peer's."""
    who = ["ojito", *([args.peer] if args.peer and name == "step" else [])]
    found: dict[str, list[dict[str, Any]]] = {one: [] for one in who}
    for _ in range(args.rounds):
        for one in who:
            asked = {"who": one, "case": vars(CASES[name].with_settings(*args.set))}
            found[one].append(alone(asked, args))
            print(f"{name}: {one:8} {line(found[one][-1])}", flush=True)
    middle = {one: medians(measured) for one, measured in found.items()}
    for one, measured in middle.items():
        print(f"{name}: {one:8} {line(measured)}   (median)", flush=True)
    if len(who) > 1:
        ratios = {key: middle["ojito"][key] / middle[args.peer][key] for key in ("images_per_second", "peak_bytes")}
        print(f"{name}: {ratios['images_per_second']:.2f} times the images, {ratios['peak_bytes']:.2f} of the memory")
    keep(f"training-{name}", args, {"found": middle})


def memory(args: argparse.Namespace) -> None:
    """Peak memory of a step, foretold beside measured."""
    rows = {}
    for name, case in MEMORY.items():
        if args.only and args.only not in name:
            continue
        told = alone({"who": "foretold", "case": vars(case)}, args)["peak"]
        measured = alone({"who": "ojito", "case": vars(case)}, args, steps=1)["peak_bytes"]
        rows[name] = {"foretold": told, "measured": measured, "off": round(told / measured - 1, 3)}
        print(f"{name:36} foretold {told / 1e6:7.0f} MB   measured {measured / 1e6:7.0f} MB   "
              f"{told / measured - 1:+.1%}", flush=True)  # fmt: skip
        if not args.only:
            keep("training-memory", args, {"bytes": rows})


def batches(args: argparse.Namespace) -> None:
    """Peak memory, images a second and MFU of nanoVLM-222M by batch size, with and without checkpointing."""
    table: dict[str, dict[str, Any]] = {}
    device = torch.device(args.device)
    for rows in BATCHES[device.type]:
        for kind, settings in _KINDS.items():
            case = CASES["step"].with_settings(*settings, *args.set, rows=rows)
            name = f"{rows} {kind}"
            try:
                table[name] = alone({"who": "ojito", "case": vars(case)}, args)
                print(f"{name:12} {line(table[name])}   nanoVLM on a GPU: {_NANOVLM.get(rows, '-')} MB", flush=True)
            except subprocess.CalledProcessError as error:
                table[name] = {"failed": error.returncode}
                print(f"{name:12} failed with status {error.returncode}; see above", flush=True)
            keep("training-batches", args, {"found": table, "nanovlm_published_mb": _NANOVLM})


def once(asked: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """What this process measures."""
    case, device = Case(**{**asked["case"], "settings": tuple(asked["case"]["settings"])}), torch.device(args.device)
    if asked["who"] == "nanovlm":
        from benchmarks.training import with_nanovlm

        return with_nanovlm.step(args.nanovlm, case, args.precision, device, args.steps)
    from benchmarks.training import with_ojito

    if asked["who"] == "foretold":
        return with_ojito.foretold(case, args.precision, device)
    return with_ojito.step(case, args.precision, device, args.steps)


def alone(asked: dict[str, Any], args: argparse.Namespace, steps: int | None = None) -> dict[str, Any]:
    """What a process of its own measures."""
    words = ["--once", json.dumps(asked), "--device", args.device, "--precision", args.precision]
    words += ["--steps", str(steps or args.steps)]
    words += ["--nanovlm", str(args.nanovlm)] if args.nanovlm else []
    return in_process("benchmarks.training", words, args.threads)


def keep(name: str, args: argparse.Namespace, result: dict[str, Any]) -> None:
    """Writes a result, unless settings of one's own were tried."""
    if not args.set:
        write(name, torch.device(args.device), {"precision": args.precision, "rounds": args.rounds, **result})


def medians(measured: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Of each figure, over the rounds."""
    return {key: round(statistics.median(one[key] for one in measured), 4) for key in measured[0]}


def line(found: dict[str, Any]) -> str:
    """The figures."""
    text = f"{found['images_per_second']:8.2f} images/s  {found['peak_bytes'] / 1e6:7.0f} MB"
    return text + (f"  MFU {found['mfu']:.1%} ({found['mfu_language']:.1%} language)" if "mfu" in found else "")


if __name__ == "__main__":
    main()
