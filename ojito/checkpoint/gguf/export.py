"""Export: write a model as llama.cpp reads it, a GGUF file for the decoder and an mmproj for tower and projector.

The files are described again like any others, and compared with the model, before they take their place. A model that
llama.cpp cannot compute is refused, with the settings that are in the way.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
from torch import Tensor

from ojito.checkpoint.description import Described
from ojito.checkpoint.files import KEEPS, CheckpointError
from ojito.checkpoint.gguf.decoders import GGUF_DECODERS, constants, decoder_table, write_decoder
from ojito.checkpoint.gguf.folder import read
from ojito.checkpoint.gguf.opened import OpenGguf
from ojito.checkpoint.gguf.text import ENDS
from ojito.checkpoint.gguf.towers import PROJECTORS, TOWER, write_tower
from ojito.checkpoint.huggingface.decoders import DECODERS
from ojito.checkpoint.huggingface.export import find_family, plain
from ojito.checkpoint.huggingface.families import FAMILIES, Family
from ojito.checkpoint.huggingface.fields import Fields
from ojito.checkpoint.huggingface.processor_files import chat_template, check_prompt
from ojito.checkpoint.huggingface.tokenizer_files import SpecialIds
from ojito.checkpoint.keys import KeyMap, Section
from ojito.config import DecoderConfig, ModelConfig, ProcessorConfig, ViTConfig
from ojito.gguf.tokenizer import read_tokenizer
from ojito.gguf.tokenizer_writer import write_tokenizer
from ojito.gguf.writer import write_gguf
from ojito.records import Progress
from ojito.settings import ConfigError, differences
from ojito.settings import read as read_settings

MODEL_FILE, MMPROJ_FILE = "model.gguf", "mmproj.gguf"

_FILE_TYPES = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 32}
_EXACT = ("v.patch_embd.weight", "v.position_embd.weight", "mm.input_projection.weight")
"""Tensors that llama.cpp wants in float32 or float16 alone."""

_SHOWN = 5  # settings that an error lists
_TEXTS = ("The quick brown fox jumps over 1234 dogs.\n\nIt's  done, isn't it?", " Zoë 猫 🐈\t\r\n  x = y ** 2")


@dataclass(frozen=True)
class Written:
    """Result of an export.

    Attributes:
        architecture: The decoder's, as llama.cpp calls it.
        projector: The mmproj's `clip.projector_type`; "" for a model of text alone.
        parameters: How many numbers.
        dtype: Of the matrices.
    """

    architecture: str
    projector: str
    parameters: int
    dtype: str


def write_files(
    folder: Path,
    name: str,
    model: ModelConfig,
    processor: ProcessorConfig,
    tokenizer: tokenizers.Tokenizer,
    marks: SpecialIds,
    state: Mapping[str, Tensor],
    dtype: torch.dtype,
    progress: Progress | None = None,
) -> Written:
    """Write a model as GGUF; call it within `staged_save`.

    Args:
        folder: That of `staged_save`.
        name: What the model is called.
        model: Its config.
        processor: How it is spoken to.
        tokenizer: Its vocabulary.
        marks: The special tokens of that.
        state: Its state dict.
        dtype: Of matrices; norms and biases are float32.
        progress: Called with the bytes that are written, and all of them.

    Raises:
        CheckpointError: llama.cpp has no such model, prompt or tokenizer; says what keeps it from having one.
    """
    kind, family = _projector(name, model)
    model, state = _ending(model, state) if kind == "mlp" else (model, dict(state))
    architecture = _architecture(name, model.decoder)
    said = _general(name, architecture, dtype)
    text = {
        **said,
        **write_decoder(architecture, model.decoder),
        **_vocabulary(tokenizer, architecture, model.decoder.vocab_size, marks),
        **_prompt(processor, family),
    }
    keys = KeyMap(
        (Section("decoder.", ("",), decoder_table(architecture, model.decoder)),), constants=constants(model.decoder)
    )
    files = {MODEL_FILE: (text, keys.to_theirs(_part(state, "decoder.")))}
    if kind:
        sections = (Section("vision.", ("",), TOWER), Section("connector.", ("",), PROJECTORS[kind].table))
        vision = {**said, "general.architecture": "clip", **write_tower(kind, model, processor.image)}
        files[MMPROJ_FILE] = (vision, KeyMap(sections).to_theirs(_part(state, "vision.", "connector.")))
    total = sum(t.numel() * _dtype(n, t, dtype).itemsize for _, tensors in files.values() for n, t in tensors.items())
    report = _Report(total, progress)
    for file, (metadata, tensors) in files.items():
        listed = [(n, t, _dtype(n, t, dtype)) for n, t in tensors.items()]
        write_gguf(folder / file, metadata, listed, report.add)
    _check(name, folder, model, processor, tokenizer)
    parameters = sum(tensor.numel() for tensor in state.values())
    return Written(architecture, kind, parameters, str(dtype).removeprefix("torch."))


class _Report:
    """Progress over several files: adds up the bytes written."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.done, self.total, self.progress = 0, total, progress

    def add(self, written: int) -> None:
        self.done += written
        if self.progress is not None:
            self.progress(self.done, self.total)


def _projector(name: str, model: ModelConfig) -> tuple[str, Family | None]:
    """The projector that a model is written with, and its family; "" and None for a model of text alone.

    Raises:
        CheckpointError: llama.cpp has no such projector.
    """
    if model.vision.kind == "none":
        return "", None
    family, _, _ = find_family(name, model)
    found = next((kind for kind, one in PROJECTORS.items() if one.family == family.model_type), "")
    if not found:
        known = ", ".join(one.family for one in PROJECTORS.values())
        problem = f"is of the family {family.model_type}, and llama.cpp has of those with images {known}"
        raise CheckpointError(name, problem, KEEPS)
    return found, family


def _ending(model: ModelConfig, state: Mapping[str, Tensor]) -> tuple[ModelConfig, dict[str, Tensor]]:
    """LLaVA's model without the layers and the norm of its tower after the layer that patches are taken from."""
    tower = model.vision
    assert isinstance(tower, ViTConfig)  # noqa: S101 - as every tower of the family
    layers = tower.layers + tower.feature_layer + 1
    beyond = {f"vision.blocks.{i}." for i in range(layers, tower.layers)} | {"vision.norm."}
    kept = {n: t for n, t in state.items() if not any(n.startswith(one) for one in beyond)}
    vision = dataclasses.replace(tower, layers=layers, feature_layer=-1, final_norm=False)
    return dataclasses.replace(model, vision=vision), kept


def _architecture(name: str, config: DecoderConfig) -> str:
    """The architecture of a decoder: the first that its config survives.

    Raises:
        CheckpointError: There is none.
    """
    causal = dataclasses.replace(config, mask="causal", dropout=0.0, attention_dropout=True)
    nearest: list[str] = []
    for architecture, its in GGUF_DECODERS.items():
        family = DECODERS[its.model_type]
        try:
            again = read_settings(DecoderConfig, family.read(Fields(family.write(causal), name)), "decoder")
        except (CheckpointError, ConfigError):
            continue
        found = [f"{key} is {a!r}, not {b!r}" for key, a, b in differences(_of(causal), _of(again), "decoder")]
        if not found:
            return architecture
        nearest = min(nearest or found, found, key=len)
    raise CheckpointError(name, f"has a decoder that llama.cpp does not know; {', '.join(nearest[:_SHOWN])}", KEEPS)


def _of(config: DecoderConfig) -> DecoderConfig:
    return plain(ModelConfig(decoder=config, vision=ViTConfig(image_size=16))).decoder


def _general(name: str, architecture: str, dtype: torch.dtype) -> dict[str, Any]:
    return {
        "general.architecture": architecture,
        "general.name": name,
        "general.file_type": _FILE_TYPES[dtype],
    }


def _vocabulary(tokenizer: tokenizers.Tokenizer, architecture: str, size: int, marks: SpecialIds) -> dict[str, Any]:
    """The metadata of a vocabulary.

    Raises:
        CheckpointError: It is of a kind that llama.cpp does not have, or has more ends than a file can name.
    """
    values = write_tokenizer(tokenizer, architecture, size)
    if values is None:
        problem = (
            "is of a kind that llama.cpp does not have; it has byte-level BPE split as GPT-2's, SmolLM's, Llama 3's "
        )
        raise CheckpointError("the tokenizer", f"{problem}or Qwen2's, and SentencePiece's BPE", KEEPS)
    if len(marks.ends) > len(ENDS):
        problem = f"has {len(marks.ends)} tokens that end an answer, and a GGUF file names {len(ENDS)}"
        raise CheckpointError("the tokenizer", problem, KEEPS)
    numbers = {"bos": marks.bos, **dict(zip(ENDS, marks.ends, strict=False)), "padding": marks.pad}
    return values | {f"tokenizer.ggml.{key}_token_id": n for key, n in numbers.items() if n is not None}


def _prompt(processor: ProcessorConfig, family: Family | None) -> dict[str, Any]:
    """Whether a row begins with bos, and the chat template.

    Raises:
        CheckpointError: A prompt that the family's program in llama.cpp does not write.
    """
    prompt = processor.prompt
    values: dict[str, Any] = {"tokenizer.ggml.add_bos_token": prompt.bos}
    if family is None:
        template = chat_template(FAMILIES["llava"], prompt, "", "") if prompt.user or prompt.separator else ""
    else:
        template = chat_template(family, prompt, "", "") if check_prompt(family, prompt) else ""
    return values | ({"tokenizer.chat_template": template} if template else {})


def _part(state: Mapping[str, Tensor], *beginnings: str) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if name.startswith(beginnings)}


def _dtype(name: str, tensor: Tensor, dtype: torch.dtype) -> torch.dtype:
    """The dtype of a tensor in the file."""
    exact = name in _EXACT and dtype == torch.bfloat16
    return torch.float32 if tensor.ndim == 1 or exact else dtype


def _check(
    name: str, folder: Path, model: ModelConfig, processor: ProcessorConfig, tokenizer: tokenizers.Tokenizer
) -> None:
    """Check that the files are those of this model.

    Raises:
        CheckpointError: They are not.
    """
    mmproj = folder / MMPROJ_FILE
    opened = OpenGguf(folder / MODEL_FILE, mmproj if mmproj.exists() else None)
    described: Described = read(opened)
    problems = [f"{key} is {a!r}, and would be read as {b!r}" for key, a, b in _differing(model, described, processor)]
    if problems:
        raise CheckpointError(name, f"cannot be said in GGUF: {', '.join(problems[:_SHOWN])}", KEEPS)
    again = read_tokenizer(opened.text)
    for text in (*_TEXTS, *_words(tokenizer)):
        if again.encode(text, add_special_tokens=False).ids != tokenizer.encode(text, add_special_tokens=False).ids:
            problem = f"makes other tokens of {text[:50]!r} than its file in llama.cpp's form would"
            raise CheckpointError("the tokenizer", problem, KEEPS)


def _differing(model: ModelConfig, described: Described, processor: ProcessorConfig) -> Iterator[tuple[str, Any, Any]]:
    yield from differences(_rounded(plain(model)), _rounded(plain(described.model)), "model")
    free = {"caption", "turns", "answers", "loss", "max_tokens"}
    for key, mine, read_as in differences(processor.prompt, described.processor.prompt, "processor.prompt"):
        if key.rpartition(".")[2] not in free:
            yield key, mine, read_as


def _rounded(config: Any) -> Any:
    """A config with its numbers as the file has them, in single precision."""
    if isinstance(config, float):
        return float(np.float32(config))
    if not dataclasses.is_dataclass(config):
        return config
    values = {field.name: _rounded(getattr(config, field.name)) for field in dataclasses.fields(config)}
    return dataclasses.replace(config, **values)  # type: ignore[type-var]


def _words(tokenizer: tokenizers.Tokenizer) -> list[str]:
    """Texts of the vocabulary's own words."""
    size = tokenizer.get_vocab_size()
    step = max(1, size // 2000)
    return [tokenizer.decode([i, (7 * i + 3) % size]) for i in range(0, size, step)]
