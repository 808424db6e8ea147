"""Quantized blocks to floating-point numbers, or to the groups of integers that Ojito's own int8 and int4 consist of.

    Q8_0    32 numbers: a scale in float16, 32 signed bytes                   scale * byte
    Q4_0    32 numbers: a scale in float16, 16 bytes of two nibbles           scale * (nibble - 8)
    Q4_1    32 numbers: scale and minimum in float16, 16 such bytes           scale * nibble + minimum

A block's low nibbles are its first 16 numbers, its high nibbles the other 16. All other quantized types go through the
package `gguf` (extra `gguf`), whose numbers these equal bit for bit.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ojito.gguf.container import GgufFile
from ojito.gguf.header import GgufError, TensorPlace

GROUP = 32
"""Numbers that share a scale."""

_PLAIN = {
    "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64,
    "I8": torch.int8, "I16": torch.int16, "I32": torch.int32, "I64": torch.int64,
}  # fmt: skip
_CHUNK = 2**22  # numbers that are dequantized at once: in float32, 16 MiB


@dataclass(frozen=True)
class Groups:
    """A matrix (N, K) in groups of 32 along its rows: `ints * scales + minimums`.

    Attributes:
        ints: Of Q8_0 (N, K) int8. Of Q4_0 and Q4_1 (N, K / 2) uint8, two columns a byte, each 0 to 15: byte i of a
            group's 16 holds number i in its low nibble and number i + 16 in the high one.
        scales: (N, K / 32) float32, each a number of half precision.
        minimums: (N, K / 32) float32; None for Q8_0, whose numbers lie around 0. Of Q4_0, -8 times the scale.
    """

    ints: Tensor
    scales: Tensor
    minimums: Tensor | None

    def numbers(self) -> Tensor:
        """The matrix (N, K) in float32, equal to what `dequantize` makes of the same blocks."""
        ints = self.ints
        if ints.dtype == torch.uint8:
            packed = ints.view(*self.scales.shape, GROUP // 2)
            ints = torch.cat((packed & 15, packed >> 4), dim=-1)
        grouped = ints.view(*self.scales.shape, GROUP).float() * self.scales[..., None]
        return (grouped if self.minimums is None else grouped + self.minimums[..., None]).flatten(-2)


def is_plain(place: TensorPlace) -> bool:
    """Whether the tensor is stored as ordinary numbers."""
    return place.kind.name in _PLAIN


def read_tensor(file: GgufFile, name: str, dtype: torch.dtype | None = None) -> Tensor:
    """A tensor of the file. One that is stored as ordinary numbers is a view of the file, in its own dtype.

    Args:
        file: The file.
        name: The tensor's name.
        dtype: Of a quantized one; None means float32. Beside the result it takes the memory of a few rows.

    Raises:
        GgufError: A quantized type for which the package `gguf` is missing.
    """
    place = file.tensors[name]
    raw = torch.from_numpy(file.data(name))
    if is_plain(place):
        return raw.view(_PLAIN[place.kind.name]).view(place.shape)
    columns = place.shape[-1]
    rows = raw.view(-1, columns // place.kind.numbers * place.kind.bytes)
    made = torch.empty(len(rows), columns, dtype=dtype or torch.float32)
    step = max(1, _CHUNK // columns)
    for start in range(0, len(rows), step):
        made[start : start + step] = _numbers(file, place, rows[start : start + step])
    return made.view(place.shape)


def read_groups(file: GgufFile, name: str) -> Groups | None:
    """A matrix of the file as groups of integers, without going through floating-point weights.

    Args:
        file: The file.
        name: The tensor's name.

    Returns:
        The groups; None where it is no matrix, or of a type that has other groups.
    """
    place = file.tensors[name]
    if len(place.shape) != 2 or place.kind.name not in ("Q8_0", "Q4_0", "Q4_1"):
        return None
    rows, columns = place.shape
    return _groups(place, torch.from_numpy(file.data(name)).view(rows, columns // GROUP, place.kind.bytes))


def _groups(place: TensorPlace, blocks: Tensor) -> Groups:
    """Groups of blocks (N, K / 32, bytes of a block)."""
    scales = _half(blocks, 0)
    if place.kind.name == "Q8_0":
        return Groups(blocks[..., 2:].view(torch.int8).flatten(-2), scales, None)
    minimums = -8 * scales if place.kind.name == "Q4_0" else _half(blocks, 2)
    return Groups(blocks[..., -GROUP // 2 :].flatten(-2), scales, minimums)


def _numbers(file: GgufFile, place: TensorPlace, rows: Tensor) -> Tensor:
    """Rows (N, bytes) as float32 (N, K)."""
    if place.kind.name not in ("Q8_0", "Q4_0", "Q4_1"):
        return _by_package(file, place, rows)
    blocks = rows.view(len(rows), -1, place.kind.bytes)
    scales = _half(blocks, 0)[..., None]
    if place.kind.name == "Q8_0":
        return (blocks[..., 2:].view(torch.int8).float() * scales).flatten(-2)
    packed = blocks[..., -GROUP // 2 :]
    ints = torch.cat((packed & 15, packed >> 4), dim=-1)
    if place.kind.name == "Q4_0":
        return ((ints.view(torch.int8) - 8).float() * scales).flatten(-2)
    return (ints.float() * scales + _half(blocks, 2)[..., None]).flatten(-2)


def _half(blocks: Tensor, start: int) -> Tensor:
    """The float16 at this byte of every block, as float32."""
    return blocks[..., start : start + 2].contiguous().view(torch.float16)[..., 0].float()


def _by_package(file: GgufFile, place: TensorPlace, rows: Tensor) -> Tensor:
    try:
        package: Any = importlib.import_module("gguf")
    except ImportError:
        problem = f"has {place.name} as {place.kind.name}, which the package gguf reads, and it is not installed"
        raise GgufError(
            file.path, problem, "install it (pip install 'ojito[gguf]'), or use Q8_0, Q4_0 or Q4_1"
        ) from None
    try:
        kind = package.GGMLQuantizationType(place.type)
        return torch.from_numpy(package.quants.dequantize(rows.numpy(), kind))
    except (NotImplementedError, ValueError, KeyError):
        problem = f"has {place.name} as {place.kind.name}, which this version of the package gguf does not read"
        raise GgufError(file.path, problem, "update it, or use a file of another type") from None
