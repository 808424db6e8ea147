"""What `caption` and `ask` share: how answers are drawn."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from ojito.commands.telling import progress
from ojito.generate import Greedy, Sampler, Temperature, TopK, TopP
from ojito.loading import load
from ojito.pipeline import Pipeline
from ojito.presets import PRESETS


def load_model(args: Namespace) -> Pipeline:
    """The model of the command; says so when it has never learned anything."""
    with progress(f"fetching {args.model}") as tell:
        pipe = load(args.model, device=args.device, seed=args.seed or 0, progress=tell)
    if args.model in PRESETS and not Path(args.model).is_dir():
        print(f"ojito: {args.model} is a preset, and its weights are random: train it first", file=sys.stderr)
    return pipe


def drawing(args: Namespace) -> dict[str, Any]:
    """The flags of `ojito.cli.SAMPLING`, as `Pipeline.generate` and `stream` take them."""
    return {
        "max_new_tokens": args.max_new_tokens,
        "sampler": sampler(args.temperature, args.top_k, args.top_p),
        "repetition_penalty": args.repetition_penalty,
        "stop": args.stop,
        "seed": args.seed or 0,
    }


def sampler(temperature: float | None, top_k: int | None, top_p: float | None) -> Sampler:
    """The sampler that these flags describe; without any, the likeliest token it is."""
    drawn = 1.0 if temperature is None else temperature
    if top_p is not None:
        return TopP(top_p, drawn, top_k or 0)
    if top_k is not None:
        return TopK(top_k, drawn)
    return Greedy() if temperature is None else Temperature(temperature)
