"""The files beside a folder's weights: how images become pixels, and which tokens begin, end and fill a row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ojito.checkpoint.files import MAX_JSON, CheckpointError, find_file, path_setting, read_json
from ojito.checkpoint.huggingface.fields import Fields
from ojito.checkpoint.huggingface.tokenizer_json import TokenizerFile
from ojito.config import ImageConfig

TOKENIZER = "tokenizer.json"
OTHER_TOKENIZERS = ("tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
TOKENIZER_CONFIG, SPECIAL_TOKENS = "tokenizer_config.json", "special_tokens_map.json"
CHAT_TEMPLATE = "chat_template.jinja"
RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""Pillow's own numbers."""


def read_image_settings(folder: Path, usual: Mapping[str, Any], size: int) -> dict[str, Any]:
    """The processor's `image` settings: what the folder says, over what is usual.

    Args:
        folder: With a file for the image processor, or without.
        usual: The settings where no file says otherwise; `fit` is always as they have it.
        size: Side of the squares that the model reads, pixels.

    Raises:
        CheckpointError: A file is damaged, or prepares images as Ojito cannot, or for a model of another size.
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
    # `do_convert_rgb` does not matter: the model takes RGB only.
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
        if f.get("max_num_patches") is not None:  # the most of an image of any shape; Ojito's are squares
            side = math.isqrt(f.integer("max_num_patches", default=256))
            sizes.append(side * f.integer("patch_size", default=16))
    for found in sizes:
        if found != size:
            raise CheckpointError(
                f.where,
                f"prepares images of {found} pixels, and the model reads {size}",
                "use the files of one model",
            )
    return settings


def image_side(folder: Path, usual: int) -> int:
    """The side of the squares that the folder's images become, pixels, for a tower that reads any size.

    Raises:
        CheckpointError: The file is damaged, or does not make squares.
    """
    f = _image_fields(folder)
    return _all_sides(f, "size", "shortest_edge", default=usual)[0]


def _sides(f: Fields, name: str, *sides: str, default: int) -> list[int]:
    """Return the pixels of these sides of a group. Other sides are refused: they mean another way to resize."""
    if f.get(name) is None:
        return [default] * len(sides)
    group = f.group(name)
    if {side for side in group.values if group.get(side) is not None} != {*sides}:
        raise f.error(name, dict(group.values), f"Ojito has only {' and '.join(sides)}")
    return [group.integer(side, default=default) for side in sides]


def _all_sides(f: Fields, name: str, *sides: str, default: int) -> list[int]:
    """Return the pixels of these sides, for which older files have one number."""
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


def read_chat_template(folder: Path) -> str | None:
    """The chat template of the folder's processor; None in a model that was not trained to chat.

    It is looked for where the reference's processors do, in their order, and then where its tokenizers do.

    Raises:
        CheckpointError: A file is damaged, or holds several templates and none that is the default.
    """
    processor = _optional(folder, "processor_config.json")
    if processor.get("chat_template") is not None:
        return _default_template(processor)
    if (folder / "chat_template.json").is_file():
        return _default_template(_optional(folder, "chat_template.json")) or ""
    if (folder / CHAT_TEMPLATE).is_file():
        try:
            return find_file(folder, CHAT_TEMPLATE, MAX_JSON).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise CheckpointError(folder / CHAT_TEMPLATE, "is not UTF-8 text", "copy it again") from None
    return _default_template(_optional(folder, TOKENIZER_CONFIG))


def _default_template(f: Fields) -> str | None:
    """The template in a file; of several, the one that is used when none is asked for."""
    value = f.get("chat_template")
    if isinstance(value, list):
        value = {entry.get("name"): entry.get("template") for entry in value if isinstance(entry, Mapping)}
    if isinstance(value, Mapping):
        value = value.get("default")
        if value is None:
            raise f.error("chat_template", f.get("chat_template"), "one template is needed that is called default")
    if value is not None and not isinstance(value, str):
        raise f.error("chat_template", value, "the text of a template is needed")
    return value


def _optional(folder: Path, name: str) -> Fields:
    """Return the fields of an optional file; none where it is missing."""
    return Fields(read_json(folder, name) if (folder / name).is_file() else {}, str(folder / name))


def read_tokenizer_settings(folder: Path, end: tuple[str, ...], config: Fields | None = None) -> dict[str, Any]:
    """The processor's `tokenizer` settings: the file, and the tokens that begin, end and fill a row.

    Nothing is guessed: a token that no file names is none. The ends are those of the tokenizer's files, and those at
    which the reference's `generate` stops: generation_config.json's, else config.json's.

    Args:
        folder: With a tokenizer.json.
        end: Tokens that end an answer, whatever the folder says: the first of all.
        config: The fields of config.json.

    Raises:
        CheckpointError: There is no tokenizer, or a file is damaged, or says what is no token.
    """
    other = next((name for name in OTHER_TOKENIZERS if (folder / name).is_file()), "")
    if other and not (folder / TOKENIZER).exists():
        raise CheckpointError(
            folder,
            f"has its tokenizer as {other}, and no {TOKENIZER}",
            "make one with transformers: AutoTokenizer.from_pretrained, then save_pretrained",
        )
    file = TokenizerFile.read(find_file(folder, TOKENIZER))
    f = _tokenizer_fields(folder)
    named = {name: _token(f, f"{name}_token") for name in ("bos", "eos", "pad")}
    begin = file.begin()
    ends, ids = [*end, named["eos"]], _end_ids(folder, config or Fields({}, ""))
    ends += [file.added[i].content for i in ids if i in file.added]
    settings: dict[str, Any] = {
        "kind": "file",
        "path": path_setting(file.path),
        "bos": named["bos"] or begin,
        "eos": [*dict.fromkeys(token for token in ends if token)],
        "eos_ids": [i for i in ids if i not in file.added],
        "pad": named["pad"],
        "special": [name for name in _special(f) if not file.is_special(name)],
        "added": [name for name in _plain(f) if name not in file.names],
    }
    settings = {name: value for name, value in settings.items() if value}
    return settings if "bos" in settings else {**settings, "has_bos": False}


def writes_bos(folder: Path) -> bool:
    """Whether the folder's tokenizer begins every text with a token, as its post-processor says.

    Raises:
        CheckpointError: There is no tokenizer, or none that can be used.
    """
    return bool(TokenizerFile.read(find_file(folder, TOKENIZER)).begin())


def _tokenizer_fields(folder: Path) -> Fields:
    """tokenizer_config.json's fields, with those of special_tokens_map.json over them where the reference reads it.

    Source: transformers 5.23, `PreTrainedTokenizerBase._from_pretrained`: the second file is that of older versions,
    and is not looked at where the first has `added_tokens_decoder`.
    """
    f = _optional(folder, TOKENIZER_CONFIG)
    if "added_tokens_decoder" in f.values:
        return f
    older = _optional(folder, SPECIAL_TOKENS)
    return Fields({**f.values, **older.values}, older.where) if older.values else f


def _special(f: Fields) -> list[str]:
    """The names of all tokens that tokenizer_config.json calls special, in the order in which they get ids."""
    found = [token for token, special in _decoder(f) if special]
    found += [_token(f, name) for name in f.values if name.endswith("_token") and type(f.get(name)) is not bool]
    for field in ("extra_special_tokens", "additional_special_tokens"):
        more = f.get(field)
        more = [*more.values()] if isinstance(more, Mapping) else more or []
        if not isinstance(more, list):
            raise f.error(field, more, "a list of tokens is needed")
        found += [_token(Fields({field: token}, f.where), field) for token in more]
    return [*dict.fromkeys(token for token in found if token)]


def _plain(f: Fields) -> list[str]:
    """The tokens of tokenizer_config.json that are never split and not special."""
    special = {*_special(f)}
    return [*dict.fromkeys(token for token, is_special in _decoder(f) if not is_special and token not in special)]


def _decoder(f: Fields) -> list[tuple[str, bool]]:
    """The tokens of `added_tokens_decoder` by their ids, and whether each is special."""
    entries = f.group("added_tokens_decoder").values
    try:
        by_id = sorted((int(i), entry) for i, entry in entries.items())
        return [(entry["content"], bool(entry.get("special", False))) for _, entry in by_id]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise f.error("added_tokens_decoder", dict(entries), "ids and their tokens are needed") from None


def _token(f: Fields, name: str) -> str:
    """A token, which is written as its text or as a group with its text; "" where it is null."""
    value = f.get(name)
    if isinstance(value, Mapping):
        value = value.get("content")
    if value is not None and not isinstance(value, str):
        raise f.error(name, value, "the text of a token is needed")
    return value or ""


def _end_ids(folder: Path, config: Fields) -> list[int]:
    """The ids at which the reference's `generate` ends.

    Source: transformers 5.23, `GenerationConfig.from_model_config`: config.json is read where no file of its own says
    it, and its group for the decoder last.
    """
    for f in (_optional(folder, "generation_config.json"), config, config.group("text_config")):
        ends = f.get("eos_token_id")
        if ends is None:
            continue
        ends = ends if isinstance(ends, list) else [ends]
        if not all(type(end) is int and abs(end) < 2**31 for end in ends):
            raise f.error("eos_token_id", ends, "ids of tokens are needed")
        return [end for end in ends if end >= 0]
    return []
