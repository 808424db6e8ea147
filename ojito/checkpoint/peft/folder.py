"""An adapter's folder: described as the model that it makes of its base, and written.

Beside PEFT's two files Ojito writes processor, tokenizer and recipe, which are then those that it is described with.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ojito.checkpoint import native
from ojito.checkpoint.description import Described
from ojito.checkpoint.files import ADAPTER_WEIGHTS, CheckpointError
from ojito.checkpoint.huggingface.families import FAMILIES
from ojito.checkpoint.peft.adapter import AdaptedFolder
from ojito.checkpoint.peft.base_model import name_of
from ojito.checkpoint.peft.config_file import AdapterConfig, write_adapter_config
from ojito.checkpoint.peft.fitting import open_adapter
from ojito.checkpoint.peft.names import PREFIX, to_theirs
from ojito.checkpoint.tensors.writing import write_file
from ojito.config import LoraConfig
from ojito.config.processor_file import PROCESSOR_FILE


def read(config: AdapterConfig, base: Described) -> Described:
    """Describe the model that an adapter makes of its base.

    Args:
        config: The adapter's adapter_config.json.
        base: The base model's description.

    Raises:
        CheckpointError: A file is missing or damaged, or is not for this model; the model is quantized.
        ConfigError: A setting that cannot be used.
    """
    folder = config.path.parent
    if base.quantize != "none":
        problem = f"is an adapter for {base.path}, which is quantized to {base.quantize}"
        raise CheckpointError(folder, problem, "name the model that that one was made from")
    adapter = open_adapter(config, base)
    processor, tokenizer = base.processor, base.tokenizer
    if (folder / PROCESSOR_FILE).exists():
        processor, tokenizer = native.read_processor(folder, base.model), folder / native.TOKENIZER
    return dataclasses.replace(
        base,
        folder=AdaptedFolder(adapter),
        name=AdaptedFolder(adapter).name,
        processor=processor,
        tokenizer=tokenizer,
        recipe=native.read_recipe(folder),
        adapter=adapter,
    )


def save_adapter(
    folder: Path,
    base: Described,
    config: LoraConfig,
    matrices: Mapping[str, tuple[Tensor, Tensor]],
    whole: Mapping[str, Tensor],
) -> None:
    """Write adapter_config.json and adapter_model.safetensors; call it within `staged_save`.

    Names are those of transformers, where the base model is in its form and has a linear layer for each of ours.

    Args:
        folder: That of `staged_save`.
        base: The base model's description.
        config: The settings of the adapters.
        matrices: A and B of each layer, by the layer's name.
        whole: Tensors that learned in full, by their names; all those of their part of the model.

    Raises:
        CheckpointError: The base model's path cannot be written down.
        OSError: The disk is full.
    """
    theirs = to_theirs(base.keys, matrices) if base.form == "huggingface" else None
    parts = sorted({name.partition(".")[0] for name in whole})
    if theirs is None:
        names, tensors, modules = {name: name for name in matrices}, dict(whole), parts
    else:
        keys = base.keys.own_names()
        names, tensors = theirs, keys.to_theirs(whole)
        modules = [section.theirs[0].rstrip(".") for part in parts for section in keys.sections
                   if section.ours == f"{part}."]  # fmt: skip
    family = FAMILIES[base.family] if theirs is not None else None
    location, revision = name_of(base.path)
    write_adapter_config(
        folder,
        base=location,
        revision=revision,
        architecture=(family.architecture, family.model_type) if family else None,
        rank=config.rank,
        alpha=config.alpha or config.rank,
        rslora=config.rslora,
        dropout=config.dropout,
        layers=[*names.values()],
        whole=modules,
    )
    for name, (a, b) in matrices.items():
        tensors |= {f"{names[name]}.lora_A.weight": a, f"{names[name]}.lora_B.weight": b}
    write_file(folder / ADAPTER_WEIGHTS, {PREFIX + name: tensor for name, tensor in tensors.items()})
