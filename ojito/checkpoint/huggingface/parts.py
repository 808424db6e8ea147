"""A vision tower or a decoder out of a folder: by itself, one of a pair, or part of a vision-language model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ojito.checkpoint.description import OpenFolder, Part
from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.huggingface.decoders import DECODERS, HEAD, copies
from ojito.checkpoint.huggingface.decoders import IGNORED as IN_DECODERS
from ojito.checkpoint.huggingface.families import FAMILIES, Family
from ojito.checkpoint.huggingface.fields import Fields, config_of, known
from ojito.checkpoint.huggingface.preprocessing import read_image_settings
from ojito.checkpoint.huggingface.resnet import MODEL_TYPE as RESNET
from ojito.checkpoint.huggingface.resnet import read_resnet
from ojito.checkpoint.huggingface.text_settings import read_decoder_text
from ojito.checkpoint.huggingface.towers import IGNORED as IN_TOWERS
from ojito.checkpoint.huggingface.towers import TOWERS
from ojito.checkpoint.keys import KeyMap, Section
from ojito.config import DecoderConfig, ViTConfig
from ojito.settings import read

WITH_TOWER = {"siglip": "siglip_vision_model", "siglip2": "siglip2_vision_model", "clip": "clip_vision_model"}
"""Models of two towers, by the kind of the one that sees."""


def read_tower(opened: OpenFolder) -> Part:
    """Describe the vision tower of a folder: one by itself, of a pair (CLIP, SigLIP), or part of a whole model.

    Raises:
        CheckpointError: There is none that Ojito knows.
        ConfigError: Sizes that make no tower.
    """
    folder = opened.path
    with config_of(opened) as f:
        name = f.text("model_type")
        if name in FAMILIES:
            return _tower_within(opened, f, FAMILIES[name])
        if name == RESNET:
            return read_resnet(opened, f)
        kind, within = WITH_TOWER.get(name, name), name in WITH_TOWER
        if kind not in TOWERS:
            raise _no_part(f, name, "a vision tower", TOWERS, WITH_TOWER, {RESNET: None})
        vision = read(ViTConfig, TOWERS[kind].read(_half(f, name) if within else f), "vision")
        image = _read_squares(folder, TOWERS[kind].image_settings, vision.image_size)
    # By itself it had that beginning, too, before transformers 5.
    beginnings = ("vision_model.", "") if within else ("", "vision_model.", "vit.")
    ignored: tuple[str, ...] = (
        *IN_TOWERS,
        r"text_model\..*",
        r"logit_(scale|bias)",
        r"(text|visual)_projection\.weight",
    )
    ignored += (r"classifier\..*",) if kind == "vit" else ()
    keys = KeyMap((Section("vision.", beginnings, TOWERS[kind].table),), ignored)
    return Part(vision, keys, image=image, name=opened.name, folder=opened)


def _half(f: Fields, name: str) -> Fields:
    """The fields of the tower of a pair. Older CLIPs hold them twice; where they differ, the first here is meant."""
    return f.group("vision_config_dict", "vision_config") if name == "clip" else f.group("vision_config")


def _tower_within(opened: OpenFolder, f: Fields, family: Family) -> Part:
    vision = family.read_model(f)[0].vision
    kind, _ = family.parts(f)
    sections = (Section("vision.", family.vision, TOWERS[kind].table),)
    image = _read_squares(opened.path, family.image_settings(kind), vision.image_size)
    keys = KeyMap(sections, (*IN_TOWERS, _outside(family.vision)))
    return Part(vision, keys, image=image, name=opened.name, folder=opened)


def _read_squares(folder: Path, usual: Mapping[str, Any], size: int) -> dict[str, Any]:
    """Return the `image` settings of a tower, which reads plain squares even if its family cuts tiles."""
    image = read_image_settings(folder, usual, size)
    if image.get("fit") != "tiles":
        return image
    return {name: image[name] for name in ("resample", "mean", "std")}


def read_decoder(opened: OpenFolder) -> Part:
    """Describe the decoder of a folder: one by itself, or part of a vision-language model.

    Raises:
        CheckpointError: There is none that Ojito knows.
        ConfigError: Sizes that make no decoder.
    """
    with config_of(opened) as f:
        name = f.text("model_type")
        if name in FAMILIES:
            return _decoder_within(opened, f, FAMILIES[name])
        if name not in DECODERS:
            raise _no_part(f, name, "a decoder", DECODERS)
        f.demand("use_bidirectional_attention", False)  # Gemma's within PaliGemma has it, where our mask is its mask
        decoder = DECODERS[name]
        config = read(DecoderConfig, decoder.read(f), "decoder")
    sections = (Section("decoder.", (decoder.prefix, ""), decoder.table), Section("decoder.", ("",), HEAD))
    twice = copies([""]) if config.tied_head else {}
    return _decoder_part(opened, config, KeyMap(sections, IN_DECODERS, twice), f)


def _decoder_within(opened: OpenFolder, f: Fields, family: Family) -> Part:
    config = family.read_model(f)[0].decoder
    _, kind = family.parts(f)
    sections = (
        Section("decoder.", family.language, DECODERS[kind].table),
        Section("decoder.", family.heads, HEAD),
    )
    twice = copies(family.heads) if config.tied_head else {}
    keys = KeyMap(sections, (*IN_DECODERS, _outside(family.language)), twice)
    return _decoder_part(opened, config, keys, f, family)


def _decoder_part(
    opened: OpenFolder, config: DecoderConfig, keys: KeyMap, f: Fields, family: Family | None = None
) -> Part:
    text = read_decoder_text(opened.path, f, family)
    return Part(config, keys, tokenizer=text.tokenizer, prompt=text.prompt, name=opened.name, folder=opened)


def _outside(beginnings: Sequence[str]) -> str:
    """Return a pattern of all names outside a part; every name inside it must be used."""
    return rf"(?!{'|'.join(map(re.escape, beginnings))}).*"


def _no_part(f: Fields, name: str, needed: str, *among: Mapping[str, Any]) -> CheckpointError:
    """Return the error that says what the folder holds instead."""
    kinds = {"a decoder of text": [*DECODERS], "a vision tower": [*TOWERS, *WITH_TOWER, RESNET]}
    found = next((f"it is {kind}, and {needed} is needed; " for kind, names in kinds.items() if name in names), "")
    return f.error("model_type", name, f"{found}{known(*among, FAMILIES)}")
