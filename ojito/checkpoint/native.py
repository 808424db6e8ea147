"""A model's folder: `config.json`, `model.safetensors`, and what other parts put beside them.

Writing (`saving`): every file is written to a hidden folder inside and synced to the disk, and only then moved into
place, one by one, `config.json` last. Files that stay the same are left alone. So saving a run again replaces nothing
but the weights, in one step that either happens or not. Where another model was in the folder, its `config.json` goes
first: a save that is cut short leaves a folder without one, which does not load, and never a mixture of two models.
Other files in the folder, such as metrics.jsonl, stay.

Reading: safetensors and JSON, no pickle and no code. Nothing is allocated before names, shapes and dtypes in the file's
header are found to be those of the model.
"""

from __future__ import annotations

import filecmp
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ojito.config import ModelConfig
from ojito.settings import ConfigError, read, write

CONFIG, WEIGHTS = "config.json", "model.safetensors"
STAGING = ".saving"
FORMAT = 1
MAX_HEADER = 8 * 2**20  # bytes
MAX_TENSORS = 20_000
MAX_TEXT = 64 * 2**20  # bytes, of a JSON or YAML file
FLOATS = ("F64", "F32", "F16", "BF16")
INTEGERS = ("I64", "I32")
_SHOWN = 5  # keys that an error lists


class CheckpointError(ValueError):
    """A folder that cannot be loaded or saved: names the file, the problem and the remedy."""


# --------------------------------------------------------------------------------------------------------------- saving


@contextmanager
def saving(folder: Path | str, without: Sequence[str] = ()) -> Iterator[Path]:
    """A hidden folder to write files into; at the end they become the files of `folder`, as this module's text says.

    An exception leaves `folder` as it was. One process at a time saves into a folder.

    Args:
        folder: Where the model goes.
        without: Files that this model does not have; those of a model that was there before are removed.

    Raises:
        CheckpointError: The folder cannot be written.
    """
    folder = Path(folder)
    staging = folder / STAGING
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(staging, ignore_errors=True)  # of a save that was cut short
        staging.mkdir()
        yield staging
        _commit(staging, folder, [name for name in without if (folder / name).exists()])
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise CheckpointError(f"{folder} cannot be written ({reason}); free the disk, or save elsewhere") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def save_model(folder: Path | str, name: str, config: ModelConfig, state: Mapping[str, Tensor]) -> None:
    """Writes `config.json` and `model.safetensors`; call it within `saving`.

    Args:
        folder: That of `saving`.
        name: What the model is called.
        config: Of the model.
        state: Its state dict.
    """
    values = {"format": FORMAT, "name": name, "model": write(config)}
    (Path(folder) / CONFIG).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in state.items()}
    try:
        save_file(tensors, Path(folder) / WEIGHTS, metadata={"format": "pt"})
    except SafetensorError as error:  # a full disk comes as this, too
        raise OSError(0, str(error)) from error


def _commit(staging: Path, folder: Path, obsolete: Sequence[str]) -> None:
    """Moves the files into place, and removes the obsolete ones."""
    changed = {path.name for path in staging.iterdir() if not _same(path, folder / path.name)}
    another = bool(changed - {WEIGHTS} or obsolete)  # model or processor: for a moment the files do not fit together
    if another:
        changed.add(CONFIG)
    for name in changed:
        _sync(staging / name)
    if another:
        (folder / CONFIG).unlink(missing_ok=True)
        _sync(folder)
        for name in obsolete:
            (folder / name).unlink()
    for name in sorted(changed, key=lambda name: name == CONFIG):
        os.replace(staging / name, folder / name)
    _sync(folder)


def _same(new: Path, old: Path) -> bool:
    # Weights are as good as never the same, and long to compare.
    return new.name != WEIGHTS and old.is_file() and filecmp.cmp(new, old, shallow=False)


def _sync(path: Path) -> None:
    """Waits until a file, or a folder's list of files, is on the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows has no such thing
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# -------------------------------------------------------------------------------------------------------------- loading


def find_file(folder: Path | str, name: str, limit: int | None = MAX_TEXT) -> Path:
    """The path of a file of the folder.

    Args:
        folder: Of a saved model.
        name: A plain file name.
        limit: The most bytes it may have.

    Raises:
        CheckpointError: It is missing, not a plain file, a link out of the folder, or too large.
    """
    folder, path = Path(folder), Path(folder) / name
    if not path.is_file():
        raise CheckpointError(f"{folder} has no {name}; give a folder that Pipeline.save or `ojito train` wrote")
    if folder.resolve() not in path.resolve().parents:
        raise CheckpointError(f"{path} is a link to a place outside its folder; put the file itself there")
    size = path.stat().st_size
    if limit is not None and size > limit:
        raise CheckpointError(f"{path} has {size} bytes, more than {limit}; this is no such file of a saved model")
    return path


def read_config(folder: Path | str) -> tuple[str, ModelConfig]:
    """The name and the config of the folder's model.

    Raises:
        CheckpointError: No such file, or not JSON.
        ConfigError: A setting that cannot be used.
    """
    path = find_file(folder, CONFIG)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise CheckpointError(f"{path} is not JSON; save the model again") from None
    known = {"format", "name", "model"}
    if not isinstance(values, dict) or set(values) != known or not isinstance(values["name"], str):
        raise CheckpointError(f"{path} does not hold {', '.join(sorted(known))}; save the model again")
    if values["format"] != FORMAT:
        raise CheckpointError(f"{path} is of format {values['format']!r}, and this Ojito reads {FORMAT}; update Ojito")
    try:
        return values["name"], read(ModelConfig, values["model"], "model")
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.key}", error.problem) from None


@dataclass(frozen=True)
class Entry:
    """What a safetensors header says of a tensor."""

    dtype: str
    shape: tuple[int, ...]


def read_header(folder: Path | str) -> dict[str, Entry]:
    """The names, dtypes and shapes in the folder's `model.safetensors`. Reads none of its tensors.

    Raises:
        CheckpointError: It is missing, truncated, not a safetensors file, or its header is too large.
    """
    path = find_file(folder, WEIGHTS, limit=None)
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            raise CheckpointError(f"{path} is truncated: it has {size} bytes, and its header alone more; copy it again")
        if length > MAX_HEADER:
            raise CheckpointError(f"{path} has a header of {length} bytes, more than {MAX_HEADER}; refused")
        raw = file.read(length)
    try:
        values = json.loads(raw.decode("utf-8"), object_pairs_hook=_without_duplicates)
        values.pop("__metadata__", None)
        if len(values) > MAX_TENSORS:
            raise CheckpointError(f"{path} holds {len(values)} tensors, more than {MAX_TENSORS}; refused")
        entries = {key: Entry(_text(v["dtype"]), _sizes(v["shape"])) for key, v in values.items()}
        end = max((_sizes(v["data_offsets"])[1] for v in values.values()), default=0)
    except CheckpointError:
        raise
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise CheckpointError(f"{path} has a damaged header; copy it again") from None
    if 8 + length + end != size:
        raise CheckpointError(
            f"{path} is truncated or damaged: it has {size} bytes, not {8 + length + end}; copy it again"
        )
    return entries


def read_weights(
    folder: Path | str,
    expected: Mapping[str, Tensor],
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
) -> dict[str, Tensor]:
    """The tensors of `model.safetensors`.

    On the CPU and in the file's dtype they are a view of the file: nothing is read before it is used.

    Args:
        folder: Of a saved model.
        expected: The model's state dict; tensors on `meta` will do.
        dtype: Of floating-point tensors; None leaves them as they are.
        device: Where to put them.

    Raises:
        CheckpointError: A key is missing, unexpected or of another shape, or the file is damaged.
    """
    path = Path(folder) / WEIGHTS
    _compare(path, read_header(folder), expected)
    state = {}
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            for key, tensor in expected.items():
                state[key] = file.get_tensor(key).to(device, dtype if tensor.is_floating_point() else None)
    except SafetensorError:
        raise CheckpointError(f"{path} has a damaged header; copy it again") from None
    return state


def _compare(path: Path, found: Mapping[str, Entry], expected: Mapping[str, Tensor]) -> None:
    """Strict: every tensor of the model, of its shape and kind, and no other.

    Raises:
        CheckpointError: Lists what differs.
    """
    missing = [key for key in expected if key not in found]
    unexpected = [key for key in found if key not in expected]
    differing = []
    for key, tensor in expected.items():
        if key not in found:
            continue
        entry = found[key]
        if entry.shape != tuple(tensor.shape):
            differing.append(f"{key} is {list(entry.shape)}, not {list(tensor.shape)}")
        elif entry.dtype not in (FLOATS if tensor.is_floating_point() else INTEGERS):
            differing.append(f"{key} is of dtype {entry.dtype}")
    lists = {"missing": missing, "unexpected": unexpected, "differing": differing}
    problems = [f"{len(keys)} {name} ({_first(keys)})" for name, keys in lists.items() if keys]
    if problems:
        raise CheckpointError(
            f"{path} does not fit {CONFIG} beside it: {'; '.join(problems)}; use the two files of one model"
        )


def _first(keys: list[str]) -> str:
    more = f", and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return ", ".join(key[:200] for key in keys[:_SHOWN]) + more


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands there twice")
    return made


def _sizes(values: Any) -> tuple[int, ...]:
    if not isinstance(values, list) or not all(type(value) is int and value >= 0 for value in values):
        raise ValueError("not a list of sizes")
    return tuple(values)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not text")
    return value
