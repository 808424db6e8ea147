"""A Hugging Face folder, and what its files say in Ojito's settings.

    config.json                                          the model's sizes           families, decoders, towers
    model.safetensors, or shards and an index            the weights                 tensors, keys
    tokenizer.json, tokenizer_config.json                the vocabulary              preprocessing
    preprocessor_config.json or processor_config.json    how images become pixels    preprocessing
    generation_config.json                               which tokens end an answer  preprocessing

A chat template is a program. It is never run: `chat_templates` knows the usual forms by their marks.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ojito.checkpoint.description import Described, OpenFolder, Part, PartKind
from ojito.checkpoint.huggingface.decoders import DECODERS
from ojito.checkpoint.huggingface.families import FAMILIES, Family
from ojito.checkpoint.huggingface.fields import Fields, config_of, known
from ojito.checkpoint.huggingface.parts import WITH_TOWER, read_decoder, read_tower
from ojito.checkpoint.huggingface.preprocessing import read_image_settings
from ojito.checkpoint.huggingface.resnet import MODEL_TYPE as RESNET
from ojito.checkpoint.huggingface.text_settings import read_family_text
from ojito.checkpoint.huggingface.towers import TOWERS
from ojito.config import ProcessorConfig
from ojito.settings import read as read_settings


def recognizes(values: Mapping[str, Any]) -> bool:
    """Whether a config.json with these fields is of this form."""
    return "format" not in values and "model_type" in values


def read(opened: OpenFolder) -> Described:
    """Describe the model of a folder.

    Raises:
        CheckpointError: A file is missing or damaged, or describes what Ojito does not have.
        ConfigError: Sizes that make no model.
    """
    with config_of(opened) as f:
        name = f.text("model_type")
        if name not in FAMILIES:
            part = name in (*DECODERS, *TOWERS, *WITH_TOWER, RESNET)
            hint = "it is a part: join it with another by ojito.build" if part else known(FAMILIES)
            raise f.error("model_type", name, hint)
        return _read_family(opened, f, FAMILIES[name])


def _read_family(opened: OpenFolder, f: Fields, family: Family) -> Described:
    folder = opened.path
    model, keys = family.read_model(f)
    text = read_family_text(folder, f, family)
    settings = {
        "image": read_image_settings(folder, family.image_settings(family.parts(f)[0]), model.vision.image_size),
        "tokenizer": text.tokenizer,
        "prompt": {**text.prompt, "max_tokens": model.decoder.max_positions},
    }
    processor = read_settings(ProcessorConfig, settings, "processor")
    tokenizer = Path(processor.tokenizer.path)
    return Described(opened, "huggingface", opened.name, model, processor, tokenizer, keys, family=family.model_type)


def read_part(opened: OpenFolder, kind: PartKind) -> Part:
    """Describe the vision tower or the decoder of a folder: by itself, one of a pair, or part of a model.

    Raises:
        CheckpointError: A file is missing or damaged, or there is no such part that Ojito knows.
        ConfigError: Sizes that make no such part.
    """
    return read_tower(opened) if kind == "vision" else read_decoder(opened)
