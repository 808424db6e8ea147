"""What is checked before memory is taken for weights: whether they can be there, fit in, and fit together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ojito.checkpoint import CheckpointError, read_header
from ojito.config import DecoderConfig, ModelConfig, ResNetConfig, TokenizerConfig, ViTConfig
from ojito.device import available_memory
from ojito.model import VLM
from ojito.model.initialise import shapes_only
from ojito.processor import Tokenizer
from ojito.settings import ConfigError, write

LEARNED = ("kind", "vocab_size", "phrases", "path")
"""Settings of a tokenizer that say how it came about."""

_FEWEST = 6  # tensors of a layer, of whatever kind


def on_meta(config: ModelConfig, name: str) -> VLM:
    """The model without memory for its weights.

    Raises:
        CheckpointError: The config's sizes are absurd.
    """
    try:
        with shapes_only():
            return VLM(config)
    except (RuntimeError, ValueError, OverflowError, TypeError):  # PyTorch's, on sizes beyond 64 bits
        problem = "the config's sizes are beyond any memory; use the config of a real model"
        raise CheckpointError(f"{name}: {problem}") from None


def check_layers(folder: Path, config: ModelConfig | ViTConfig | ResNetConfig | DecoderConfig) -> None:
    """Building costs time for every layer, on `meta` too: a config may not ask for more than there are tensors for.

    Raises:
        CheckpointError: It does.
    """
    layers, tensors = _layers(config), len(read_header(folder))
    if layers * _FEWEST > tensors:
        raise CheckpointError(
            f"{folder}: config.json asks for {layers} layers, but {tensors} tensors are too few for them; "
            "use the files of one model"
        )


def _layers(config: ModelConfig | ViTConfig | ResNetConfig | DecoderConfig) -> int:
    """The layers of a vision tower, of a decoder or of both and what is between."""
    if isinstance(config, ResNetConfig):
        return sum(config.blocks)
    if not isinstance(config, ModelConfig):
        return config.layers
    between = config.connector.layers if config.connector.reduce == "perceiver" else 0
    return _layers(config.vision) + between + _layers(config.decoder)


def check_memory(name: str, model: VLM, dtype: torch.dtype, device: torch.device) -> None:
    """Tells before the system kills the process.

    Raises:
        ValueError: Too little memory.
    """
    needed = sum(p.numel() for p in model.parameters()) * dtype.itemsize
    free = available_memory(device)
    if free is not None and needed > free:
        raise ValueError(
            f"{name} needs {needed / 2**30:.1f} GiB for its weights in {str(dtype).removeprefix('torch.')}, and "
            f"{free / 2**30:.1f} GiB are free on {device}; use a smaller model or free memory"
        )


def check_vocabulary(where: Path | str, tokenizer: Tokenizer, vocab_size: int) -> None:
    """Whether the decoder has an embedding for every token.

    Raises:
        CheckpointError: It has not.
    """
    if tokenizer.size > vocab_size:
        raise CheckpointError(
            f"{where}: the tokenizer has {tokenizer.size} entries, and the model {vocab_size}; "
            "use the files of one model"
        )


def check_tokenizer(folder: Path, known: TokenizerConfig, asked: TokenizerConfig) -> None:
    """Whether a recipe leaves a folder's tokenizer as it is; tokens may be added and named otherwise.

    Raises:
        ConfigError: It does not.
    """
    for name in LEARNED:
        before, after = getattr(known, name), getattr(asked, name)
        if before != after:
            raise ConfigError(
                f"processor.tokenizer.{name}",
                f"{after!r} asks for another tokenizer than the one that the weights in {folder} know; "
                f"leave it at {before!r}",
            )


@contextmanager
def naming_settings(group: str, described: Any, asked: Any) -> Iterator[None]:
    """Has an error about a folder's weights name the settings that are not those of the folder.

    Args:
        group: Where in a recipe they are, "model.vision".
        described: The folder's config.
        asked: The config of the model that is filled.
    """
    try:
        yield
    except CheckpointError as error:
        differing = list(_differing(group, write(described), write(asked)))
        if not differing:
            raise
        raise CheckpointError(f"{error}, and leave {', '.join(differing)}") from None


def _differing(key: str, before: Any, after: Any) -> Iterator[str]:
    """The settings that are not what they were: "model.vision.image_size at 224"."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in before:
            yield from _differing(f"{key}.{name}", before[name], after.get(name))
    elif before != after:
        yield f"{key} at {before}"
