"""A folder that Ojito saved: `config.json`, `model.safetensors`, and what other parts put beside them.

Reading: safetensors and JSON, no pickle and no code. Nothing is allocated before names, shapes and dtypes in the file's
header are found to be those of the model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ojito.checkpoint.files import CheckpointError, read_json
from ojito.checkpoint.tensors import CONFIG, write_weights
from ojito.config import ModelConfig
from ojito.settings import ConfigError, read, write

FORMAT = 1


def save_model(folder: Path | str, name: str, config: ModelConfig, state: Mapping[str, Tensor]) -> None:
    """Writes `config.json` and `model.safetensors`; call it within `staged_save`.

    Args:
        folder: That of `staged_save`.
        name: What the model is called.
        config: Of the model.
        state: Its state dict.
    """
    values = {"format": FORMAT, "name": name, "model": write(config)}
    (Path(folder) / CONFIG).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    write_weights(Path(folder), state)


def read_config(folder: Path | str) -> tuple[str, ModelConfig]:
    """The name and the config of the folder's model.

    Raises:
        CheckpointError: No such file, or not JSON.
        ConfigError: A setting that cannot be used.
    """
    path, values = Path(folder) / CONFIG, read_json(folder, CONFIG)
    known = {"format", "name", "model"}
    if "format" not in values:
        raise CheckpointError(
            f"{path} is neither Ojito's, which has a format, nor transformers', which has a model_type; "
            "give a folder in one of these forms"
        )
    if set(values) != known or not isinstance(values["name"], str):
        raise CheckpointError(f"{path} does not hold {', '.join(sorted(known))}; save the model again")
    if values["format"] != FORMAT:
        raise CheckpointError(f"{path} is of format {values['format']!r}, and this Ojito reads {FORMAT}; update Ojito")
    try:
        return values["name"], read(ModelConfig, values["model"], "model")
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.where}", error.problem, error.remedy) from None
