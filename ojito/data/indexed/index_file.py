"""An index on disk: safetensors with the arrays, which are mapped and not read. One that does not fit is made anew."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from ojito.data.indexed.index import Index

BESIDE = ".index"
"""What the index of a shard is called, after the shard's own name."""

CACHE = "OJITO_CACHE"
"""Environment variable of the folder where indices are kept; by default ~/.cache/ojito."""

_FORMAT = "1"
_TYPES = {"I64": np.int64, "U64": np.uint64, "U8": np.uint8}
_MOST_HEADER = 1 << 20  # bytes


def write_index(path: Path, index: Index, about: dict[str, str]) -> None:
    """Write an index, whole or not at all.

    Args:
        path: Where to.
        index: What to write.
        about: What says which file it is of.

    Raises:
        OSError: It cannot be written.
    """
    arrays = {name: np.ascontiguousarray(array) for name, array in index.arrays().items()}
    content = save(arrays, {**about, "format": _FORMAT, "names": json.dumps(index.names), "rows": str(index.rows)})
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")  # several processes may write the same
    try:
        aside.write_bytes(content)
        os.replace(aside, path)
    except OSError:
        with suppress(OSError):
            aside.unlink()
        raise


def read_index(path: Path, about: dict[str, str]) -> Index | None:
    """Return the index in a file; None if there is none, or it is of something else, or damaged.

    Args:
        path: The file.
        about: What must be said there of the file that it is of.
    """
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _MOST_HEADER:
                return None
            header = json.loads(file.read(length))
        found = header.pop("__metadata__")
        if found.pop("format") != _FORMAT or any(found.get(key) != value for key, value in about.items()):
            return None
        whole = np.memmap(path, np.uint8, "r")  # mapped once: there may be many thousands of shards
        arrays = {name: _array(whole[8 + length :], entry) for name, entry in header.items()}
        index = Index(names=tuple(json.loads(found["names"])), rows=int(found["rows"]), **arrays)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error):
        return None
    return index if _fits(index) else None


def cache_file(path: Path) -> Path:
    """Where the index of a file is kept, in the cache."""
    name = hashlib.blake2b(os.fsencode(path.absolute()), digest_size=16).hexdigest()
    return cache_folder() / "index" / f"{name}{BESIDE}"


def cache_folder() -> Path:
    """The folder for what can be made again."""
    given = os.environ.get(CACHE)
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "ojito"


def _array(content: Any, entry: dict[str, Any]) -> Any:
    kind, shape = np.dtype(_TYPES[entry["dtype"]]), tuple(entry["shape"])
    first, last = entry["data_offsets"]
    if not 0 <= first <= last <= len(content):
        raise ValueError(last)  # caught above
    return content[first:last].view(kind).reshape(shape)


def _fits(index: Index) -> bool:
    """Whether the arrays agree about the number of rows."""
    rows = len(index)
    arrays = {name: len(array) for name, array in index.arrays().items()}
    known = {*arrays} == {field.name for field in fields(Index)} - {"names", "rows"}
    return (
        known
        and arrays["splits"] in (0, rows)
        and arrays["image_starts"] in (0, rows + 1)
        and len(index.several) == len(index.samples)
        and bool(index.names)
    )
