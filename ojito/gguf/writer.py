"""Write a GGUF file, version 3: metadata, and tensors as ordinary numbers, one in memory at a time."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from ojito.gguf.header import MAGIC

ALIGNMENT = 32  # bytes, the format's own default

_VERSION = 3
_UINT32, _INT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9
_TYPES = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 30}


def write_gguf(
    path: Path,
    metadata: Mapping[str, Any],
    tensors: Iterable[tuple[str, Tensor, torch.dtype]],
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write a file.

    Args:
        path: Where to.
        metadata: Values by their keys: text, booleans, whole numbers below 2**32, numbers, and lists of one of these.
        tensors: Name, tensor and dtype in the file: float32, float16 or bfloat16.
        progress: Called with the bytes of each tensor when it is written.

    Raises:
        OSError: The disk is full.
    """
    tensors = list(tensors)
    header = MAGIC + struct.pack("<IQQ", _VERSION, len(tensors), len(metadata))
    header += b"".join(_text(key) + _typed(value) for key, value in metadata.items())
    offset = 0
    for name, tensor, dtype in tensors:
        sizes = struct.pack(f"<{tensor.ndim}Q", *reversed(tensor.shape))
        header += _text(name) + struct.pack("<I", tensor.ndim) + sizes + struct.pack("<IQ", _TYPES[dtype], offset)
        offset += _padded(tensor.numel() * dtype.itemsize)
    with path.open("wb") as file:
        _write(file, header)
        for _, tensor, dtype in tensors:
            raw = memoryview(tensor.detach().to("cpu", dtype).contiguous().view(-1).view(torch.uint8).numpy().data)
            _write(file, raw)
            if progress is not None:
                progress(raw.nbytes)


def _write(file: BinaryIO, content: bytes | memoryview) -> None:
    """Write bytes, and zeros up to where the next may begin."""
    file.write(content)
    file.write(bytes(_padded(len(content)) - len(content)))


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def _typed(value: Any) -> bytes:
    """A value after its type."""
    if isinstance(value, (list, tuple)):
        kind = _kind(value[0], in_list=True)
        entries = b"".join(_packed(kind, entry) for entry in value)
        return struct.pack("<IIQ", _ARRAY, kind, len(value)) + entries
    kind = _kind(value)
    return struct.pack("<I", kind) + _packed(kind, value)


def _kind(value: Any, in_list: bool = False) -> int:
    if isinstance(value, bool):
        return _BOOL
    if isinstance(value, int):
        return _INT32 if in_list else _UINT32
    return _STRING if isinstance(value, str) else _FLOAT32


def _packed(kind: int, value: Any) -> bytes:
    if kind == _STRING:
        return _text(value)
    return struct.pack({_BOOL: "<?", _UINT32: "<I", _INT32: "<i", _FLOAT32: "<f"}[kind], value)
