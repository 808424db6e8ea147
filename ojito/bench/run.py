"""Measure what an answer costs: seconds of each of its parts, and memory, beside what was foretold."""

from __future__ import annotations

import dataclasses
import io
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ojito.bench.case import Case
from ojito.bench.figures import Bench, Measured
from ojito.bench.random_model import write_random_model
from ojito.bench.roofline import Limits, measure_limits, prompt_operations, step_bytes
from ojito.device import dtype_name, pick_device, pick_dtype
from ojito.errors import OjitoError
from ojito.generate import GenerateOptions, prefill, step
from ojito.inference import quantized_form
from ojito.loading import find_folder, find_preset, load
from ojito.memory import answer_memory, check_memory
from ojito.meter.clock import Stopwatch
from ojito.meter.machine import machine
from ojito.meter.memory import baseline_memory, peak_memory, reset_peak
from ojito.model.meta import on_meta
from ojito.pipeline import Pipeline
from ojito.presets import preset
from ojito.records import IGNORE, IMAGE, SHARED, Batch, Progress, Sample

_WIDTH, _HEIGHT = 640, 480  # pixels of the image that is asked about


def bench(
    name: Path | str,
    cases: Sequence[Case],
    *,
    device: torch.device | str = "auto",
    dtype: torch.dtype | str = "auto",
    quantize: str = "none",
    prompt: str = "",
    image_size: int | None = None,
    rounds: int = 3,
    seed: int = 0,
    measuring: float = 0.3,
    progress: Progress | None = None,
) -> Bench:
    """Measure what answers of a model cost.

    Args:
        name: As for `load`. A preset's weights are random ones, written to a temporary folder and loaded from there.
        cases: What to ask, one after another.
        device: As for `load`.
        dtype: As for `load`.
        quantize: How to store the matrices.
        prompt: Text of the question; empty asks with as many random tokens as the case says.
        image_size: Of a preset, pixels of a side; None leaves it.
        rounds: Answers of each case that count; one more comes before them.
        seed: Of random weights, tokens and images.
        measuring: Seconds for each of the machine's limits.
        progress: Called with the cases that are done, and all of them.

    Raises:
        OjitoError: As for `load`; too few rounds, a prompt and an answer that are too long for the model, or an image
            size for a model that has one.
        CheckpointError: As for `load`.
        ConfigError: As for `load`, or an image size that the vision tower cannot read.
    """
    if rounds < 1:
        raise OjitoError("rounds", f"{rounds} measure nothing", "use 1 or more")
    torch_device = pick_device(device)
    torch_dtype = pick_dtype(dtype, torch_device)
    before = measure_limits(torch_dtype, torch_device, quantize, measuring)
    baseline = baseline_memory(torch_device)
    with tempfile.TemporaryDirectory(prefix="ojito-bench-") as made:
        folder = find_folder(name)
        if folder is None:
            config = find_preset(str(name))
            if image_size is not None:
                config = preset(str(name), [f"model.vision.image_size={image_size}"])
            check_memory(config.name, on_meta(config.model, config.name), torch_dtype, torch_device)
            folder = Path(made)
            write_random_model(folder, config, torch_dtype, seed)
        elif image_size is not None:
            problem = f"is {image_size}, and {name} has a size of its own"
            raise OjitoError("image_size", problem, "leave it out, or measure a preset")
        reset_peak(torch_device)
        clock = Stopwatch(torch_device)
        pipe = load(folder, torch_device, torch_dtype, quantize, seed)
        load_seconds, peak = clock.lap(), peak_memory(torch_device)
        form = quantized_form(pipe.model)  # a folder's own, where no other is asked for
        measured = []
        for number, case in enumerate(cases):
            measured.append(_measure(pipe, case, prompt, rounds, seed, baseline, quantize == "none"))
            if progress is not None:
                progress(number + 1, len(cases))
    # Twice, and the faster counts: a neighbour may keep the machine busy for a while.
    limits = before.faster(measure_limits(torch_dtype, torch_device, form, measuring))
    found = tuple(_beside(one, pipe, limits) for one in measured)
    peak = max(peak, *(one.peak for one in found))
    title = pipe.name if Path(name).is_dir() else str(name)
    return Bench(
        title, dtype_name(torch_dtype), form, load_seconds, peak, found, limits, machine(torch_device)
    )  # fmt: skip


def _measure(pipe: Pipeline, case: Case, prompt: str, rounds: int, seed: int, baseline: int, mapped: bool) -> Measured:
    """What one case takes."""
    device = pipe.device
    reset_peak(device)
    pixels, encode, first, rest = (list[float]() for _ in range(4))
    for _ in range(rounds + 1):
        clock = Stopwatch(device)
        read = pipe.processor([Sample(_files(pipe, seed + row), prompt) for row in range(case.batch)])
        pixels.append(clock.lap())
        batch = (read if prompt else _random_rows(pipe, case, seed)).to(device)
        seconds = _answer(pipe, batch, case.tokens)
        first.append(seconds[0])
        rest.append(seconds[1])
        with torch.inference_mode():
            clock = Stopwatch(device)
            if batch.images is not None:
                pipe.prepared().encode(batch.images)
            encode.append(clock.lap())
    length = batch.tokens.shape[1]
    foretold = answer_memory(
        pipe.model, pipe.model.dtype, batch=case.batch, prompt=length, tokens=case.tokens, images=batch.num_images,
        baseline=baseline, device=device, mapped=mapped,
    )  # fmt: skip
    return Measured(
        batch=case.batch,
        prompt=length,
        tokens=case.tokens,
        images=batch.num_images,
        pixels_seconds=statistics.median(pixels[1:]),
        encode_seconds=statistics.median(encode[1:]),
        first_token_seconds=statistics.median(first[1:]),
        ms_per_token=1000 * statistics.median(rest[1:]) / (case.tokens - 1),
        seconds=statistics.median(a + b for a, b in zip(first[1:], rest[1:], strict=True)),
        cold_seconds=first[0] + rest[0],
        peak=peak_memory(device),
        foretold=foretold,
    )


def _answer(pipe: Pipeline, batch: Batch, tokens: int) -> tuple[float, float]:
    """Seconds to the first token of an answer, and of all others; the cache ends with it."""
    clock = Stopwatch(pipe.device)
    options = GenerateOptions(max_new_tokens=tokens, drafts=0)
    state = prefill(pipe.prepared(), batch, options, eos=(), vocab_size=pipe.processor.tokenizer.size)
    if min(row.limit for row in state.running) < tokens:
        most = pipe.model.config.decoder.max_positions
        problem = f"{batch.tokens.shape[1]} tokens and {tokens} of answer are more than {most} positions"
        raise OjitoError(pipe.name, problem, "ask for fewer")
    step(state)
    first = clock.lap()
    while not state.done:
        step(state)
    return first, clock.lap()


def _beside(one: Measured, pipe: Pipeline, limits: Limits) -> Measured:
    """The same, with its shares of what the machine allows."""
    shape, dtype = on_meta(pipe.model.config, pipe.name), pipe.model.dtype
    operations = prompt_operations(shape, one.batch, one.prompt, one.images)
    read = step_bytes(pipe.model, dtype, one.batch, one.prompt + one.tokens // 2)
    return dataclasses.replace(
        one,
        decode_share=read / limits.bytes_per_second / (one.ms_per_token / 1000),
        prompt_share=operations / limits.operations_per_second / one.first_token_seconds,
    )


def _files(pipe: Pipeline, seed: int) -> list[bytes]:
    """The images of a row: one, or none for a model of text alone."""
    return [_file(seed)] if pipe.processor.image_size else []


def _file(seed: int) -> bytes:
    """An image of noise, as a JPEG."""
    pixels = np.random.default_rng(seed).integers(0, 255, (_HEIGHT, _WIDTH, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def _random_rows(pipe: Pipeline, case: Case, seed: int) -> Batch:
    """Rows of an image, if the model sees, and random tokens, as a question of that length would be."""
    config, rng = pipe.model.config, torch.Generator().manual_seed(seed)
    length = config.image_tokens + case.prompt_tokens
    tokens = torch.randint(pipe.processor.tokenizer.size, (case.batch, length), generator=rng)
    tokens[:, : config.image_tokens] = IMAGE
    size = config.vision.image_size
    return Batch(
        tokens=tokens,
        positions=torch.arange(length).expand(case.batch, -1),
        segments=torch.full_like(tokens, SHARED),
        prefix=torch.ones_like(tokens, dtype=torch.bool),
        targets=torch.full_like(tokens, IGNORE),
        images=torch.randn(case.batch, 3, size, size, generator=rng) if size else None,
    )
