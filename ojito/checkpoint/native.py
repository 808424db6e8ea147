"""A folder that Ojito saved: config.json, model.safetensors, processor.json, tokenizer.json, perhaps recipe.yaml.

Safetensors and JSON, no pickle and no code. Nothing is allocated before the names, shapes and dtypes in the file's
header are found to be those of the model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ojito.checkpoint.description import Described, OpenFolder, Part, PartKind
from ojito.checkpoint.files import CONFIG, CheckpointError, find_file, path_setting, read_json
from ojito.checkpoint.keys import KeyMap
from ojito.checkpoint.tensors.writing import write_weights
from ojito.config import Config, ModelConfig, ProcessorConfig
from ojito.config.processor_file import PROCESSOR_FILE, read_processor_file
from ojito.settings import ConfigError, read_yaml, write
from ojito.settings import read as read_settings

FORMAT = 1
QUANTIZED = ("int8", "int4")
"""Forms that the weights of a folder may be quantized to."""

RECIPE, TOKENIZER = "recipe.yaml", "tokenizer.json"
LEARNED = ("kind", "vocab_size", "phrases", "path")
"""Settings of a tokenizer that say how it came about."""

_MAX_RECIPE = 64 * 2**10  # bytes: YAML takes long to read


def save_model(
    folder: Path | str, name: str, config: ModelConfig, state: Mapping[str, Tensor], quantize: str = "none"
) -> None:
    """Write config.json and model.safetensors; call it within `staged_save`.

    Args:
        folder: That of `staged_save`.
        name: The model's name.
        config: The model's config.
        state: Its state dict.
        quantize: The form of its weights.
    """
    values = {"format": FORMAT, "name": name, "model": write(config)}
    if quantize != "none":
        values["quantize"] = quantize
    (Path(folder) / CONFIG).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    write_weights(Path(folder), state)


def recognizes(values: Mapping[str, Any]) -> bool:
    """Whether a config.json with these fields is Ojito's."""
    return "format" in values


def read(opened: OpenFolder) -> Described:
    """Describe the model of a folder.

    Raises:
        CheckpointError: A file is missing or damaged, or the files do not fit together.
        ConfigError: A setting that cannot be used.
    """
    folder = opened.path
    name, model = _config(folder / CONFIG, opened.values)
    quantize = opened.values.get("quantize", "none")
    processor = read_processor(folder, model)
    recipe = read_recipe(folder)
    return Described(
        opened, "native", name, model, processor, folder / TOKENIZER, KeyMap(), recipe=recipe, quantize=quantize
    )


def read_processor(folder: Path, model: ModelConfig) -> ProcessorConfig:
    """Return the config of the processor in a folder, beside its tokenizer.

    Raises:
        CheckpointError: A file is missing, or the processor is of another model.
        ConfigError: A setting that cannot be used.
    """
    for file in (PROCESSOR_FILE, TOKENIZER):
        find_file(folder, file)
    processor, *sizes = read_processor_file(folder)
    needed = [model.vision.image_size, model.image_tokens]
    if sizes != needed:
        problem = f"processor and model do not fit: image size and tokens {sizes} and {needed}"
        raise CheckpointError(folder, problem, "use the files of one model")
    return processor


def read_recipe(folder: Path) -> Config | None:
    """Return the recipe in a folder; None where it has none.

    Raises:
        CheckpointError: It is no plain file.
        ConfigError: A setting that cannot be used.
    """
    if not (folder / RECIPE).exists():
        return None
    path = find_file(folder, RECIPE, _MAX_RECIPE)
    return read_settings(Config, read_yaml(path), str(path))


def read_part(opened: OpenFolder, kind: PartKind) -> Part:
    """Describe the vision tower or the decoder of a folder.

    Raises:
        CheckpointError: A file is missing or damaged.
        ConfigError: A setting that cannot be used.
    """
    described = read(opened)
    if described.quantize != "none":
        problem = f"is quantized to {described.quantize}, and parts are for training"
        raise CheckpointError(opened.path, problem, "use the model that it was made from")
    learned = {key: value for key, value in write(described.processor.tokenizer).items() if key not in LEARNED}
    return Part(
        described.model.vision if kind == "vision" else described.model.decoder,
        KeyMap(ignored=(rf"(?!{kind}\.).*",)),
        image=write(described.processor.image),
        tokenizer={**learned, "kind": "file", "path": path_setting(described.tokenizer)},
        prompt={"bos": described.processor.prompt.bos},
        name=described.name,
        folder=opened,
    )


def read_config(folder: Path | str) -> tuple[str, ModelConfig]:
    """The name and the config of a folder's model.

    Raises:
        CheckpointError: No such file, not JSON, or not Ojito's.
        ConfigError: A setting that cannot be used.
    """
    return _config(Path(folder) / CONFIG, read_json(folder, CONFIG))


def _config(path: Path, values: Mapping[str, Any]) -> tuple[str, ModelConfig]:
    known = {"format", "name", "model"}
    if set(values) - {"quantize"} != known or not isinstance(values["name"], str):
        raise CheckpointError(path, f"does not hold {', '.join(sorted(known))}", "save the model again")
    if values["format"] != FORMAT:
        problem = f"is of format {values['format']!r}, and this Ojito reads {FORMAT}"
        raise CheckpointError(path, problem, "update Ojito")
    if values.get("quantize", "int8") not in QUANTIZED:
        problem = f"has quantize {values['quantize']!r}, and this Ojito reads {' and '.join(QUANTIZED)}"
        raise CheckpointError(path, problem, "update Ojito")
    try:
        return values["name"], read_settings(ModelConfig, values["model"], "model")
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.where}", error.problem, error.remedy) from None
