"""A Hugging Face folder, read and written: what the files around the weights say, in our settings.

    config.json                                  the model's sizes                      families, decoders, towers
    model.safetensors, or shards and an index    the weights                            tensors, keys
    tokenizer.json, tokenizer_config.json        the vocabulary, and the names of the tokens that end and fill
    preprocessor_config.json or processor_config.json    how a picture becomes pixels
    generation_config.json                       which tokens end an answer

A chat template is a program. It is never run: that there is one says that the model was taught to chat, and how its
family chats is in `families`.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ojito.checkpoint.files import MAX_JSON, CheckpointError, find_file, read_json
from ojito.checkpoint.huggingface.decoders import DECODERS, HEAD
from ojito.checkpoint.huggingface.decoders import IGNORED as IN_DECODERS
from ojito.checkpoint.huggingface.families import FAMILIES, Family, read_model
from ojito.checkpoint.huggingface.fields import Fields
from ojito.checkpoint.huggingface.nanovlm import check_tokenizer, is_nanovlm, read_nanovlm
from ojito.checkpoint.huggingface.towers import IGNORED as IN_TOWERS
from ojito.checkpoint.huggingface.towers import TOWERS
from ojito.checkpoint.keys import KeyMap, Section
from ojito.checkpoint.tensors import CONFIG
from ojito.config import DecoderConfig, ModelConfig, ProcessorConfig, ResNetConfig, ViTConfig
from ojito.settings import ConfigError, read

TOKENIZER = "tokenizer.json"
_ADDED = re.compile(r'"added_tokens"\s*:\s*(?=\[)')
CHAT_TEMPLATES = ("chat_template.jinja", "chat_template.json")
RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""Pillow's own numbers."""


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


@dataclass(frozen=True)
class Part:
    """A vision tower, or a decoder, as a folder describes it.

    Attributes:
        config: Its config.
        keys: What those of the model's tensors are called there whose names begin with `vision.` or `decoder.`.
        image: The processor's `image` settings, of a tower.
        tokenizer: The processor's `tokenizer` settings, of a decoder.
    """

    config: ViTConfig | ResNetConfig | DecoderConfig
    keys: KeyMap
    image: dict[str, Any] = dataclasses.field(default_factory=dict)
    tokenizer: dict[str, Any] = dataclasses.field(default_factory=dict)


def is_huggingface(folder: Path | str) -> bool:
    """Whether the folder's config.json is of this kind.

    Raises:
        CheckpointError: It has none, or one that is no JSON.
    """
    values = read_json(folder, CONFIG)
    return "format" not in values and ("model_type" in values or is_nanovlm(values))


def read_folder(folder: Path | str) -> Imported:
    """What the folder holds, weights apart.

    Raises:
        CheckpointError: A file is missing or damaged, or describes what Ojito has not.
        ConfigError: Sizes that make no model.
    """
    folder = Path(folder)
    f = Fields(read_json(folder, CONFIG), str(folder / CONFIG))
    if is_nanovlm(f.values):
        return _read_nanovlm(folder, f)
    name = f.text("model_type")
    if name not in FAMILIES:
        parts = [*DECODERS, *TOWERS, *_WITH_TOWER]
        hint = "it is a part: join it with another by ojito.build" if name in parts else _known(FAMILIES)
        raise f.error("model_type", name, hint)
    family = FAMILIES[name]
    try:
        model, keys = read_model(family, f)
        processor = {
            "image": _read_image(folder, family.image, model.vision.image_size),
            "tokenizer": _read_tokenizer(folder, family.end if _chats(folder) else ()),
            "prompt": {**family.prompt(_chats(folder)), "max_tokens": model.decoder.max_positions},
        }
        if family.model_type == "paligemma":
            processor["tokenizer"]["added"] = ["<loc{0000..1023}>", "<seg{000..127}>"]
        return Imported(name, model, read(ProcessorConfig, processor, "processor"), keys)
    except ConfigError as error:
        raise ConfigError(f"{folder}: {error.key}", error.problem) from None


def _read_nanovlm(folder: Path, f: Fields) -> Imported:
    """A folder of nanoVLM's, into which the vocabulary has been put."""
    try:
        model, settings, keys = read_nanovlm(f)
        check_tokenizer(folder, f)
        settings["tokenizer"] |= {name: value for name, value in _read_tokenizer(folder, ()).items() if value}
        return Imported("nanovlm", model, read(ProcessorConfig, settings, "processor"), keys)
    except ConfigError as error:
        raise ConfigError(f"{folder}: {error.key}", error.problem) from None


# ---------------------------------------------------------------------------------------------------------------- parts

_WITH_TOWER = {"siglip": "siglip_vision_model", "siglip2": "siglip2_vision_model", "clip": "clip_vision_model"}
"""Models of two towers, by the kind of the one that sees."""


def read_tower(folder: Path | str) -> Part:
    """The vision tower of a folder: one by itself, of a pair (CLIP, SigLIP), or of a vision-language model.

    Raises:
        CheckpointError: There is none that Ojito knows.
        ConfigError: Sizes that make no tower.
    """
    folder = Path(folder)
    f = Fields(read_json(folder, CONFIG), str(folder / CONFIG))
    name = f.text("model_type")
    try:
        if name in FAMILIES:
            return _tower_within(folder, f, FAMILIES[name])
        kind, within = _WITH_TOWER.get(name, name), name in _WITH_TOWER
        if kind not in TOWERS:
            raise _no_part(f, name, "a vision tower", TOWERS, _WITH_TOWER)
        vision = read(ViTConfig, TOWERS[kind].read(f.group("vision_config") if within else f), "vision")
        image = _read_image(folder, _TOWER_IMAGES[kind], vision.image_size)
    except ConfigError as error:
        raise ConfigError(f"{folder}: {error.key}", error.problem) from None
    # By itself it had that beginning, too, before transformers 5.
    beginnings = ("vision_model.", "") if within else ("", "vision_model.")
    ignored = (*IN_TOWERS, r"text_model\..*", r"logit_(scale|bias)", r"(text|visual)_projection\.weight")
    return Part(vision, KeyMap((Section("vision.", beginnings, TOWERS[kind].table),), ignored), image=image)


def _tower_within(folder: Path, f: Fields, family: Family) -> Part:
    vision = read_model(family, f)[0].vision
    kind, _ = family.parts(f)
    usual = dict(family.image)
    if usual.get("fit") == "tiles":  # that is how a family writes a picture; what its tower reads are squares
        del usual["fit"]
    sections = (Section("vision.", family.vision, TOWERS[kind].table),)
    return Part(vision, KeyMap(sections, (r".*",)), image=_read_image(folder, usual, vision.image_size))


def read_decoder(folder: Path | str) -> Part:
    """The decoder of a folder: one by itself, or that of a vision-language model.

    Raises:
        CheckpointError: There is none that Ojito knows.
        ConfigError: Sizes that make no decoder.
    """
    folder = Path(folder)
    f = Fields(read_json(folder, CONFIG), str(folder / CONFIG))
    name = f.text("model_type")
    try:
        if name in FAMILIES:
            return _decoder_within(folder, f, FAMILIES[name])
        if name not in DECODERS:
            raise _no_part(f, name, "a decoder", DECODERS)
        decoder = DECODERS[name]
        config = read(DecoderConfig, decoder.read(f), "decoder")
    except ConfigError as error:
        raise ConfigError(f"{folder}: {error.key}", error.problem) from None
    sections = (Section("decoder.", (decoder.prefix, ""), decoder.table), Section("decoder.", ("",), HEAD))
    tied = (r"lm_head\.weight",) if config.tied_head else ()
    return Part(config, KeyMap(sections, (*IN_DECODERS, *tied)), tokenizer=_read_tokenizer(folder, ()))


def _decoder_within(folder: Path, f: Fields, family: Family) -> Part:
    config = read_model(family, f)[0].decoder
    _, kind = family.parts(f)
    sections = (
        Section("decoder.", family.language, DECODERS[kind].table),
        Section("decoder.", family.heads, HEAD),
    )
    return Part(config, KeyMap(sections, (r".*",)), tokenizer=_read_tokenizer(folder, ()))


def _no_part(f: Fields, name: str, needed: str, *known: Mapping[str, Any]) -> CheckpointError:
    """What the folder is instead."""
    kinds = {"a decoder of text": [*DECODERS], "a vision tower": [*TOWERS, *_WITH_TOWER]}
    found = next((f"it is {kind}, and {needed} is needed; " for kind, names in kinds.items() if name in names), "")
    return f.error("model_type", name, f"{found}{_known(*known, FAMILIES)}")


_STANDARD = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
_TOWER_IMAGES: dict[str, dict[str, Any]] = {
    "siglip_vision_model": {**_STANDARD, "resample": "bicubic"},
    "siglip2_vision_model": {**_STANDARD, "resample": "bilinear"},
    "clip_vision_model": FAMILIES["llava"].image,
    "idefics3_vision": {**_STANDARD, "resample": "lanczos"},
    "smolvlm_vision": {**_STANDARD, "resample": "lanczos"},
}


# ------------------------------------------------------------------------------------------------------ the other files


def _read_image(folder: Path, usual: Mapping[str, Any], size: int) -> dict[str, Any]:
    """The processor's `image` settings: what the folder says, over what is usual."""
    f = _image_fields(folder)
    settings = dict(usual)
    settings["resample"] = f.choice("resample", among=RESAMPLE, default=usual["resample"])
    for ours, theirs in (("mean", "image_mean"), ("std", "image_std")):
        settings[ours] = f.get(theirs) or usual[ours]
    if not f.flag("do_normalize", default=True):
        settings |= {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}
    f.demand("do_rescale", True)
    f.demand("do_resize", True)
    if usual.get("fit") == "tiles":
        settings["longest_side"] = f.group("size").integer("longest_edge", default=4 * size)
        settings["split"] = f.flag("do_image_splitting", default=True)
        sizes = [f.group("max_image_size").integer("longest_edge", default=size)]
    elif usual.get("fit") == "crop":
        sizes = [_side(f, "crop_size", "height", size), _side(f, "size", "shortest_edge", size)]
    else:
        sizes = [_side(f, "size", side, size) for side in ("height", "width")]
    for found in sizes:
        if found != size:
            raise CheckpointError(
                f"{f.where} prepares pictures of {found} pixels, and the model reads {size}; use the files of one model"
            )
    return settings


def _side(f: Fields, name: str, side: str, default: int) -> int:
    """The pixels of a side, in a group of sides or, in older files, for all of them."""
    return (
        f.integer(name, default=default)
        if isinstance(f.get(name), int)
        else f.group(name).integer(side, default=default)
    )


def _image_fields(folder: Path) -> Fields:
    """The image processor's fields, which have been in two files."""
    if (folder / "processor_config.json").is_file():
        both = read_json(folder, "processor_config.json")
        if isinstance(both.get("image_processor"), dict):
            return Fields(both["image_processor"], str(folder / "processor_config.json"))
    if (folder / "preprocessor_config.json").is_file():
        return Fields(read_json(folder, "preprocessor_config.json"), str(folder / "preprocessor_config.json"))
    return Fields({}, str(folder))


def _chats(folder: Path) -> bool:
    """Whether the model was taught to chat."""
    if any((folder / name).is_file() for name in CHAT_TEMPLATES):
        return True
    name = "tokenizer_config.json"
    return (folder / name).is_file() and "chat_template" in read_json(folder, name)


def _read_tokenizer(folder: Path, end: tuple[str, ...]) -> dict[str, Any]:
    """The processor's `tokenizer` settings: the file, and the tokens that begin, end and fill."""
    path = find_file(folder, TOKENIZER)
    settings: dict[str, Any] = {"kind": "file", "path": str(path)}
    name = "tokenizer_config.json"
    f = Fields(read_json(folder, name) if (folder / name).is_file() else {}, str(folder / name))
    for ours in ("bos", "pad"):
        token = _token(f, f"{ours}_token")
        if token:
            settings[ours] = token
    ends = [*end, _token(f, "eos_token"), *_names(folder, _generation_ends(folder))]
    settings["eos"] = list(dict.fromkeys(token for token in ends if token))
    return settings


def _token(f: Fields, name: str) -> str:
    """A token, which is written as its text or as a group with its text."""
    value = f.get(name)
    if isinstance(value, Mapping):
        value = value.get("content")
    if value is not None and not isinstance(value, str):
        raise f.error(name, value, "the text of a token is needed")
    return value or ""


def _generation_ends(folder: Path) -> list[int]:
    """The ids that end an answer."""
    name = "generation_config.json"
    if not (folder / name).is_file():
        return []
    f = Fields(read_json(folder, name), str(folder / name))
    ends = f.get("eos_token_id")
    ends = ends if isinstance(ends, list) else [] if ends is None else [ends]
    if not all(type(end) is int for end in ends):
        raise f.error("eos_token_id", ends, "ids of tokens are needed")
    return ends


def _names(folder: Path, ids: list[int]) -> list[str]:
    """What tokens of these ids are called; of those only that are whole tokens."""
    path = find_file(folder, TOKENIZER)
    try:
        text = path.read_text(encoding="utf-8") if ids else ""
        # This list alone: as Python's objects, a whole vocabulary would take more memory than some models.
        start = _ADDED.search(text)
        added = json.JSONDecoder().raw_decode(text[start.end() : start.end() + MAX_JSON])[0] if start else []
        names = {entry["id"]: entry["content"] for entry in added}
        return [str(names[i]) for i in ids if i in names]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise CheckpointError(f"{path} is not a tokenizer; copy it again") from None


def _known(*kinds: Mapping[str, Any]) -> str:
    return f"Ojito knows {', '.join(name for kind in kinds for name in kind)}"
