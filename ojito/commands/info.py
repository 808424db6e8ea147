"""`ojito info`: the parts of a model, its parameters, and the memory that it takes."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

from ojito.bench.case import Case
from ojito.checkpoint.folder import describe
from ojito.commands.console import count, format_bytes, progress, short
from ojito.commands.info_training import foretell, lines
from ojito.config import (
    AveragePoolConfig,
    ConnectorConfig,
    DecoderConfig,
    EfficientNetConfig,
    NoVisionConfig,
    PerceiverConfig,
    PixelShuffleConfig,
    ResNetConfig,
    TrainConfig,
    VisionConfig,
)
from ojito.device import DTYPES, dtype_name, pick_device, pick_dtype
from ojito.errors import OjitoError, UsageError
from ojito.inference.quantize import quantize_shape, quantized_form
from ojito.loading import find_base_model, find_folder, find_preset, recipe_of, shape_of
from ojito.memory import answer_memory, cache_bytes, training_bytes, weight_bytes
from ojito.meter.memory import baseline_memory
from ojito.model.meta import on_meta

COMPARED = ("float32", "bfloat16")
"""The dtypes whose memory is shown."""

ABOUT = {
    "kernels": "  packed weights, and workspace",
    "cache": "  keys and values",
    "baseline": "  Python and PyTorch",
    "peak": "  all of these",
}
"""What stands beside the memory of an answer."""


def run(args: Namespace) -> int:
    """Show a model without reading or making its weights."""
    device = pick_device(args.device)
    with progress(f"fetching {args.model}") as report:
        folder = find_folder(args.model, report)
    if folder is None and args.mmproj:
        raise OjitoError("--mmproj", f"is for a GGUF file, and {args.model} is a preset", "leave it out")
    described = None if folder is None else describe(folder, args.mmproj, find_base_model(args.adapter_base))
    adapter = None if described is None else described.adapter
    if described is None:
        name, model = args.model, on_meta(find_preset(args.model).model, args.model)
    else:
        name, model = described.name, shape_of(described)
    config, parameters = model.config, count(model)
    total = sum(parameters.values())
    stored = quantized_form(model)  # of a folder that is quantized already
    form = args.quantize if stored == "none" else stored
    if args.quantize not in ("none", form):
        problem = f"{name} is in {stored} already, and cannot be in {args.quantize}"
        raise UsageError("--quantize", problem, "ask about the model that it was made from")
    learning = args.train is not None
    if learning and stored != "none":
        problem = f"{name} is in {stored}, and cannot be trained"
        raise UsageError("--train", problem, "ask about the model that it was made from")
    weights = {dtype: weight_bytes(model, DTYPES[dtype]) for dtype in COMPARED}
    training = training_bytes(model, TrainConfig())
    files = _files(folder, args.mmproj)
    default_dtype = dtype_name(pick_dtype("auto", device))
    dtype = pick_dtype(args.dtype, device)
    baseline = baseline_memory(device)
    if learning:
        recipe = find_preset(args.model) if described is None else recipe_of(described)
        step = foretell(args, recipe, device, baseline)
    batch, room = args.batch or 1, config.decoder.max_positions - config.image_tokens
    asked = min(Case.prompt_tokens, room // 2) if args.prompt_tokens is None else args.prompt_tokens
    tokens = min(Case.tokens, room - asked) if args.tokens is None else args.tokens
    if asked + tokens > room:
        problem = f"{asked + tokens} of question and answer are more than the {room} positions after the image"
        raise UsageError("--prompt-tokens, --tokens", problem, "ask for fewer")
    prompt = config.image_tokens + asked
    answering = answer_memory(
        model if quantized_form(model) == form or form == "none" else quantize_shape(model, form, dtype),
        dtype,
        batch=batch,
        prompt=prompt,
        tokens=tokens,
        baseline=baseline,
        device=device,
        mapped=args.quantize == "none",
    )

    if args.json:
        values: dict[str, Any] = {
            "name": name,
            "parameters": {**parameters, "total": total},
            "image_size": config.vision.image_size,
            "image_tokens": config.image_tokens,
            "max_positions": config.decoder.max_positions,
            "device": str(device),
            "dtype": default_dtype,
            "bytes": {
                "weights": weights,
                "cache_per_token": {dtype: cache_bytes(config.decoder, 1, DTYPES[dtype]) for dtype in COMPARED},
                "training": training,
            },
            "answer": {
                "dtype": dtype_name(dtype),
                "quantize": form,
                "batch": batch,
                "prompt": prompt,
                "tokens": tokens,
                "bytes": answering.to_dict(),
            },
            **({"step": step} if learning else {}),
            "files": files,
        }
        if adapter is not None:
            values["adapter"] = {
                "rank": adapter.config.rank,
                "layers": len(adapter.layers),
                "parameters": adapter.parameters,
                "whole": sorted(adapter.parts),
                "base": str(adapter.base.path),
            }
        print(json.dumps(values, indent=1))
        return 0

    parts = {
        "vision": _vision(config.vision),
        "connector": _connector(config.connector) if config.image_tokens else "none",
        "decoder": _decoder(config.decoder),
    }
    print(f"{name}: {short(total)} parameters, {config.image_tokens} tokens per image")
    if adapter is not None:
        also = f", and {' and '.join(sorted(adapter.parts))} in full" * bool(adapter.parts)
        numbers = f"{short(adapter.parameters)} parameters of its own"
        print(f"an adapter of LoRA for {adapter.base.path}: {numbers}, rank {adapter.config.rank} in "
              f"{len(adapter.layers)} layers{also}")  # fmt: skip
    print()
    for part, number in parameters.items():
        print(f"  {part:<10} {short(number):>7}  {parts[part]}")
    positions = config.decoder.max_positions
    print(f"\nmemory, without activations (on this machine it runs on {device} in {default_dtype})")
    for each, size in weights.items():
        cache = format_bytes(cache_bytes(config.decoder, positions, DTYPES[each]))
        print(f"  {each:<10} {format_bytes(size):>10}  plus {cache} of cache for {positions} tokens")
    if stored == "none":
        print(f"  {'training':<10} {format_bytes(training):>10}  weights, gradients and AdamW's moments in float32")
    if learning:
        print("\n".join(lines(step)))
        return 0
    rows = "a question" if batch == 1 else f"{batch} questions at once"
    matrices = "" if form == "none" else f", matrices in {form}"
    print(f"\nanswering {rows} of {prompt} tokens with {tokens}, in {dtype_name(dtype)}{matrices}")
    for part, size in answering.to_dict().items():
        print(f"  {part:<11} {format_bytes(size):>9}{ABOUT.get(part, '')}")
    if files:
        print("\nfiles")
        for file, size in files.items():
            print(f"  {file:<20} {format_bytes(size):>10}")
    return 0


def _files(place: Path | None, mmproj: str | None) -> dict[str, int]:
    """The names and bytes of a folder's files, or of a GGUF file and its mmproj."""
    if place is None:
        return {}
    found = sorted(place.iterdir()) if place.is_dir() else [place]
    found += [Path(mmproj)] if mmproj else []
    return {path.name: path.stat().st_size for path in found if path.is_file()}


def _vision(config: VisionConfig) -> str:
    if isinstance(config, EfficientNetConfig):
        body = f"EfficientNet-Lite, {sum(config.blocks)} blocks, {config.width} wide"
    elif isinstance(config, NoVisionConfig):
        return "none: the model reads text alone"
    elif isinstance(config, ResNetConfig):
        body = f"ResNet, {sum(config.blocks)} blocks, {config.width} wide"
    else:
        body = f"ViT, {_layers(config.layers)}, {config.width} wide, patch {config.patch_size}"
    return f"{body}; image {config.image_size} x {config.image_size}, {config.grid} x {config.grid} patches"


def _connector(config: ConnectorConfig) -> str:
    reduce = ""
    if isinstance(config, PerceiverConfig):
        reduce = f"perceiver with {config.queries} queries, "
    elif isinstance(config, (PixelShuffleConfig, AveragePoolConfig)):
        reduce = f"{config.reduce.replace('_', ' ')} {config.factor} x {config.factor}, "
    return f"{reduce}{config.project}"


def _decoder(config: DecoderConfig) -> str:
    heads = f"{config.heads} heads"
    if config.kv_heads != config.heads:
        heads += f" ({config.kv_heads} for keys and values)"
    reach = f"{config.max_positions} {config.positions} positions, {config.mask} mask"
    return f"{_layers(config.layers)}, {config.width} wide, {heads}, vocabulary {config.vocab_size}, {reach}"


def _layers(number: int) -> str:
    return f"{number} layer{'s' * (number != 1)}"
