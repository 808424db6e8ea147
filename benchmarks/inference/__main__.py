"""Run the cases: see `benchmarks/inference/__init__.py`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import benchmarks.inference
from benchmarks.inference import with_llama, with_openvino
from benchmarks.inference.cases import CASES, FORMS, Case
from benchmarks.measure import in_process, write
from ojito.bench.random_model import write_random_model
from ojito.device import fast_bfloat16

PEERS = ("transformers", "eager", "llama.cpp", "openvino")

Entry = tuple[str, str]
"""Who answers, "ojito" or a peer, and in which form."""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.inference",
        description=benchmarks.inference.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--case", action="append", choices=CASES, help="default: all; may be repeated")
    parser.add_argument("--form", action="append", choices=FORMS, help="of Ojito's weights; default: all")
    parser.add_argument("--peer", action="append", choices=PEERS, help="default: all that are installed")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each, in turns (default 3)")
    parser.add_argument("--tokens", type=int, help="of an answer; default: the case's")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu", help="of Ojito, eager and transformers")
    parser.add_argument("--node", type=Path, help="folder in which node-llama-cpp is installed")
    parser.add_argument("--gguf", type=Path, help="for llama.cpp and Ojito, instead of random weights of the shape")
    parser.add_argument("--tiny", action="store_true", help="small shapes; nothing is written")
    parser.add_argument("--once", nargs=4, metavar=("CASE", "WHO", "FORM", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.once:
        name, who, form, folder = args.once
        print(json.dumps(once(asked(name, args.tokens), who, form, Path(folder), args)))
        return
    for name in args.case or CASES:
        measure(name, args)


def asked(name: str, tokens: int | None) -> Case:
    """The case of that name, with answers of so many tokens."""
    return CASES[name] if tokens is None else dataclasses.replace(CASES[name], tokens=tokens)


def measure(name: str, args: argparse.Namespace) -> None:
    """Measures a case, in turns, and writes the result after every round: what was measured is not lost."""
    case = asked(name, args.tokens)
    print(f"{name}: {case.about}", flush=True)
    found: dict[Entry, list[dict[str, Any]]] = {entry: [] for entry in entries(case, args)}
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="ojito-inference-") as made:
        folders = Folders(Path(made), case, args)
        for _ in range(args.rounds):
            for entry, measured in found.items():
                said = " ".join(entry)
                if said in failed:
                    continue
                try:
                    measured.append(alone(name, entry, folders.of(*entry), args))
                except subprocess.CalledProcessError as error:
                    failed[said] = f"failed with status {error.returncode}"
                    print(f"  {said}: {failed[said]}; see above", flush=True)
            if not args.tiny:
                result = {" ".join(entry): medians(measured) for entry, measured in found.items() if measured}
                about = {"about": case.about, "rounds": args.rounds, "versions": versions(args), "failed": failed}
                device = torch.device(args.device)
                write(f"inference-{name}", device, {**about, "found": result})
    for entry, measured in found.items():
        if measured:
            print(f"  {' '.join(entry):24} {line(medians(measured))}", flush=True)


def entries(case: Case, args: argparse.Namespace) -> list[Entry]:
    """Who is measured in which form: Ojito in those asked for, and each peer in its own."""
    forms, peers = args.form or list(FORMS), args.peer or list(PEERS)
    quantized = [form for form in forms if form in with_llama.QUANTIZED]
    # Where bfloat16 is emulated, a prompt takes four times as long in it, and nobody would choose it.
    plain = ["float32", "bfloat16"] if fast_bfloat16(args.device) else ["float32"]
    able: dict[str, tuple[list[str], str, bool]] = {
        # A command in both: float32 is what is fast, bfloat16 what transformers loads unasked.
        "transformers": (["float32", "bfloat16"] if case.work == "ask" else plain, "", case.work in ("answer", "ask")),
        "eager": (plain, "", case.work == "answer"),
        "llama.cpp": (quantized, with_llama.missing(args.node), case.work == "answer" and case.preset != "minimal-gpt"),
        "openvino": (["int8"], with_openvino.missing(), case.work == "layers"),
    }
    found: list[Entry] = [("ojito", form) for form in forms]
    for peer in peers:
        its, lacking, takes_part = able[peer]
        if lacking and takes_part:
            print(f"  {peer} is left out: {lacking}", flush=True)
        elif takes_part:
            found += [(peer, form) for form in its]
    return found


class Folders:
    """The models that are read, each written when it is first needed.

    Args:
        root: A temporary folder.
        case: What is measured.
        args: Of the command line.
    """

    def __init__(self, root: Path, case: Case, args: argparse.Namespace) -> None:
        self.root, self.case, self.args = root, case, args

    def of(self, who: str, form: str) -> Path:
        """Where the model of a process is."""
        if who == "llama.cpp":
            config = self.case.config(self.args.tiny).model.decoder
            make: Callable[[Path], object] = lambda path: with_llama.write_gguf(path, config, form)  # noqa: E731
            return self.args.gguf or self._made(f"{form}.gguf", make)
        if who in ("transformers", "openvino") and self.case.work != "ask":
            return self.root  # they make theirs in memory
        if self.case.work == "ask":
            public = self._made("public", self._public)
            return (
                public if form not in with_llama.QUANTIZED else self._made(form, lambda out: convert(public, out, form))
            )
        if self.args.gguf and who == "ojito":
            return self.args.gguf
        dtype = "float32" if form == "float32" else "bfloat16"
        exact = self._made(dtype, lambda folder: self._random(folder, getattr(torch, dtype)))
        quantized = who == "ojito" and form in with_llama.QUANTIZED
        return self._made(form, lambda out: convert(exact, out, form)) if quantized else exact

    def _made(self, name: str, make: Callable[[Path], object]) -> Path:
        path = self.root / name
        if not path.exists():
            try:
                make(path)
            except BaseException:
                shutil.rmtree(path, ignore_errors=True)
                raise
        return path

    def _random(self, folder: Path, dtype: torch.dtype) -> None:
        folder.mkdir()
        write_random_model(folder, self.case.config(self.args.tiny), dtype)

    def _public(self, folder: Path) -> None:
        size = "short" if self.args.tiny else "full"
        code = f"from pathlib import Path; from benchmarks.full_size import make; make(Path({str(folder)!r}), {size!r})"
        subprocess.run([sys.executable, "-c", code], check=True)


def convert(public: Path, out: Path, form: str) -> None:
    """A folder whose weights are quantized already."""
    words = ["convert", str(public), "--to", "ojito", "--quantize", form, "--out", str(out)]
    subprocess.run([sys.executable, "-m", "ojito", *words], stdout=subprocess.DEVNULL, check=True)


def alone(name: str, entry: Entry, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """What one process measures."""
    words = ["--once", name, *entry, str(folder), "--device", args.device]
    words += ["--tiny"] if args.tiny else []
    words += [] if args.node is None else ["--node", str(args.node)]
    words += [] if args.tokens is None else ["--tokens", str(args.tokens)]
    return in_process("benchmarks.inference", words, args.threads)


def once(case: Case, who: str, form: str, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """What this process measures."""
    config = case.config(args.tiny).model
    if who == "llama.cpp":
        return with_llama.answer(case, folder, config, args.node, args.threads)
    if who == "openvino":
        return with_openvino.layers(config, args.threads)
    if who == "transformers":
        if case.work == "ask":
            return ask_transformers(folder, case.tokens, form)
        from benchmarks.inference import with_transformers

        return with_transformers.answer(case, config, form, args.device)
    from benchmarks.inference import with_ojito

    if who == "eager":
        return with_ojito.eager(case, folder, form, args.device)
    work = {"answer": with_ojito.answer, "rows": with_ojito.several, "ask": with_ojito.ask, "layers": with_ojito.layers}
    return work[case.work](case, folder, form, args.device)


def ask_transformers(folder: Path, tokens: int, form: str) -> dict[str, Any]:
    """The seconds of a script that answers once, from the start of its process to its end."""
    from benchmarks.inference.with_ojito import children_peak, picture

    (folder.parent / "photo.jpg").write_bytes(picture(0, 480))
    code = "from pathlib import Path; from benchmarks.inference.with_transformers import ask; "
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", f"{code}ask(Path({str(folder)!r}), {tokens}, {form!r})"],
        stdout=subprocess.PIPE,
        check=True,
    )
    return {"seconds": time.perf_counter() - start, "peak_gb": children_peak()}


def medians(measured: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Of each figure, over the rounds."""
    return {key: round(statistics.median(one[key] for one in measured), 4) for key in measured[0]}


def versions(args: argparse.Namespace) -> dict[str, str]:
    """Of the peers that are installed."""
    found = {}
    for package in ("torch", "transformers", "openvino", "gguf"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    package = None if args.node is None else args.node / "node_modules" / "node-llama-cpp" / "package.json"
    if package is not None and package.is_file():
        found["node-llama-cpp"] = json.loads(package.read_text(encoding="utf-8"))["version"]
    return found


def line(found: dict[str, float]) -> str:
    """The figures that say most."""
    first = ("seconds", "first_token_seconds", "ms_per_token", "cold_seconds", "load_seconds", "peak_gb")
    shown = [key for key in first if key in found] + [
        key for key in found if key.startswith(("times", "all", "at_", "one_"))
    ]
    return "  ".join(f"{key.removesuffix('_seconds')} {found[key]:.3f}" for key in shown)


if __name__ == "__main__":
    main()
