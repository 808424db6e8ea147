"""`ojito info --train`: the memory that a training step of a recipe takes."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import torch

from ojito.commands.console import format_bytes
from ojito.config import Config
from ojito.device import fast_bfloat16
from ojito.errors import UsageError
from ojito.settings import override, read, write
from ojito.trainer.memory import Shape, training_memory

QUESTION, ANSWER = 24, 40
"""Tokens of text of a row, where no others are asked for."""

ABOUT = {
    "optimizer": "  its moments",
    "copy": "  of the last good weights",
    "step": "  gradients and activations at their fullest",
    "baseline": "  Python and PyTorch",
    "peak": "  all of these",
}
"""What stands beside each figure."""


def foretell(args: Namespace, recipe: Config, device: torch.device, baseline: int) -> dict[str, Any]:
    """Return what a training step of this recipe takes, and of which shape it is.

    Args:
        args: Of the command: settings, rows of a step, tokens.
        recipe: Of the preset or the folder.
        device: That trains.
        baseline: Bytes that Python and PyTorch take.

    Raises:
        ConfigError: A setting that cannot be used.
        UsageError: The row is longer than the model reads, or the rows cannot be cut into micro-batches.
    """
    asked = [*args.train] if args.batch is None else [*args.train, f"train.batch_size={args.batch}"]
    config = read(Config, override(write(recipe), asked))
    train, model = config.train, config.model
    text = QUESTION if args.prompt_tokens is None else args.prompt_tokens
    labels = ANSWER if args.tokens is None else args.tokens
    length, room = model.image_tokens + text + labels, model.decoder.max_positions
    if length > room:
        problem = f"{length} tokens of image, question and answer are more than the {room} positions"
        raise UsageError("--prompt-tokens, --tokens", problem, "ask for fewer")
    encoded = "vision" in train.frozen and config.data.views > 0 and config.processor.image.fit != "tiles"
    rows = train.batch_size // train.accumulate
    shape = Shape(rows, length, labels, int(model.image_tokens > 0), encoded)
    taken = training_memory(model, train, shape, device, baseline)
    rounds = train.precision == "bfloat16" or (train.precision == "auto" and fast_bfloat16(device))
    return {
        "batch": train.batch_size,
        "micro_batch": rows,
        "length": length,
        "labels": labels,
        "precision": "bfloat16" if rounds else "float32",
        "freeze": [*train.freeze],
        "checkpoint": [*train.checkpoint],
        "bytes": taken.to_dict(),
    }


def lines(found: dict[str, Any]) -> list[str]:
    """Return what is shown of it."""
    rows = f"{found['batch']} row{'s' * (found['batch'] != 1)}"
    if found["micro_batch"] != found["batch"]:
        rows += f", {found['micro_batch']} at a time,"
    words = {"freeze": "frozen", "checkpoint": "computed anew"}
    kept = [f"{' and '.join(found[key])} {word}" for key, word in words.items() if found[key]]
    how = "; ".join([found["precision"], *kept])
    said = [f"\na training step with {rows} of {found['length']} tokens, {found['labels']} of them learned ({how})"]
    sizes = found["bytes"].items()
    return said + [f"  {part:<11} {format_bytes(size):>9}{ABOUT.get(part, '')}" for part, size in sizes]
