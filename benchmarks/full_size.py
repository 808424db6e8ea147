"""PaliGemma-3B in its exact published shape: written to disk, loaded beside transformers, asked about a photograph.

    python -m benchmarks.full_size              the whole of it; needs 6 GB of disk and 20 GB of memory
    python -m benchmarks.full_size --short      the same code at a thousandth of the size

The weights are random, so the answer is nonsense; its time is not. Every load is a process of its own, so that the peak
of its resident memory is its own, too: Ojito, transformers, Ojito, transformers. A load is model and processor, imports
not counted. "read" is the load and one pass over all weights, since a file that is only mapped has not been read yet.
The results are written after every task.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.measure import machine, write
from benchmarks.public import gemma_tokenizer

SHAPES = {
    "full": ("paligemma-3b-224", ()),
    "short": (
        "paligemma-3b-224",
        ("model.vision.width=72", "model.vision.layers=2", "model.vision.heads=2", "model.vision.mlp_dim=64",
         "model.decoder.width=64", "model.decoder.layers=2", "model.decoder.mlp_dim=128"),
    ),
}  # fmt: skip
PARAMETERS, TENSORS = 2_923_466_480, 603
QUESTION = "what is in the image?"


def main() -> None:
    """Writes, loads, asks, and puts the figures into results/."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--rounds", type=one_or_more, default=3, help="of each load")
    parser.add_argument("--tokens", type=one_or_more, default=20, help="of the answer")
    parser.add_argument("--folder", type=Path, help="where the model is, or goes, and stays; default: a temporary one")
    parser.add_argument("--photo", type=Path, help="default: one that is drawn")
    parser.add_argument("--once", nargs=3, metavar=("LIBRARY", "DTYPE", "TASK"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.once:
        print(json.dumps(once(*args.once, args.folder, args.photo, args.tokens)))
        return

    folder = args.folder or Path(tempfile.mkdtemp(prefix="ojito-full-size-"))
    try:
        result: dict[str, Any] = {}
        if not (folder / "config.json").exists():
            result["write_s"] = make(folder, "short" if args.short else "full")
        photo = args.photo or draw(folder / "photo.png")
        sizes = [path.stat().st_size for path in folder.glob("*.safetensors")]
        result |= {"weights_gb": round(sum(sizes) / 1e9, 3), "files": len(sizes)}
        for dtype, task in (("bfloat16", "load"), ("bfloat16", "read"), ("float32", "load"), ("float32", "answer")):
            count = 1 if task == "answer" else args.rounds
            result[f"{task} {dtype}"] = beside(folder, photo, dtype, task, count, args.tokens)
            print(f"{task} {dtype}: {json.dumps(result[f'{task} {dtype}'])}", flush=True)
            if not args.short:
                print(write("full_size", torch.device("cpu"), result))
    finally:
        if not args.folder:
            shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(machine(torch.device("cpu"))))


def one_or_more(text: str) -> int:
    """A count from the command line."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is too few or no number; use 1 or more")
    return int(text)


def make(folder: Path, size: str) -> float:
    """Writes a folder of this shape, in bfloat16, as Hugging Face's; returns the seconds that it took."""
    import ojito
    from ojito.model.meta import on_meta
    from ojito.pipeline import Pipeline

    start = time.perf_counter()
    name, settings = SHAPES[size]
    config = ojito.preset(name, settings)
    model = on_meta(config.model, name)
    # Drawing three billion numbers takes minutes: these are the same million over and over, in another order.
    block = torch.randn(2**20 + 7, generator=torch.Generator().manual_seed(0)).bfloat16()
    state = {}
    for number, (key, tensor) in enumerate(model.state_dict().items()):
        drawn = block.roll(number).repeat(tensor.numel() // len(block) + 1)[: tensor.numel()]
        state[key] = drawn.view(tensor.shape) * (0.02 if tensor.ndim > 1 else 0.1)
    model.load_state_dict(state, assign=True)
    if size == "full":
        parameters = sum(p.numel() for p in model.parameters())
        assert (parameters, len(state)) == (PARAMETERS, TENSORS)
    tokenizer, processor = gemma_tokenizer(), config.processor
    from ojito.processor import Processor

    sizes = (config.model.vision.image_size, config.model.image_tokens, config.model.decoder.max_positions)
    Pipeline(model, Processor(processor, tokenizer, *sizes), config).export(folder)
    return round(time.perf_counter() - start, 1)


def beside(folder: Path, photo: Path, dtype: str, task: str, rounds: int, tokens: int) -> dict[str, Any]:
    """Medians of both libraries, in turns. What a process says on stderr is seen as it says it."""
    found: dict[str, list[dict[str, float]]] = {"ojito": [], "transformers": []}
    for _ in range(rounds):
        for library, measured in found.items():
            command = [sys.executable, "-m", "benchmarks.full_size", "--folder", str(folder), "--photo", str(photo)]
            command += ["--tokens", str(tokens), "--once", library, dtype, task]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
            if done.returncode:
                sys.exit(f"{library}, {task} {dtype}: {ended(done.returncode)}")
            measured.append(json.loads(done.stdout.splitlines()[-1]))
    return {
        library: {key: round(statistics.median(m[key] for m in measured), 3) for key in measured[0]}
        for library, measured in found.items()
    }


def ended(status: int) -> str:
    """How a process ended that did not do its work."""
    if status == -signal.SIGKILL:
        return "killed, as happens where memory is used up; the whole of it needs 20 GB"
    if status < 0:
        return f"ended by {signal.Signals(-status).name}; see above"
    return f"failed with status {status}; see above"


def once(library: str, dtype: str, task: str, folder: Path, photo: Path, tokens: int) -> dict[str, float]:
    """Loads, and reads or answers; seconds of each, and the peak of resident memory in GB."""
    if library == "ojito":
        from ojito import load

        start = time.perf_counter()
        pipe = load(folder, device="cpu", dtype=dtype)
        loaded, model = time.perf_counter(), pipe.model

        def answer() -> int:
            return len(pipe.ask(photo, QUESTION, max_new_tokens=tokens).tokens)
    else:
        from transformers import AutoProcessor, PaliGemmaForConditionalGeneration, PaliGemmaProcessor
        from transformers.utils import logging

        logging.disable_progress_bar()
        assert PaliGemmaProcessor is not None  # imported
        start = time.perf_counter()
        processor = AutoProcessor.from_pretrained(folder, backend="pil")
        model = PaliGemmaForConditionalGeneration.from_pretrained(folder, dtype=getattr(torch, dtype))
        loaded = time.perf_counter()

        def answer() -> int:
            inputs = processor(images=Image.open(photo), text=f"<image>{QUESTION}", return_tensors="pt")
            inputs.pop("labels", None)
            out = model.generate(**inputs, max_new_tokens=tokens, do_sample=False)
            return out.shape[1] - inputs["input_ids"].shape[1]

    measured = {"load_s": loaded - start}
    if task == "read":
        for parameter in model.parameters():
            parameter.detach().view(torch.uint8).max()
        measured["load_and_read_s"] = time.perf_counter() - start
    if task == "answer":
        with torch.inference_mode():
            measured["tokens"] = answer()
        measured["load_and_answer_s"] = time.perf_counter() - start
    measured["peak_gb"] = peak() / 1e9
    measured["peak_over_weights"] = peak() / sum(p.nbytes for p in model.parameters())
    return measured


def peak() -> int:
    """The most bytes of memory that this process has ever had."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("no VmHWM: this benchmark needs Linux")


def draw(path: Path) -> Path:
    """An image to ask about."""
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)).save(path)
    return path


if __name__ == "__main__":
    main()
