"""The files of a model's folder, read with suspicion: a folder may come from anywhere."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import Any

from ojito.errors import OjitoError

MAX_TEXT = 64 * 2**20  # bytes of a tokenizer.json, the largest text that a model has
MAX_JSON = 8 * 2**20  # bytes of any other
MAX_VALUES = 500_000  # in it: as Python's objects, "[],[]," takes 25 times as much memory

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"

KEEPS = "stay with Ojito: `save` keeps it as it is"
"""The remedy for a model that can be written in no other form."""

BEFORE = ".before"
"""A folder in a model's folder: the files that were there before a save that was cut short."""

_SHARED = ".huggingface-shared-blobs"  # marks a folder of such files
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class CheckpointError(OjitoError):
    """A folder that cannot be loaded or saved; `where` is the file or folder."""


def find_file(folder: Path | str, name: str, limit: int | None = MAX_TEXT) -> Path:
    """The path of a file of the folder.

    Args:
        folder: Of a saved model.
        name: A plain file name.
        limit: The most bytes it may have.

    Raises:
        CheckpointError: It is missing, not a plain file, a link out of the folder, too large, or may not be read.
    """
    folder, path = Path(folder), Path(folder) / name
    try:
        found = path.stat()
        real, place = path.resolve(), folder.resolve()
    except (OSError, ValueError, RuntimeError):  # RuntimeError: links that lead in a circle
        found = None
    if found is None or not stat.S_ISREG(found.st_mode):  # of a pipe or a device there would be no end
        raise CheckpointError(f"{folder} has no {name}; {_remedy(folder)}")
    if place not in real.parents and not _is_blob(place, real):
        raise CheckpointError(f"{path} is a link to a place outside its folder; put the file itself there")
    if limit is not None and found.st_size > limit:
        raise CheckpointError(f"{path} has {found.st_size} bytes, more than {limit}; give a folder that holds a model")
    if not os.access(path, os.R_OK):
        raise CheckpointError(f"{path} may not be read; allow it (chmod +r)")
    return path


def _remedy(folder: Path) -> str:
    """What to do about a file that is missing."""
    if not (folder / BEFORE).is_dir():
        return "give a folder that holds a model"
    return f"a save into it was cut short: save again, or take the model from before it (mv {folder / BEFORE} NEW)"


def _is_blob(snapshot: Path, file: Path) -> bool:
    """Whether the file is one that the Hub's cache links to from this folder.

    It keeps `models--owner--name/snapshots/<commit>/config.json` as a link to `models--owner--name/blobs/<hash>`, and
    that, where models share their files, as a link to `blobs/<two digits of the hash>/<hash>` of the whole cache.
    """
    home = snapshot.parent.parent
    if snapshot.parent.name != "snapshots" or not home.name.startswith("models--") or not _HASH.fullmatch(file.name):
        return False
    shared = home.parent / "blobs"
    return file.parent == home / "blobs" or (file.parent == shared / file.name[:2] and (shared / _SHARED).is_file())


def read_json(folder: Path | str, name: str) -> dict[str, Any]:
    """The mapping in a JSON file of the folder.

    Raises:
        CheckpointError: No such file, not JSON, or not a mapping.
    """
    path = find_file(folder, name, MAX_JSON)
    try:
        values = parse_json(path.read_text(encoding="utf-8"), MAX_VALUES)
    except (ValueError, RecursionError):
        raise CheckpointError(f"{path} is not JSON, or has too many values; copy it again") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}); copy it again") from None
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} holds a {type(values).__name__}, not a mapping; copy it again")
    return values


def parse_json(text: str, most: int) -> Any:
    """What a JSON text holds.

    Args:
        text: The text.
        most: How many values it may hold.

    Raises:
        ValueError: It is not JSON, or holds more; or an object holds a key twice.
        RecursionError: It is nested too deep.
    """
    if sum(map(text.count, ",[{")) > most:
        raise ValueError("too many values")
    return json.loads(text, object_pairs_hook=_without_duplicates)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object in which no key stands twice.

    Raises:
        ValueError: One does.
    """
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands there twice")
    return made
