"""The files beside a folder's weights: how pictures become pixels, and which tokens begin, end and fill a row."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ojito.checkpoint.files import MAX_JSON, CheckpointError, find_file, read_json
from ojito.checkpoint.huggingface.fields import Fields

TOKENIZER = "tokenizer.json"
CHAT_TEMPLATES = ("chat_template.jinja", "chat_template.json")
RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""Pillow's own numbers."""

_ADDED = re.compile(r'"added_tokens"\s*:\s*(?=\[)')


def read_image(folder: Path, usual: Mapping[str, Any], size: int) -> dict[str, Any]:
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


def chats(folder: Path) -> bool:
    """Whether the model was taught to chat."""
    if any((folder / name).is_file() for name in CHAT_TEMPLATES):
        return True
    name = "tokenizer_config.json"
    return (folder / name).is_file() and "chat_template" in read_json(folder, name)


def read_tokenizer(folder: Path, end: tuple[str, ...]) -> dict[str, Any]:
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
