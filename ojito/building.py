"""`build`: a new model of public parts, one folder's vision tower and another's decoder, to be trained together."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ojito.checkpoint import find_file, read_config, read_weights
from ojito.checkpoint.huggingface import Part, is_huggingface, read_decoder, read_tower
from ojito.checkpoint.keys import KeyMap
from ojito.checks import LEARNED, check_layers, check_tokenizer, check_vocabulary, naming_settings
from ojito.config import Config, ConnectorConfig, TokenizerConfig
from ojito.config.rules import check_seed
from ojito.device import pick_device, pick_dtype
from ojito.loading import find_folder, find_preset, name_of
from ojito.memory import check_memory
from ojito.model.connectors import Connector
from ojito.model.initialize import initialize
from ojito.model.meta import on_meta
from ojito.pipeline import Pipeline
from ojito.processor import Processor, Tokenizer
from ojito.processor.processor import CONFIG_FILE, TOKENIZER_FILE
from ojito.records import Progress
from ojito.settings import override, read, write

TRAINING: dict[str, Any] = {"lr": 1e-4, "connector_lr": 2e-3}
"""Parts that have learned are moved gently, the connector, which has not, more. Source: nanoVLM's recipe."""

FRESH_LR = 1e-3
"""Of a tower with random weights."""

CONNECTORS: dict[str, dict[str, Any]] = {
    "linear": {"project": "linear"},
    "mlp": {"project": "mlp"},
    "perceiver": {"reduce": "perceiver"},
    "pixel_shuffle": {"reduce": "pixel_shuffle"},
    "average_pool": {"reduce": "average_pool"},
}
NUMBERS = {"perceiver": "queries", "pixel_shuffle": "factor", "average_pool": "factor"}
"""What the number after a connector's name is."""


@dataclass(frozen=True)
class _Source:
    """Where a part comes from.

    Attributes:
        kind: "vision" or "decoder".
        name: What its model is called.
        folder: Of its weights; None means random ones.
        part: What it is.
        bos: Of a decoder, whether it knows rows that begin with the tokenizer's bos.
    """

    kind: str
    name: str
    folder: Path | None
    part: Part
    bos: bool = False


def build(
    *,
    vision: Path | str,
    decoder: Path | str,
    connector: str | Mapping[str, Any] | ConnectorConfig = "mlp",
    device: torch.device | str = "auto",
    dtype: torch.dtype | str = "auto",
    seed: int = 0,
    settings: Iterable[str] = (),
    progress: Progress | None = None,
) -> Pipeline:
    """A model of a vision tower and a decoder that have learned apart, and a connector that has everything to learn.

    Its recipe, which `save` keeps, is for `ojito train --from`. Pictures are prepared as the tower knows them and words
    as the decoder does; a prompt is the question and a line break.

    Args:
        vision: A folder with a vision tower: one by itself, of a pair (CLIP, SigLIP), of a vision-language model, or of
            a model that Ojito saved. Or "owner/name" of one on the Hugging Face Hub. Or the name of a preset, whose
            tower then begins with random weights.
        decoder: A folder with a decoder and its tokenizer, by itself or of a vision-language model; or "owner/name".
        connector: "linear"; "mlp"; "pixel_shuffle:2" or "average_pool:2" with their factor; "perceiver:64" with its
            queries; or the recipe's `model.connector`.
        device: "auto" is the GPU where there is one.
        dtype: "auto" is bfloat16 where the device multiplies it fast, else float32, which training needs.
        seed: Of the random weights.
        settings: Over the recipe, each "train.lr=3e-4".
        progress: As for `load`.

    Raises:
        ValueError: No such folder, preset, connector, device or dtype; too little memory.
        CheckpointError: A file is missing or damaged, cannot be fetched, or holds no such part; the tokenizer has more
            entries than the decoder.
        ConfigError: Parts or settings that make no model, such as more image tokens than the decoder has positions.
    """
    check_seed(seed)
    torch_device = pick_device(device)
    torch_dtype = pick_dtype(dtype, torch_device)
    sources = (_find("vision", vision, progress), _find("decoder", decoder, progress))
    config = _recipe(*sources, _connector(connector), settings)
    known = read(TokenizerConfig, sources[1].part.tokenizer)
    check_tokenizer(Path(decoder), known, config.processor.tokenizer)
    model = on_meta(config.model, config.name)
    check_memory(config.name, model, torch_dtype, torch_device)
    tokenizer = Tokenizer.read(config.processor.tokenizer.path, config.processor.tokenizer)
    check_vocabulary(decoder, tokenizer, config.model.decoder.vocab_size)
    processor = Processor.for_model(config.processor, tokenizer, config.model)

    state: dict[str, Tensor] = {}
    fresh: dict[str, nn.Module] = {}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        fresh["connector"] = Connector(config.model)
        for source in sources:
            asked = getattr(config.model, source.kind)
            if source.folder is None:
                fresh[source.kind] = type(model.parts[source.kind])(asked)
                continue
            expected = {name: t for name, t in model.state_dict().items() if name.startswith(f"{source.kind}.")}
            with naming_settings(f"model.{source.kind}", source.part.config, asked):
                state |= read_weights(source.folder, expected, torch_dtype, torch_device, source.part.keys, progress)
        for name, part in fresh.items():
            initialize(part)
            drawn = part.to(torch_device, torch_dtype).state_dict()
            state |= {f"{name}.{key}": tensor for key, tensor in drawn.items()}
    model.load_state_dict(state, assign=True)
    return Pipeline(model.eval(), processor, config)


def _find(kind: str, name: Path | str, progress: Progress | None) -> _Source:
    """The part of that name."""
    folder = find_folder(name, progress, functools.partial(_read, kind))
    if folder is not None:
        source = _read(kind, folder)
        check_layers(folder, source.part.config)
        return source
    recipe = find_preset(str(name))
    if kind == "decoder":
        raise ValueError(
            f"decoder {str(name)!r} is a preset, whose tokenizer is learned from data; give a folder, or train the "
            f"whole of it with `ojito train --preset {name}`"
        )
    part = Part(recipe.model.vision, KeyMap(), image=write(recipe.processor.image))
    return _Source(kind, str(name), None, part)


def _read(kind: str, folder: Path) -> _Source:
    return _read_public(kind, folder) if is_huggingface(folder) else _read_own(kind, folder)


def _read_public(kind: str, folder: Path) -> _Source:
    part = read_tower(folder) if kind == "vision" else read_decoder(folder)
    return _Source(kind, name_of(folder), folder, part, bos="bos" in part.tokenizer)


def _read_own(kind: str, folder: Path) -> _Source:
    """The part of a model that Ojito saved."""
    name, model = read_config(folder)
    path = find_file(folder, TOKENIZER_FILE)
    find_file(folder, CONFIG_FILE)
    processor = Processor.load(folder).config
    named = {key: value for key, value in write(processor.tokenizer).items() if key not in LEARNED}
    part = Part(
        model.vision if kind == "vision" else model.decoder,
        KeyMap(ignored=(rf"(?!{kind}\.).*",)),
        image=write(processor.image),
        tokenizer={**named, "kind": "file", "path": str(path)},
    )
    return _Source(kind, name, folder, part, bos=processor.prompt.bos)


def _recipe(vision: _Source, decoder: _Source, connector: Mapping[str, Any], settings: Iterable[str]) -> Config:
    """The recipe of a model of these parts."""
    values = {
        "name": f"{vision.name}-{decoder.name}",
        "model": {
            "vision": write(vision.part.config),
            "connector": connector,
            "decoder": write(decoder.part.config),
        },
        "processor": {
            "image": vision.part.image,
            "tokenizer": decoder.part.tokenizer,
            "prompt": {"bos": decoder.bos},
        },
        "train": {**TRAINING, **({} if vision.folder else {"vision_lr": FRESH_LR})},
    }
    return read(Config, override(values, settings))


def _connector(given: str | Mapping[str, Any] | ConnectorConfig) -> Mapping[str, Any]:
    """The settings of the connector that is called so."""
    if isinstance(given, ConnectorConfig):
        return write(given)
    if isinstance(given, Mapping):
        return given
    name, colon, number = str(given).partition(":")
    if name not in CONNECTORS:
        near = difflib.get_close_matches(name, CONNECTORS, 1)
        hint = f"did you mean {near[0]}?" if near else "choose one of these"
        raise ValueError(f"connector {given!r} is not one of {', '.join(CONNECTORS)}; {hint}")
    if not colon:
        return CONNECTORS[name]
    if name not in NUMBERS or not number.isdecimal():
        wanted = f"write {name}:2" if name in NUMBERS else f"write {name}"
        raise ValueError(f"connector {given!r} has {number!r} after the colon; {wanted}")
    return {**CONNECTORS[name], NUMBERS[name]: int(number)}
