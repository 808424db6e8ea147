"""The files of one checkpoint: tensors in state.safetensors, all else in state.json. No pickle."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ojito.checkpoint.files import CheckpointError

TENSORS, VALUES = "state.safetensors", "state.json"
FORMAT = 1
_APART = "/"  # between the names of nested mappings; no parameter has one in its own


def write_state(folder: Path, values: Mapping[str, Any]) -> None:
    """Write nested mappings of tensors, numbers, texts and lists.

    Args:
        folder: The folder to write into.
        values: As `TrainState.state_dict` returns them.

    Raises:
        OSError: The disk is full.
    """
    tensors = {name: tensor.detach().to("cpu").contiguous() for name, tensor in _tensors(values)}
    try:
        save_file(tensors, folder / TENSORS)
    except SafetensorError as error:  # a full disk comes as this, too
        raise OSError(0, str(error)) from error
    text = json.dumps({"format": FORMAT, **_without_tensors(values)}, ensure_ascii=False, indent=1)
    (folder / VALUES).write_text(text + "\n", encoding="utf-8")


def read_state(folder: Path) -> dict[str, Any]:
    """Read what `write_state` wrote. The tensors are views of the file until they are changed.

    Raises:
        CheckpointError: A file is damaged, or of another version.
    """
    try:
        values = json.loads((folder / VALUES).read_text(encoding="utf-8"))
        tensors = load_file(folder / TENSORS)
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(folder, f"cannot be read ({error})", "go on with an older checkpoint") from error
    if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
        raise CheckpointError(folder / VALUES, f"is not of format {FORMAT}", "go on with the Ojito that wrote it")
    for name, tensor in tensors.items():
        *groups, last = name.split(_APART)
        into = values
        for group in groups:
            into = into.setdefault(group, {})
        into[last] = tensor
    return values


def copied(values: Any) -> Any:
    """Return the same values with copies of the tensors, on the CPU: the training may go on."""
    if isinstance(values, Mapping):
        return {name: copied(value) for name, value in values.items()}
    if isinstance(values, Tensor):
        return values.detach().to("cpu", copy=True)
    return values


def nbytes(values: Any) -> int:
    """Return the bytes of all tensors."""
    return sum(tensor.nbytes for _, tensor in _tensors(values))


def _tensors(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    for name, value in values.items():
        if isinstance(value, torch.Tensor):
            yield prefix + name, value
        elif isinstance(value, Mapping):
            yield from _tensors(value, prefix + name + _APART)


def _without_tensors(values: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            kept[name] = _without_tensors(value)
        elif not isinstance(value, torch.Tensor):
            kept[name] = value
    return kept
