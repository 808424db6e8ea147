"""Tensors written: one safetensors file, or shards and their index."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from ojito.checkpoint.files import INDEX, WEIGHTS
from ojito.records import Progress

MAX_SHARD = 5 * 10**9  # bytes


def write_weights(
    folder: Path,
    state: Mapping[str, Tensor],
    max_shard: int | None = None,
    dtype: torch.dtype | None = None,
    progress: Progress | None = None,
) -> None:
    """Write `model.safetensors`; if that would be more than `max_shard` bytes, shards and their index.

    Args:
        folder: The folder to write into.
        state: Tensors by their names in the files.
        max_shard: The most bytes of a file, unless one tensor alone has more; None puts all into one.
        dtype: Of floating-point tensors; None leaves them as they are. One shard at a time is converted.
        progress: Called with the count of bytes that are written, and of all of them.

    Raises:
        OSError: The disk is full.
    """
    shards: list[dict[str, Tensor]] = [{}]
    size = total = 0
    for name, tensor in state.items():
        nbytes = tensor.numel() * _dtype(tensor, dtype).itemsize
        if max_shard is not None and shards[-1] and size + nbytes > max_shard:
            shards.append({})
            size = 0
        shards[-1][name] = tensor.detach()
        size += nbytes
        total += nbytes
    names = [WEIGHTS]
    if len(shards) > 1:
        names = [f"model-{i:05}-of-{len(shards):05}.safetensors" for i in range(1, len(shards) + 1)]
        weight_map = {key: name for name, shard in zip(names, shards, strict=True) for key in shard}
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    written = 0
    for name, shard in zip(names, shards, strict=True):
        tensors = {key: tensor.to("cpu", _dtype(tensor, dtype)).contiguous() for key, tensor in shard.items()}
        write_file(folder / name, tensors)
        written += sum(tensor.nbytes for tensor in tensors.values())
        del tensors  # before those of the next shard are converted
        if progress is not None:
            progress(written, total)


def write_file(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write one safetensors file.

    Args:
        path: The file.
        tensors: By their names.

    Raises:
        OSError: The disk is full.
    """
    try:
        plain = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
        save_file(plain, path, metadata={"format": "pt"})
    except SafetensorError as error:  # a full disk comes as this, too
        raise OSError(0, str(error)) from error


def _dtype(tensor: Tensor, dtype: torch.dtype | None) -> torch.dtype:
    return dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
