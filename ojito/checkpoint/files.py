"""Files of a model folder, checked before they are read: a folder may come from anywhere."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any

from ojito.checkpoint.json_text import JsonError, decode_json
from ojito.errors import OjitoError

MAX_TEXT = 64 * 2**20  # bytes of a tokenizer.json, the largest text that a model has
MAX_JSON = 8 * 2**20  # bytes of any other
MAX_VALUES = 500_000  # in it: as Python's objects, "[],[]," takes 25 times as much memory

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"

ADAPTER, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
ADAPTER_FILES = (ADAPTER, ADAPTER_WEIGHTS, "adapter_model.bin")
"""Files of PEFT's, which change what the model beside them computes."""

KEEPS = "stay with Ojito: `save` keeps it as it is, and so does `ojito convert --to ojito`"
"""The remedy for a model that can be written in no other form."""

BEFORE = ".before"
"""Folder in a model's folder: the files that were there before a save that was cut short."""

_MAX_POINTER = 1024  # bytes, by its specification
_POINTER = b"version https://git-lfs.github.com/spec/"

_SHARED = ".huggingface-shared-blobs"  # marks a folder of such files
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class CheckpointError(OjitoError):
    """A folder that cannot be loaded or saved; `where` is the file or folder."""


class UnsavedError(CheckpointError):
    """What was learned could not be written; `where` is the file or folder."""

    exit_code = 3


def find_file(folder: Path | str, name: str, limit: int | None = MAX_TEXT) -> Path:
    """Return the path of a file of the folder.

    Args:
        folder: A model's folder.
        name: A plain file name.
        limit: The most bytes it may have; None for any number.

    Raises:
        CheckpointError: It is missing, not a plain file, a link out of the folder, too large, a pointer of Git LFS, or
            may not be read.
    """
    folder, path = Path(folder), Path(folder) / name
    try:
        status = path.stat()
        real, home = path.resolve(), folder.resolve()
    except (OSError, ValueError, RuntimeError):  # RuntimeError: links that lead in a circle
        status = None
    if status is None or not stat.S_ISREG(status.st_mode):  # of a pipe or a device there would be no end
        raise CheckpointError(folder, f"has no {name}", _missing_remedy(folder))
    if home not in real.parents and not _is_blob(home, real):
        raise CheckpointError(path, "is a link to a place outside its folder", "put the file itself there")
    if limit is not None and status.st_size > limit:
        raise CheckpointError(
            path, f"has {status.st_size} bytes, more than {limit}", "give a folder that holds a model"
        )
    if not os.access(path, os.R_OK):
        raise CheckpointError(path, "may not be read", "allow it (chmod +r)")
    if 0 < status.st_size < _MAX_POINTER and _is_pointer(path):
        raise CheckpointError(
            path, "is a pointer of Git LFS, in place of the file", f"run `git lfs pull` in {folder}, or download it"
        )
    return path


def _missing_remedy(folder: Path) -> str:
    """Return the remedy for a missing file."""
    if not (folder / BEFORE).is_dir():
        return "give a folder that holds a model"
    return f"a save into it was cut short: save again, or take the model from before it (mv {folder / BEFORE} NEW)"


def _is_pointer(path: Path) -> bool:
    """Whether git put a pointer here because git-lfs was not there to fetch the file."""
    try:
        with path.open("rb") as file:
            return file.read(len(_POINTER)) == _POINTER
    except OSError:
        return False


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


def path_setting(path: Path) -> str:
    """Return the path as a setting that a recipe can hold.

    Raises:
        CheckpointError: It is not UTF-8, as recipes are.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise CheckpointError(path, "has a name that is not UTF-8, and no recipe can name it", "rename it") from None
    return str(path)


def read_json(folder: Path | str, name: str) -> dict[str, Any]:
    """Return the mapping in a JSON file of the folder.

    Raises:
        CheckpointError: No such file, not JSON, or not a mapping.
    """
    path = find_file(folder, name, MAX_JSON)
    try:
        values = decode_json(path.read_bytes(), MAX_VALUES)
    except JsonError as error:
        raise CheckpointError(path, error.problem, error.remedy) from None
    except OSError as error:
        raise CheckpointError(path, f"cannot be read ({error.strerror})", "copy it again") from None
    if not isinstance(values, dict):
        raise CheckpointError(path, f"holds a {type(values).__name__}, not a mapping", "copy it again")
    return values
