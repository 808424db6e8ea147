"""The two quantized forms of a matrix: int8 with a scale a row, int4 with a scale and a minimum a group of 32.

int4 holds whole numbers and a line to read each group of them by: weight = scale * number + minimum. Its groups are
those of GGUF's Q4_0 and Q4_1, nibble for nibble, so that such files are read without a detour.

int8 holds the rows rotated: each block of 64 columns is multiplied by a Hadamard matrix, which only adds, subtracts and
scales. A product stays what it is when the rows that it is taken with are rotated, too, and in both no number is far
larger than the rest. So hidden states, of which a few columns otherwise are a hundred times as large as the others, can
be rounded to 8 bits, row by row, for a product of whole numbers: that raises SmolLM2-135M's perplexity by 0.1%, and
without the rotation by 2.6% (`benchmarks/quantization.py`).

Source of the idea: QuaRot, Ashkboos et al. 2024, arXiv 2404.00456.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, ClassVar, Union

import torch
from torch import Tensor

if TYPE_CHECKING:  # shapes are checked by the tests only
    from jaxtyping import Float

GROUP = 32
"""Numbers of a row that share a scale and a minimum in int4."""

BLOCK = 64
"""Columns that are rotated together in int8, or as many as divide a row: the largest power of two that does."""

_CHUNK = (
    2**19
)  # numbers that are worked on at once: they stay in the processor's cache, which is faster by half or more


@dataclass(frozen=True)
class Int8Weight:
    """A matrix, rotated, as whole numbers from -127 to 127, each row with a scale.

    Attributes:
        values: (N, K) int8.
        scale: (N,) float32.
    """

    values: Tensor
    scale: Tensor

    form: ClassVar[str] = "int8"

    @classmethod
    def quantize(cls, weight: Float[Tensor, "N K"]) -> Int8Weight:
        """Quantize a matrix: the largest number of each rotated row becomes 127."""
        values = torch.empty(weight.shape, dtype=torch.int8, device=weight.device)
        scale = torch.empty(len(weight), dtype=torch.float32, device=weight.device)
        for rows in _chunks(weight):
            chunk = rotate(weight[rows].float())
            scale[rows] = chunk.abs().amax(dim=1) / 127
            values[rows] = (chunk / _never_zero(scale[rows])[:, None]).round_()
        return cls(values, scale)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the matrix."""
        rows, columns = self.values.shape
        return rows, columns

    @property
    def device(self) -> torch.device:
        """Where the numbers are."""
        return self.values.device

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """What it consists of."""
        return self.values, self.scale

    @property
    def nbytes(self) -> int:
        """Bytes of numbers and scales."""
        return sum(one.nbytes for one in self.tensors)

    def dequantize(self, dtype: torch.dtype = torch.float32) -> Float[Tensor, "N K"]:
        """Return the matrix that the numbers stand for."""
        return rotate(self.values.float() * self.scale[:, None]).to(dtype)

    def __getitem__(self, rows: slice | Tensor) -> Int8Weight:
        return Int8Weight(self.values[rows], self.scale[rows])


@dataclass(frozen=True)
class Int4Weight:
    """A matrix as whole numbers from 0 to 15, each group of 32 in a row with a scale and a minimum.

    Attributes:
        values: (N, P) uint8, two numbers a byte: byte i of a group's 16 holds number i in its low half, i + 16 in its
            high one. A row that is no multiple of 32 long is filled up.
        scale: (N, P / 16) float16.
        minimum: (N, P / 16) float16.
        columns: K, the numbers of a row without the filling.
    """

    values: Tensor
    scale: Tensor
    minimum: Tensor
    columns: int

    form: ClassVar[str] = "int4"

    @classmethod
    def quantize(cls, weight: Float[Tensor, "N K"]) -> Int4Weight:
        """Quantize a matrix: of each group the smallest number becomes 0 and the largest 15, then the line is fitted.

        Fitting the line to the rounded numbers (least squares) takes off 4% of the error that ends and rounding leave.
        """
        rows, columns = weight.shape
        groups = -(-columns // GROUP)
        values = torch.empty(rows, groups * GROUP // 2, dtype=torch.uint8, device=weight.device)
        scale = torch.empty(rows, groups, dtype=torch.float16, device=weight.device)
        minimum = torch.empty(rows, groups, dtype=torch.float16, device=weight.device)
        filling = groups * GROUP - columns
        for part in _chunks(weight):
            chunk = weight[part].float()
            if filling:
                # With its own last number, so that the group's ends stay what they are.
                chunk = torch.cat((chunk, chunk[:, -1:].expand(-1, filling)), dim=1)
            numbers, scale[part], minimum[part] = _fit(chunk.view(-1, groups, GROUP))
            halves = numbers.to(torch.uint8).view(-1, groups, 2, GROUP // 2)
            values[part] = (halves[:, :, 0] | (halves[:, :, 1] << 4)).flatten(1)
        return cls(values, scale, minimum, columns)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the matrix."""
        return len(self.values), self.columns

    @property
    def device(self) -> torch.device:
        """Where the numbers are."""
        return self.values.device

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """What it consists of."""
        return self.values, self.scale, self.minimum

    @property
    def nbytes(self) -> int:
        """Bytes of numbers, scales and minima."""
        return sum(one.nbytes for one in self.tensors)

    def dequantize(self, dtype: torch.dtype = torch.float32) -> Float[Tensor, "N K"]:
        """Return the matrix that the numbers stand for."""
        into = torch.empty(len(self.values), 2 * self.values.shape[1], device=self.values.device)
        return self.dequantize_into(into)[:, : self.columns].to(dtype)

    def dequantize_into(self, into: Float[Tensor, "N filled"]) -> Float[Tensor, "N filled"]:
        """Write the matrix, the filling of its rows included, into a float32 one, and return that."""
        groups = self.scale.shape[1]
        for rows in _chunks(into):
            numbers = self.values[rows].view(-1, groups, GROUP // 2)
            halves = into[rows].view(-1, groups, 2, GROUP // 2)
            halves[:, :, 0] = numbers & 15
            halves[:, :, 1] = numbers >> 4
            chunk = into[rows].view(-1, groups, GROUP)
            chunk.mul_(self.scale[rows, :, None]).add_(self.minimum[rows, :, None])
        return into

    def numbers(self) -> Tensor:
        """Return (N, filled) int32, the whole numbers one by one."""
        rows, groups = self.scale.shape
        made = torch.empty(rows, groups, 2, GROUP // 2, dtype=torch.int32, device=self.device)
        halves = self.values.view(rows, groups, GROUP // 2)
        made[:, :, 0] = halves & 15
        made[:, :, 1] = halves >> 4
        return made.view(rows, -1)

    def __getitem__(self, rows: slice | Tensor) -> Int4Weight:
        return Int4Weight(self.values[rows], self.scale[rows], self.minimum[rows], self.columns)


QuantizedWeight = Union[Int8Weight, Int4Weight]
"""A matrix in either form."""

WEIGHTS: dict[str, type[Int8Weight] | type[Int4Weight]] = {"int8": Int8Weight, "int4": Int4Weight}
"""The forms, by name."""


def concatenate(weights: list[QuantizedWeight]) -> QuantizedWeight:
    """Return matrices of one form and one number of columns as one, row under row."""
    first = weights[0]
    if isinstance(first, Int8Weight):
        parts8 = [weight for weight in weights if isinstance(weight, Int8Weight)]
        return Int8Weight(torch.cat([part.values for part in parts8]), torch.cat([part.scale for part in parts8]))
    parts = [weight for weight in weights if isinstance(weight, Int4Weight)]
    return Int4Weight(
        torch.cat([part.values for part in parts]),
        torch.cat([part.scale for part in parts]),
        torch.cat([part.minimum for part in parts]),
        first.columns,
    )


def rotate(rows: Float[Tensor, "M K"]) -> Float[Tensor, "M K"]:
    """Return rows with each block of columns multiplied by a Hadamard matrix. Done twice, it changes nothing."""
    size = block_of(rows.shape[1])
    if size == 1:
        return rows
    return (rows.reshape(-1, size) @ _hadamard(size, rows.dtype, rows.device)).view(rows.shape)


def block_of(columns: int) -> int:
    """Return how many columns of so many are rotated together."""
    return min(columns & -columns, BLOCK)


@cache  # there are few, and recorded steps know them by their addresses
def _hadamard(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The Hadamard matrix of a power of two, with rows of length 1: symmetric, and its own inverse."""
    matrix = torch.ones(1, 1)
    while len(matrix) < size:
        matrix = torch.cat((torch.cat((matrix, matrix), dim=1), torch.cat((matrix, -matrix), dim=1)))
    return (matrix / size**0.5).to(device, dtype)


def _fit(groups: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Whole numbers, scales and minima of groups (N, G, 32)."""
    low, high = groups.amin(dim=-1), groups.amax(dim=-1)
    scale = (high - low) / 15
    numbers = ((groups - low[..., None]) / _never_zero(scale)[..., None]).round_().clamp_(0, 15)
    # The line through the points (number, weight) that misses them least.
    mean = numbers.mean(dim=-1)
    spread = (numbers.square().mean(dim=-1) - mean.square()).clamp_(min=0)
    center = groups.mean(dim=-1)
    covariance = (numbers * groups).mean(dim=-1) - mean * center
    fitted = torch.where(spread > 0, covariance / _never_zero(spread), scale).half()
    return numbers, fitted, center - mean * fitted.float()


def _never_zero(numbers: Tensor) -> Tensor:
    """The numbers, with 1 in place of 0: what is divided by it is 0, too."""
    return numbers.where(numbers != 0, 1)


def _chunks(weight: Tensor) -> list[slice]:
    """Rows that are worked on at once."""
    size = _CHUNK if weight.device.type == "cpu" else _CHUNK * 128  # a GPU would wait for hundreds of small pieces
    rows = max(1, size // weight.shape[1])
    return [slice(start, min(start + rows, len(weight))) for start in range(0, len(weight), rows)]
