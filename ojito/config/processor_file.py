"""processor.json, which a saved processor leaves beside its tokenizer."""

from __future__ import annotations

import json
from pathlib import Path

from ojito.config.processor import ProcessorConfig
from ojito.settings import ConfigError, read, read_text

PROCESSOR_FILE = "processor.json"
MAX_BYTES = 2**20


def read_processor_file(folder: Path | str) -> tuple[ProcessorConfig, int, int]:
    """The config, the image size in pixels and the tokens of an image, of the processor in a folder.

    Raises:
        ConfigError: The file is missing or damaged.
    """
    path = Path(folder) / PROCESSOR_FILE
    text = read_text(path, MAX_BYTES, "give a folder that was saved")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise ConfigError(str(path), "is not JSON", "save the model again") from None
    sizes = [values.pop(key, None) for key in ("image_size", "image_tokens")] if isinstance(values, dict) else []
    # Both are 0 in a model of text alone.
    if not sizes or not all(type(size) is int and size >= 0 for size in sizes) or bool(sizes[0]) != bool(sizes[1]):
        raise ConfigError(str(path), "needs image_size and image_tokens, whole numbers", "save the model again")
    image_size, image_tokens = sizes
    return read(ProcessorConfig, values, str(path)), image_size, image_tokens
