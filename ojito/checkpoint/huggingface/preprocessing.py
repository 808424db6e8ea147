"""The files beside a folder's weights: how pictures become pixels, and which tokens begin, end and fill a row."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ojito.checkpoint.files import MAX_JSON, CheckpointError, find_file, read_json
from ojito.checkpoint.huggingface.fields import Fields
from ojito.config import ImageConfig

TOKENIZER = "tokenizer.json"
OTHER_TOKENIZERS = ("tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
CHAT_TEMPLATES = ("chat_template.jinja", "chat_template.json")
RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""Pillow's own numbers."""

_ADDED = re.compile(r'"added_tokens"\s*:\s*(?=\[)')


def read_image_settings(folder: Path, usual: Mapping[str, Any], size: int) -> dict[str, Any]:
    """The processor's `image` settings: what the folder says, over what is usual.

    Args:
        folder: With a file for the image processor, or without.
        usual: The settings where no file says otherwise; `fit` is always as they have it.
        size: Side of the squares that the model reads, pixels.

    Raises:
        CheckpointError: A file is damaged, or prepares pictures as Ojito cannot, or for a model of another size.
    """
    f = _image_fields(folder)
    fit = usual.get("fit", ImageConfig.fit)
    settings = {
        **usual,
        "resample": f.choice("resample", among=RESAMPLE, default=usual["resample"]),
        "mean": f.numbers("image_mean", default=usual["mean"]),
        "std": f.numbers("image_std", default=usual["std"]),
    }
    if not f.flag("do_normalize", default=True):
        settings |= {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}
    # What `do_convert_rgb` says does not matter: a picture that is not RGB has no meaning to the model but as RGB.
    f.demand("do_resize", True)
    f.demand("do_rescale", True)
    factor = f.number("rescale_factor", default=1 / 255)
    if not math.isclose(factor, 1 / 255, rel_tol=1e-6):  # it may have been rounded to float32
        raise f.error("rescale_factor", factor, "Ojito has only 1/255")
    f.demand("do_center_crop", fit == "crop")
    f.demand("do_pan_and_scan", False)
    if fit == "tiles":
        settings["longest_side"] = _sides(f, "size", "longest_edge", default=4 * size)[0]
        settings["split"] = f.flag("do_image_splitting", default=True)
        sizes = _sides(f, "max_image_size", "longest_edge", default=size)
    else:
        # LLaVA's is not our fit=pad, which rounds the colour and resizes first. Tiles are whole: there it does nothing.
        f.demand("do_pad", False)
        if fit == "crop":
            sizes = [
                *_all_sides(f, "size", "shortest_edge", default=size),
                *_all_sides(f, "crop_size", "height", "width", default=size),
            ]
        else:
            sizes = _all_sides(f, "size", "height", "width", default=size)
        if f.get("max_num_patches") is not None:  # as many as there may be in a picture of any shape; ours are squares
            side = math.isqrt(f.integer("max_num_patches", default=256))
            sizes.append(side * f.integer("patch_size", default=16))
    for found in sizes:
        if found != size:
            raise CheckpointError(
                f"{f.where} prepares pictures of {found} pixels, and the model reads {size}; use the files of one model"
            )
    return settings


def _sides(f: Fields, name: str, *sides: str, default: int) -> list[int]:
    """The pixels of these sides, in a group of them; by other sides, pictures would be resized in another way."""
    if f.get(name) is None:
        return [default] * len(sides)
    group = f.group(name)
    if {side for side in group.values if group.get(side) is not None} != {*sides}:
        raise f.error(name, dict(group.values), f"Ojito has only {' and '.join(sides)}")
    return [group.integer(side, default=default) for side in sides]


def _all_sides(f: Fields, name: str, *sides: str, default: int) -> list[int]:
    """As `_sides`; in older files, one number is for all of them."""
    if isinstance(f.get(name), int):
        return [f.integer(name, default=default)]
    return _sides(f, name, *sides, default=default)


def _image_fields(folder: Path) -> Fields:
    """The image processor's fields, which have been in two files."""
    if (folder / "processor_config.json").is_file():
        both = read_json(folder, "processor_config.json")
        if isinstance(both.get("image_processor"), dict):
            return Fields(both["image_processor"], str(folder / "processor_config.json"))
    if (folder / "preprocessor_config.json").is_file():
        return Fields(read_json(folder, "preprocessor_config.json"), str(folder / "preprocessor_config.json"))
    return Fields({}, str(folder))


def chats(folder: Path) -> bool:
    """Whether the model was taught to chat: a template has a file of its own, or is in one of two others.

    Raises:
        CheckpointError: One of these is damaged.
    """
    if any((folder / name).is_file() for name in CHAT_TEMPLATES):
        return True
    names = ("processor_config.json", "tokenizer_config.json")
    files = [Fields(read_json(folder, name), str(folder / name)) for name in names if (folder / name).is_file()]
    return any(f.get("chat_template") is not None for f in files)


def read_tokenizer_settings(folder: Path, end: tuple[str, ...]) -> dict[str, Any]:
    """The processor's `tokenizer` settings: the file, and the tokens that begin, end and fill.

    Args:
        folder: With a tokenizer.json.
        end: Tokens that end an answer, whatever the folder says: the first of all.

    Raises:
        CheckpointError: There is no tokenizer, or a file is damaged, or says what is no token.
    """
    other = next((name for name in OTHER_TOKENIZERS if (folder / name).is_file()), "")
    if other and not (folder / TOKENIZER).exists():
        raise CheckpointError(
            f"{folder} has its tokenizer as {other}, and no {TOKENIZER}; make one with transformers: "
            "AutoTokenizer.from_pretrained, then save_pretrained"
        )
    path = find_file(folder, TOKENIZER)
    settings: dict[str, Any] = {"kind": "file", "path": str(path)}
    name = "tokenizer_config.json"
    f = Fields(read_json(folder, name) if (folder / name).is_file() else {}, str(folder / name))
    for ours, token in (("bos", _token(f, "bos_token")), ("pad", _token(f, "pad_token"))):
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
