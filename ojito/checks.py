"""What is checked before memory is taken for weights: whether they can be there, fit in, and fit together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ojito.checkpoint import CheckpointError, read_header
from ojito.config import DecoderConfig, ModelConfig, PerceiverConfig, ResNetConfig, TokenizerConfig, ViTConfig
from ojito.processor import Tokenizer
from ojito.settings import ConfigError, differences

LEARNED = ("kind", "vocab_size", "phrases", "path")
"""Settings of a tokenizer that say how it came about."""


_FEWEST = 6  # tensors of a layer, of whatever kind


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
    between = config.connector.layers if isinstance(config.connector, PerceiverConfig) else 0
    return _layers(config.vision) + between + _layers(config.decoder)


def check_vocabulary(where: Path | str, tokenizer: Tokenizer, vocab_size: int) -> None:
    """Whether the decoder has an embedding for every token that can be written.

    Raises:
        CheckpointError: It has not.
    """
    if tokenizer.size > vocab_size and tokenizer.reach > vocab_size:  # the second takes a moment
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
        differing = [f"{key} at {value}" for key, value, _ in differences(described, asked, group)]
        if not differing:
            raise
        raise CheckpointError(f"{error}, and leave {', '.join(differing)}") from None
