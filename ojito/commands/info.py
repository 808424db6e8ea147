"""`ojito info`: what a model is made of, and what it takes."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import Any

from ojito.commands.console import count, memory, progress, short
from ojito.config import (
    AveragePoolConfig,
    ConnectorConfig,
    DecoderConfig,
    PerceiverConfig,
    PixelShuffleConfig,
    ResNetConfig,
    ViTConfig,
)
from ojito.device import fast_bfloat16, pick_device
from ojito.loading import find_folder, find_preset, read_shape
from ojito.memory import LEARNING, cache_per_token
from ojito.model.meta import on_meta

BYTES = {"float32": 4, "bfloat16": 2}


def run(args: Namespace) -> int:
    """Shows the model; neither reads nor makes its weights."""
    device = pick_device(args.device)
    with progress(f"fetching {args.model}") as tell:
        folder = find_folder(args.model, tell)
    if folder is None:
        name, model = args.model, on_meta(find_preset(args.model).model, args.model)
    else:
        name, model = read_shape(folder)
    config, parameters = model.config, count(model)
    total = sum(parameters.values())
    files = {p.name: p.stat().st_size for p in sorted(folder.iterdir()) if p.is_file()} if folder else {}
    runs_in = "bfloat16" if fast_bfloat16(device) else "float32"

    if args.json:
        values: dict[str, Any] = {
            "name": name,
            "parameters": {**parameters, "total": total},
            "image_size": config.vision.image_size,
            "image_tokens": config.image_tokens,
            "max_positions": config.decoder.max_positions,
            "device": str(device),
            "dtype": runs_in,
            "bytes": {
                "weights": {dtype: total * size for dtype, size in BYTES.items()},
                "cache_per_token": {dtype: cache_per_token(config.decoder) * size for dtype, size in BYTES.items()},
                "training": total * LEARNING["adamw"],
            },
            "files": files,
        }
        print(json.dumps(values, indent=1))
        return 0

    said = {"vision": _vision(config.vision), "connector": _connector(config.connector)}
    said["decoder"] = _decoder(config.decoder)
    print(f"{name}: {short(total)} parameters, {config.image_tokens} tokens a picture\n")
    for part, number in parameters.items():
        print(f"  {part:<10} {short(number):>7}  {said[part]}")
    positions = config.decoder.max_positions
    print(f"\nmemory, without activations (here it would run on {device} in {runs_in})")
    for dtype, size in BYTES.items():
        cache = memory(cache_per_token(config.decoder) * size * positions)
        print(f"  {dtype:<10} {memory(total * size):>10}  and {cache} of cache for {positions} tokens")
    training = f"{memory(total * LEARNING['adamw']):>10}"
    print(f"  {'training':<10} {training}  weights, gradients and AdamW's moments in float32")
    if files:
        print("\nfiles")
        for file, size in files.items():
            print(f"  {file:<20} {memory(size):>10}")
    return 0


def _vision(config: ViTConfig | ResNetConfig) -> str:
    if isinstance(config, ResNetConfig):
        body = f"ResNet, {sum(config.blocks)} blocks, {config.width} wide"
    else:
        body = f"ViT, {_layers(config.layers)}, {config.width} wide, patch {config.patch_size}"
    return f"{body}; picture {config.image_size} x {config.image_size}, {config.grid} x {config.grid} patches"


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
