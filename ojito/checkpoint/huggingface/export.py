"""Export: write a model as a Hugging Face folder, which transformers and the tools built on it load.

Which family a model is of is found by trying: its config is written as theirs, read again as any folder's is, and
compared. So it does not matter what the model was before: one that was imported, trained on, saved and loaded is
written like one that was made here, from a preset.

SmolVLM is written as Idefics3: the same model but for videos, and a processor that asks for no further packages.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ojito.checkpoint.files import CONFIG, KEEPS, CheckpointError
from ojito.checkpoint.huggingface.card import CARD, Facts, card
from ojito.checkpoint.huggingface.decoders import DECODERS
from ojito.checkpoint.huggingface.families import FAMILIES, Family, nanovlm
from ojito.checkpoint.huggingface.fields import Fields
from ojito.checkpoint.huggingface.preprocessing import TOKENIZER
from ojito.checkpoint.huggingface.processor_files import (
    chat_template,
    check_prompt,
    image_fields,
    image_text,
    processor_fields,
)
from ojito.checkpoint.huggingface.tokenizer_files import SpecialIds, Vocabulary
from ojito.checkpoint.huggingface.towers import TOWERS
from ojito.checkpoint.keys import KeyMap
from ojito.checkpoint.nanovlm import vocabulary_ids, vocabulary_size
from ojito.checkpoint.tensors.writing import MAX_SHARD, write_weights
from ojito.checkpoint.vocabulary_rows import EMBEDDING, HEAD, VOCABULARY, with_rows
from ojito.config import ModelConfig, ProcessorConfig, RopeScaling, ViTConfig
from ojito.device import DTYPES
from ojito.records import Progress
from ojito.settings import ConfigError, differences

_SHOWN = 5  # settings that an error lists


@dataclass(frozen=True)
class Exported:
    """Result of an export.

    Attributes:
        family: The name of the family, as config.json has it.
        parameters: How many numbers.
        dtype: Of the weights; where they have several, the smallest that holds all of their numbers.
    """

    family: str
    parameters: int
    dtype: str


@dataclass(frozen=True)
class Form:
    """How a model is written, weights apart.

    Attributes:
        family: The family that it is written as.
        fields: Of its config.json, but for the ids of special tokens.
        keys: The names of its tensors.
        model: Its config as that of the family: with a row for the image token, and an untied head where the family
            can have no other.
        vocabulary: Its tokenizer, with the image token.
        images: The fields of preprocessor_config.json.
        chats: Whether there is a chat template.
    """

    family: Family
    fields: dict[str, Any]
    keys: KeyMap
    model: ModelConfig
    vocabulary: Vocabulary
    images: dict[str, Any]
    chats: bool


def find_form(folder: Path, name: str, model: ModelConfig, processor: ProcessorConfig, marks: SpecialIds) -> Form:
    """Find how a model is written; its tokenizer.json is written with the image token. Arguments as for `write_folder`.

    Raises:
        CheckpointError: As for `write_folder`.
    """
    model = _untied(name, model)
    family, fields, keys = find_family(name, model)
    chats = check_prompt(family, processor.prompt)
    images = image_fields(family, fields["vision_config"]["model_type"], processor.image, model)
    vocabulary = Vocabulary(folder / TOKENIZER, family, marks, processor.prompt.image == "front")
    vocabulary.check_borders(processor.prompt)
    if vocabulary.image_id >= model.decoder.vocab_size:
        decoder = dataclasses.replace(model.decoder, vocab_size=vocabulary.image_id + 1)
        model = dataclasses.replace(model, decoder=decoder)
        family, fields, keys = find_family(name, model)
    return Form(family, fields, keys, model, vocabulary, images, chats)


def family_of(folder: Path, name: str, model: ModelConfig, processor: ProcessorConfig, marks: SpecialIds) -> str:
    """Return the family that a model would be written as. Arguments and errors as for `find_form`."""
    if nanovlm.fits_nanovlm(model):
        nanovlm.write_config(model, processor, vocabulary_size(vocabulary_ids(folder)))
        return "nanovlm"
    return find_form(folder, name, model, processor, marks).family.model_type


def write_folder(
    folder: Path,
    name: str,
    model: ModelConfig,
    processor: ProcessorConfig,
    marks: SpecialIds,
    state: Mapping[str, Tensor],
    dtype: torch.dtype | str | None = None,
    max_shard: int = MAX_SHARD,
    base_model: str = "",
    progress: Progress | None = None,
) -> Exported:
    """Write a model as its family does; call it within `staged_save`, when the folder has its tokenizer.json.

    Args:
        folder: That of `staged_save`.
        name: What the model is called.
        model: Its config.
        processor: How it is spoken to.
        marks: Of its tokenizer.
        state: Its state dict.
        dtype: Of the weights in the files; None leaves each tensor as it is.
        max_shard: The most bytes of a file of weights; where there are more, several and their index are written.
        base_model: The model on the Hub that it was made from, for the card.
        progress: Called with the bytes of weights that are written, and all of them.

    Raises:
        CheckpointError: The model, its prompt or its tokenizer is of no family; says what keeps it from being one.
        ValueError: No such dtype.
    """
    dtype = _dtype(dtype)
    if nanovlm.fits_nanovlm(model):  # no family of transformers' computes the same
        return _write_nanovlm(folder, model, processor, marks, state, dtype, progress)
    form = find_form(folder, name, model, processor, marks)
    family, fields, vocabulary, chats = form.family, form.fields, form.vocabulary, form.chats
    ids = dict(vocabulary.ids)
    if form.model.decoder.vocab_size > model.decoder.vocab_size:
        ids["suppress_tokens"] = [vocabulary.image_id]
    model, state = form.model, _fit(state, form.model)
    exported = _exported(family.model_type, state, dtype)
    jsons = {
        CONFIG: {**_config(family, fields, vocabulary), "torch_dtype": exported.dtype},
        "generation_config.json": ids,
        "tokenizer_config.json": vocabulary.fields(model.decoder.max_positions),
        "preprocessor_config.json": form.images,
        "processor_config.json": processor_fields(family, model),
    }
    texts = {file: json.dumps(values, indent=2, ensure_ascii=False) + "\n" for file, values in jsons.items()}
    if chats:
        texts["chat_template.jinja"] = chat_template(family, processor.prompt, vocabulary.template_bos, vocabulary.eos)
    texts[CARD] = card(_facts(name, exported, family, processor, vocabulary, chats, base_model), model)
    for file, text in texts.items():
        (folder / file).write_text(text, encoding="utf-8")
    write_weights(folder, form.keys.to_theirs(state), max_shard, dtype, progress)
    return exported


def _fit(state: Mapping[str, Tensor], model: ModelConfig) -> dict[str, Tensor]:
    """Return a state dict as that of the model's config: with a head of its own, and rows for more ids.

    What is read at the image token is an image's features, whatever its row; that it is never generated,
    generation_config.json says.
    """
    fitted = dict(state)
    if not model.decoder.tied_head and HEAD not in fitted:
        fitted[HEAD] = fitted[EMBEDDING].clone()
    return fitted | {n: with_rows(fitted[n], model.decoder.vocab_size) for n in VOCABULARY if n in fitted}


def _write_nanovlm(
    folder: Path,
    model: ModelConfig,
    processor: ProcessorConfig,
    special: SpecialIds,
    state: Mapping[str, Tensor],
    dtype: torch.dtype | None,
    progress: Progress | None,
) -> Exported:
    """Write a model as nanoVLM does, which is not transformers' form: one file of weights, and no card.

    nanoVLM fetches its vocabulary from the Hub. One that is not SmolLM2's it takes from where it is run: this folder.
    """
    entries = vocabulary_ids(folder)
    names = {number: name for name, number in entries.items()}
    ids = {"bos_token": special.bos, "eos_token": special.ends[0], "pad_token": special.pad}
    tokens = {"tokenizer_class": "PreTrainedTokenizerFast"}
    tokens |= {field: names[number] for field, number in ids.items() if number is not None}
    values = nanovlm.write_config(model, processor, vocabulary_size(entries))
    for file, fields in ((CONFIG, values), ("tokenizer_config.json", tokens)):
        (folder / file).write_text(json.dumps(fields, indent=4, ensure_ascii=False) + "\n", encoding="utf-8")
    # Converted before the names are: the rotary frequencies, which are written with the weights, stay float32.
    state = {key: tensor.to(dtype) if dtype and tensor.is_floating_point() else tensor for key, tensor in state.items()}
    write_weights(folder, nanovlm.key_map(model.decoder).to_theirs(state), progress=progress)
    return _exported("nanovlm", state, dtype)


def _dtype(dtype: torch.dtype | str | None) -> torch.dtype | None:
    name = str(dtype).removeprefix("torch.")
    if dtype is not None and name not in DTYPES:
        problem = f"{name!r} is not one of {', '.join(DTYPES)}"
        raise CheckpointError("dtype", problem, "leave it out to keep what the weights have")
    return None if dtype is None else DTYPES[name]


def _exported(family: str, state: Mapping[str, Tensor], dtype: torch.dtype | None) -> Exported:
    found = {dtype or tensor.dtype for tensor in state.values() if tensor.is_floating_point()}
    whole = functools.reduce(torch.promote_types, found)
    return Exported(family, sum(tensor.numel() for tensor in state.values()), str(whole).removeprefix("torch."))


def _config(family: Family, fields: Mapping[str, Any], vocabulary: Vocabulary) -> dict[str, Any]:
    """Return the fields of config.json: `fields`, and the ids of special tokens."""
    ids = {**vocabulary.ids, family.image_id_field: vocabulary.image_id}
    ids |= {name: vocabulary.id_of(token) for token, name in family.token_id_fields.items()}
    return {
        "architectures": [family.architecture],
        **fields,
        **ids,
        "text_config": {**fields["text_config"], **vocabulary.ids},
    }


def _facts(
    name: str,
    exported: Exported,
    family: Family,
    processor: ProcessorConfig,
    vocabulary: Vocabulary,
    chats: bool,
    base_model: str,
) -> Facts:
    prompt, question = processor.prompt, "what is it?" if chats else processor.prompt.caption
    image, bos = image_text(family, prompt), vocabulary.bos if prompt.bos else ""
    before, after = (bos + prompt.user, "") if prompt.image == "inline" else ("", bos)
    return Facts(
        name, exported.family, exported.parameters, exported.dtype,
        row=before + image + after + question + prompt.separator.rstrip("\n"),
        given="" if chats else image + question, question=question, base_model=base_model,
    )  # fmt: skip


def find_family(name: str, model: ModelConfig) -> tuple[Family, dict[str, Any], KeyMap]:
    """Return the family of a model, the fields of its config.json, and the names of its tensors.

    Args:
        name: What the model is called, for the error.
        model: Its config.

    Raises:
        CheckpointError: It is of none; names the nearest, and the settings that keep it from being one.
    """
    if not isinstance(model.vision, ViTConfig):
        problem = f"is of no family that Hugging Face knows: none joins a {model.vision.kind} to a decoder"
        raise CheckpointError(name, problem, KEEPS)
    ours = plain(model)
    nearest: list[str] = []
    near = ""
    for family, fields in _candidates(model):
        try:
            config, keys = family.read_model(Fields(fields, CONFIG))
        except (CheckpointError, ConfigError):
            continue  # such a number makes no model of this family
        pairs = differences(ours, plain(config), "model")
        differing = [f"{key} is {mine!r}, not {its!r}" for key, mine, its in pairs]
        if not differing:
            return family, fields, keys
        if not near or len(differing) < len(nearest):
            near, nearest = f"{family.model_type} with {fields['text_config']['model_type']}", differing
    more = f", and {len(nearest) - _SHOWN} more" if len(nearest) > _SHOWN else ""
    raise CheckpointError(
        name,
        f"is of no family that Hugging Face knows; the nearest is {near}, but {', '.join(nearest[:_SHOWN])}{more}",
        KEEPS,
    )


def _untied(name: str, model: ModelConfig) -> ModelConfig:
    """Return the model with a head of its own, if only so it is of a family; otherwise as it is."""
    untied = dataclasses.replace(model, decoder=dataclasses.replace(model.decoder, tied_head=False))
    if not model.decoder.tied_head:
        return model
    for config in (model, untied):
        with suppress(CheckpointError):
            find_family(name, config)
            return config
    return model


def _candidates(model: ModelConfig) -> Iterator[tuple[Family, dict[str, Any]]]:
    """Yield every family with every pair of its parts, and this model's config as that family writes it."""
    if not isinstance(model.vision, ViTConfig):
        return
    for family in (family for family in FAMILIES.values() if family.exported):
        for tower, decoder in itertools.product(family.towers, family.decoders):
            parts = {
                "text_config": {
                    "model_type": decoder,
                    **DECODERS[decoder].write(model.decoder),
                    **family.text_fields(decoder),
                },
                "vision_config": {"model_type": tower, **TOWERS[tower].write(model.vision)},
            }
            yield family, {"model_type": family.model_type, **family.write(model), **parts}


def plain(model: ModelConfig) -> ModelConfig:
    """Return the same model in normal form: of equivalent settings one spelling, and unused settings at one value."""
    d, c, v = model.decoder, model.connector, model.vision
    scaling = d.rope_scaling
    decoder = dataclasses.replace(
        d,
        query_bias=d.query_bias or d.bias,
        window_theta=d.window_theta if d.window else d.rope_theta,
        window_scaling=d.window_scaling or not d.window or scaling.kind == "none",
        full_every=min(d.full_every, d.layers + 1) if d.window else 1,
        rope_scaling=scaling if scaling.kind == "llama3" else RopeScaling(scaling.kind, scaling.factor),
        dropout=0.0,
        attention_dropout=True,
    )
    connector = dataclasses.replace(
        c,
        mlp_dim=c.mlp_dim if c.project == "mlp" else 0,
        norm_eps=c.norm_eps if c.norm != "none" else 1.0,
    )
    if isinstance(v, ViTConfig):
        v = dataclasses.replace(
            v,
            crop=bool(v.image_size % v.patch_size),
            stem_widths=v.stem_widths if v.stem == "conv" else (),
            dropout=0.0,
            attention_dropout=True,
        )
    return ModelConfig(v, connector, decoder)
