"""START HERE: a Hugging Face folder, and what its files say in our settings.

    config.json                                          the model's sizes           families, decoders, towers
    model.safetensors, or shards and an index            the weights                 tensors, keys
    tokenizer.json, tokenizer_config.json                the vocabulary              preprocessing
    preprocessor_config.json or processor_config.json    how pictures become pixels  preprocessing
    generation_config.json                               which tokens end an answer  preprocessing

A chat template is a program. It is never run: `chat_templates` knows the usual forms by their marks.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ojito.checkpoint.files import read_json
from ojito.checkpoint.huggingface.decoders import DECODERS
from ojito.checkpoint.huggingface.families import FAMILIES, Family, read_model
from ojito.checkpoint.huggingface.fields import Fields, config_of, known
from ojito.checkpoint.huggingface.nanovlm import find_tokenizer, is_nanovlm, missing_tokenizer, read_nanovlm
from ojito.checkpoint.huggingface.parts import WITH_TOWER
from ojito.checkpoint.huggingface.preprocessing import read_image_settings, read_tokenizer_settings
from ojito.checkpoint.huggingface.text_settings import read_family_text
from ojito.checkpoint.huggingface.towers import TOWERS
from ojito.checkpoint.keys import KeyMap
from ojito.checkpoint.tensors import CONFIG
from ojito.checkpoint.unsupported import check_supported
from ojito.config import ModelConfig, ProcessorConfig
from ojito.settings import read


@dataclass(frozen=True)
class Imported:
    """A model as a folder describes it.

    Attributes:
        family: The name of its family.
        model: Its config.
        processor: How it is spoken to.
        keys: What its tensors are called.
    """

    family: str
    model: ModelConfig
    processor: ProcessorConfig
    keys: KeyMap


def is_huggingface(folder: Path | str) -> bool:
    """Whether the folder's config.json is of this kind.

    Raises:
        CheckpointError: It has none, or one that is no JSON; it is an adapter.
    """
    if not (Path(folder) / CONFIG).exists():
        check_supported(folder, None)
    values = read_json(folder, CONFIG)
    check_supported(folder, values)
    return "format" not in values and ("model_type" in values or is_nanovlm(values))


def tokenizer_elsewhere(folder: Path | str) -> str:
    """The Hub's id of a tokenizer that the folder names and has not; empty if there is none.

    Raises:
        CheckpointError: No config.json, or one that is damaged.
    """
    folder = Path(folder)
    with config_of(folder) as f:
        return missing_tokenizer(folder, f) if is_nanovlm(f.values) else ""


def read_folder(folder: Path | str) -> Imported:
    """What the folder holds, weights apart.

    Raises:
        CheckpointError: A file is missing or damaged, or describes what Ojito has not.
        ConfigError: Sizes that make no model.
    """
    folder = Path(folder)
    with config_of(folder) as f:
        if is_nanovlm(f.values):
            return _read_nanovlm(folder, f)
        name = f.text("model_type")
        if name not in FAMILIES:
            part = name in (*DECODERS, *TOWERS, *WITH_TOWER)
            hint = "it is a part: join it with another by ojito.build" if part else known(FAMILIES)
            raise f.error("model_type", name, hint)
        return _read_family(folder, f, FAMILIES[name])


def _read_family(folder: Path, f: Fields, family: Family) -> Imported:
    model, keys = read_model(family, f)
    text = read_family_text(folder, f, family)
    settings = {
        "image": read_image_settings(folder, family.pictures(f), model.vision.image_size),
        "tokenizer": text.tokenizer,
        "prompt": {**text.prompt, "max_tokens": model.decoder.max_positions},
    }
    return Imported(family.model_type, model, read(ProcessorConfig, settings, "processor"), keys)


def _read_nanovlm(folder: Path, f: Fields) -> Imported:
    """A folder of nanoVLM's, and the vocabulary that it names."""
    model, settings, keys = read_nanovlm(f)
    place = find_tokenizer(folder, f)
    settings["tokenizer"] |= {name: value for name, value in read_tokenizer_settings(place, ()).items() if value}
    return Imported("nanovlm", model, read(ProcessorConfig, settings, "processor"), keys)
