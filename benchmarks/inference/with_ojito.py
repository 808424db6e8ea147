"""Ojito's part: loaded from a folder, asked through its engine, and the tutorial's loop over the same model."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.inference.cases import Case
from benchmarks.inference.timing import median_ms, timed
from ojito.generate import GenerateOptions, prefill, step
from ojito.loading import load
from ojito.meter.clock import wait
from ojito.meter.memory import peak_memory
from ojito.pipeline import Pipeline
from ojito.records import IGNORE, IMAGE, SHARED, Batch, Sample


def open_form(folder: Path, form: str, device: str) -> tuple[Pipeline, float]:
    """A model in this form, and the seconds that loading took."""
    start = time.perf_counter()
    quantized = form in ("int8", "int4")
    pipe = load(folder, device=device, dtype="auto" if quantized else form, quantize=form if quantized else "none")
    wait(pipe.device)
    return pipe, time.perf_counter() - start


def answer(case: Case, folder: Path, form: str, device: str) -> dict[str, Any]:
    """One answer, through the engine."""
    pipe, loaded = open_form(folder, form, device)
    batch, model = rows(pipe, case, 1), pipe.prepared()

    def run(done: Callable[[], None]) -> None:
        state = prefill(model, batch, GenerateOptions(max_new_tokens=case.tokens, drafts=0), eos=())
        while not state.done:
            step(state)
            wait(pipe.device)
            done()

    found: dict[str, Any] = {"load_seconds": loaded, **timed(run, pipe.device)}
    if batch.images is not None:
        with torch.inference_mode():
            found["encode_seconds"] = median_ms(lambda: model.encode(batch.images), pipe.device) / 1000
    return found


def eager(case: Case, folder: Path, form: str, device: str) -> dict[str, Any]:
    """One answer as tutorials write it: no cache, so that every token reads image and text anew, and all logits."""
    pipe, loaded = open_form(folder, form, device)
    asked = rows(pipe, case, 1)

    @torch.inference_mode()
    def run(done: Callable[[], None]) -> None:
        batch = asked
        for _ in range(case.tokens):
            chosen = pipe.model(batch)[:, -1].argmax(-1)
            batch = longer(batch, chosen)
            wait(pipe.device)
            done()

    return {"load_seconds": loaded, **timed(run, pipe.device)}


def longer(batch: Batch, tokens: torch.Tensor) -> Batch:
    """The rows with one more token each."""
    more = {
        "tokens": tokens[:, None],
        "positions": batch.positions[:, -1:] + 1,
        "segments": batch.segments[:, -1:],
        "prefix": torch.zeros_like(batch.prefix[:, -1:]),
        "targets": batch.targets[:, -1:],
    }
    columns = {name: torch.cat((getattr(batch, name), last), dim=1) for name, last in more.items()}
    return Batch(**columns, images=batch.images)


def several(case: Case, folder: Path, form: str, device: str) -> dict[str, Any]:
    """Many questions at once, beside the same ones after another, through `Pipeline.generate`."""
    pipe, loaded = open_form(folder, form, device)
    size = pipe.model.config.vision.image_size
    images = [picture(0 if case.same_image else row, size) for row in range(case.batch)]
    samples = [Sample([image], f"what is {row}?") for row, image in enumerate(images)]
    options = GenerateOptions(max_new_tokens=case.tokens)

    def seconds(run: Callable[[], list[Any]]) -> tuple[float, int]:
        run()
        start = time.perf_counter()
        answers = run()
        return time.perf_counter() - start, sum(len(one.tokens) for one in answers)

    alone, tokens = seconds(lambda: [pipe.generate([sample], options)[0] for sample in samples])
    together, same = seconds(lambda: pipe.generate(samples, options, batch_size=case.batch))
    return {
        "load_seconds": loaded,
        "one_by_one_seconds": alone,
        "at_once_seconds": together,
        "times_as_fast": alone / together,
        "tokens_one_by_one": tokens,
        "tokens_at_once": same,
        "peak_gb": peak_memory(pipe.device) / 1e9,
    }


def ask(case: Case, folder: Path, form: str, device: str) -> dict[str, Any]:
    """The command, from the start of its process to its end."""
    photo = folder.parent / "photo.jpg"
    photo.write_bytes(picture(0, 480))
    words = ["ask", str(folder), str(photo), "what is it?", "--max-new-tokens", str(case.tokens), "--device", device]
    words += [] if form in ("int8", "int4") else ["--dtype", form]  # a quantized folder says its form itself
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "ojito", *words], stdout=subprocess.PIPE, check=True)
    return {"seconds": time.perf_counter() - start, "peak_gb": children_peak()}


def children_peak() -> float:
    """The most memory of the processes that this one has waited for, GB."""
    import resource

    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9


def layers(case: Case, folder: Path, form: str, device: str) -> dict[str, Any]:
    """Milliseconds of every matrix of a decoder layer and the head, by the number of its rows."""
    pipe, _ = open_form(folder, form, device)
    found: dict[str, Any] = {}
    (block,), config = pipe.prepared().decoder.blocks, pipe.model.config.decoder
    inputs = {"qkv": config.width, "out": config.heads * config.head_dim, "up": config.width, "down": config.mlp_dim}
    for name, width in inputs.items():
        for count in (1, 264):
            hidden = torch.randn(1, count, width, dtype=pipe.model.dtype, device=pipe.device)
            with torch.inference_mode():
                matrix = getattr(block, name)
                key = f"{width}x{matrix(hidden).shape[-1]} {name}, {count} rows, ms"
                found[key] = median_ms(lambda m=matrix, h=hidden: m(h), pipe.device)
    return {**found, **sums(found)}


def sums(found: dict[str, float]) -> dict[str, float]:
    """All matrices of a layer together."""
    return {
        f"all, {count} rows, ms": sum(ms for key, ms in found.items() if key.endswith(f", {count} rows, ms"))
        for count in (1, 264)
    }


def rows(pipe: Pipeline, case: Case, count: int) -> Batch:
    """Questions of random tokens, about images of noise."""
    config, rng = pipe.model.config, torch.Generator().manual_seed(0)
    places = config.image_tokens if case.image else 0
    length = places + case.prompt
    tokens = torch.randint(1, config.decoder.vocab_size - 1, (count, length), generator=rng)
    tokens[:, :places] = IMAGE
    size = config.vision.image_size
    return Batch(
        tokens=tokens,
        positions=torch.arange(length).expand(count, -1),
        segments=torch.full_like(tokens, SHARED),
        prefix=torch.ones_like(tokens, dtype=torch.bool),
        targets=torch.full_like(tokens, IGNORE),
        images=torch.randn(count, 3, size, size, generator=rng) if case.image else None,
    ).to(pipe.device)


def picture(seed: int, side: int) -> bytes:
    """An image of noise, as a JPEG."""
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()
