"""The header of a safetensors file: names, dtypes and shapes, checked before anything is allocated or read."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ojito.checkpoint.files import INDEX, MAX_VALUES, WEIGHTS, CheckpointError, find_file, read_json
from ojito.checkpoint.formats import form_of_file, refuse_other_weights
from ojito.checkpoint.json_text import decode_json
from ojito.settings import shown

MAX_HEADER = 8 * 2**20  # bytes
MAX_TENSORS = 20_000
MAX_SHARDS = 1000
MAX_NAME = 256  # characters of a tensor's name
MAX_AXES = 8  # of a tensor
DTYPES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I8": 1, "U8": 1}  # bytes a number
FLOATS = ("F64", "F32", "F16", "BF16")
DTYPE_NAMES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}

_SHARD = re.compile(r"\w[\w.-]{0,199}\.safetensors", re.ASCII)
_SHOWN = 5  # names that an error lists
_UNREAL = "use the files of a real model"


@dataclass(frozen=True)
class Entry:
    """Dtype, shape and file of a tensor, from a safetensors header."""

    dtype: str
    shape: tuple[int, ...]
    file: str


def read_header(folder: Path | str) -> dict[str, Entry]:
    """Return the names, dtypes and shapes of the folder's tensors. Reads none of the tensors.

    They are in `model.safetensors`, or in the shards that `model.safetensors.index.json` names. What a shard holds is
    said by the shard: an index that was written for other files may list tensors that are in none, such as a tied head.

    Raises:
        CheckpointError: A file is missing, truncated or not a safetensors file; a header is too large; a tensor is in
            two shards; the weights are in a form that is not read.
    """
    folder = Path(folder)
    if (folder / WEIGHTS).is_file() or not (folder / INDEX).is_file():
        if not (folder / WEIGHTS).exists():
            refuse_other_weights(folder)
        return _header(find_file(folder, WEIGHTS, limit=None))
    entries: dict[str, Entry] = {}
    for file in _read_index(folder):
        shard = _header(find_file(folder, file, limit=None))
        twice = sorted(shard.keys() & entries.keys())
        if twice:
            problem = f"holds what {entries[twice[0]].file} holds, too ({first_of(twice)})"
            raise CheckpointError(folder / file, problem, f"copy all shards and {INDEX} again")
        entries |= shard
        _check_count(folder / INDEX, len(entries), "tensors", MAX_TENSORS)
    return entries


def read_file_header(path: Path) -> dict[str, Entry]:
    """Return the names, dtypes and shapes of the tensors of one safetensors file.

    Raises:
        CheckpointError: As for `read_header`.
    """
    return _header(path)


def _read_index(folder: Path) -> list[str]:
    """The names of the shards."""
    path, weight_map = folder / INDEX, read_json(folder, INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(path, "has no weight_map of names to files", "copy it again")
    _check_count(path, len(weight_map), "tensors", MAX_TENSORS)
    for file in weight_map.values():
        # A plain name: an index may not point to other folders.
        if not isinstance(file, str) or not _SHARD.fullmatch(file):
            problem = f"names {shown(file)}, which is no plain name of a *.safetensors"
            raise CheckpointError(path, problem, "copy it again")
    files = sorted(set(weight_map.values()))
    _check_count(path, len(files), "files", MAX_SHARDS)
    return files


def _check_count(path: Path, count: int, what: str, most: int) -> None:
    if count > most:
        raise CheckpointError(path, f"names {count} {what}, more than {most}", _UNREAL)


def _header(path: Path) -> dict[str, Entry]:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > size - 8:
                raise CheckpointError(path, *_not_safetensors(path, size))
            if length > MAX_HEADER:
                raise CheckpointError(path, f"has a header of {length} bytes, more than {MAX_HEADER}", _UNREAL)
            raw = file.read(length)
    except OSError as error:
        raise CheckpointError(path, f"cannot be read ({error.strerror})", "copy it again") from None
    try:
        values = decode_json(raw, MAX_VALUES)
        values.pop("__metadata__", None)
        _check_count(path, len(values), "tensors", MAX_TENSORS)
        entries = {_name(key): Entry(_text(v["dtype"]), _sizes(v["shape"]), path.name) for key, v in values.items()}
        end = _end([(_sizes(v["data_offsets"]), entries[key]) for key, v in values.items()])
    except CheckpointError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CheckpointError(path, "has a damaged header", "copy it again") from None
    if 8 + length + end != size:
        problem = f"is truncated or damaged: it has {size} bytes, not {8 + length + end}"
        raise CheckpointError(path, problem, "copy it again")
    return entries


def _not_safetensors(path: Path, size: int) -> tuple[str, str]:
    """Problem and remedy of a file whose first bytes are not those of a safetensors file."""
    other = form_of_file(path)
    if other:
        return f"is {other}, under the name of a safetensors file", "use the model's own safetensors files"
    problem = f"is truncated, or no safetensors file: it has {size} bytes, and its header alone would have more"
    return problem, "copy it again"


def _end(spans: Iterable[tuple[tuple[int, ...], Entry]]) -> int:
    """Offset at which the last tensor ends, in bytes after the header.

    Raises:
        ValueError: A tensor is not as large as its shape, or they overlap, or leave gaps.
    """
    at = 0
    for (start, end), entry in sorted(spans, key=lambda span: span[0]):
        # Of a dtype that is not known here, safetensors knows the size.
        size = math.prod(entry.shape) * DTYPES[entry.dtype] if entry.dtype in DTYPES else end - start
        if start != at or end != at + size:
            raise ValueError("not where it has to be")  # caught where it is called
        at = end
    return at


def first_of(keys: list[str]) -> str:
    """Return the first names of a list, for a message, and how many more there are."""
    more = f", and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return ", ".join(key[:200] for key in keys[:_SHOWN]) + more


def _name(key: str) -> str:
    if len(key) > MAX_NAME:  # the patterns of what is ignored would take very long to try
        raise ValueError("no tensor's name")  # caught where it is called
    return key


def _sizes(values: Any) -> tuple[int, ...]:
    if not isinstance(values, list) or len(values) > MAX_AXES:
        raise ValueError("not a list of sizes")  # caught where it is called
    if not all(type(value) is int and 0 <= value < 2**63 for value in values):
        raise ValueError("no size")  # caught where it is called
    return tuple(values)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not text")  # caught where it is called
    return value
