"""Ways to multiply by a quantized matrix on CUDA, with the face of `kernels.Kernel`.

Those for int8 take rows that are rotated, as their matrix is. What the operators ask for (sizes, layouts) was read in
PyTorch's source; `gpu_choice.py` uses none of them before it has seen a right product.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ojito.inference.kernels import IntInt8
from ojito.inference.weights import GROUP, Int4Weight, Int8Weight


class CastInt8:
    """A product in float, of whole numbers that are cast at every call; the scales multiply the result."""

    packs: ClassVar[bool] = False
    rounds: ClassVar[bool] = False

    def __init__(self, weight: Int8Weight) -> None:
        self.values, self.scale = weight.values, weight.scale

    def __call__(self, rows: Tensor) -> Tensor:
        """The product."""
        if rows.dtype == torch.float16:  # sums of whole numbers would be larger than it can tell
            return F.linear(rows, (self.values * self.scale[:, None]).half())
        return (F.linear(rows, self.values.to(rows.dtype)) * self.scale).to(rows.dtype)

    @classmethod
    def available(cls) -> bool:
        """Everywhere."""
        return True


class FloatInt8:
    """PyTorch's product of float32 rows and an int8 matrix as it lies there. For few rows."""

    packs: ClassVar[bool] = False
    rounds: ClassVar[bool] = False

    def __init__(self, weight: Int8Weight) -> None:
        self.values, self.scale = weight.values, weight.scale

    def __call__(self, rows: Tensor) -> Tensor:
        """The product."""
        return torch._weight_int8pack_mm(rows.float(), self.values, self.scale).to(rows.dtype)

    @classmethod
    def available(cls) -> bool:
        """Where PyTorch has the operator; for CUDA since 2.9."""
        return hasattr(torch, "_weight_int8pack_mm")


class FilledIntInt8(IntInt8):
    """A product of whole numbers: tensor cores multiply 17 rows or more, so rows are filled up to a multiple of 32."""

    def _multiply(self, rows: Tensor) -> Tensor:
        count = len(rows)
        return super()._multiply(F.pad(rows, (0, 0, 0, -count % _ROWS)))[:count]

    @classmethod
    def available(cls) -> bool:
        """Where PyTorch has the operator."""
        return hasattr(torch, "_int_mm")


class TiledInt4:
    """PyTorch's product of bfloat16 rows and an int4 matrix in the tiles of tensor cores. For few rows."""

    packs: ClassVar[bool] = True
    rounds: ClassVar[bool] = False

    def __init__(self, weight: Int4Weight) -> None:
        self.rows, self.columns = weight.shape
        filled, missing = 2 * weight.values.shape[1], -len(weight.values) % _TILE
        self.filling = filled - self.columns
        numbers = F.pad(weight.numbers().to(torch.uint8), (0, 0, 0, missing))
        # Two numbers a byte, of neighbours the left one in the high half.
        tiles = next(tiles for tiles in (8, 4, 2) if filled % (16 * tiles) == 0)
        self.packed = torch._convert_weight_to_int4pack((numbers[:, ::2] << 4) | numbers[:, 1::2], tiles)
        # The line of each group: scale and offset of weight = scale * (number - 8) + offset.
        scale = weight.scale.float()
        lines = torch.stack((scale, weight.minimum.float() + 8 * scale), dim=-1)
        self.lines = F.pad(lines, (0, 0, 0, 0, 0, missing)).transpose(0, 1).to(torch.bfloat16).contiguous()

    def __call__(self, rows: Tensor) -> Tensor:
        """The product."""
        halves = F.pad(rows, (0, self.filling)).to(torch.bfloat16).contiguous()
        return torch._weight_int4pack_mm(halves, self.packed, GROUP, self.lines)[:, : self.rows].to(rows.dtype)

    @classmethod
    def available(cls) -> bool:
        """Where PyTorch has the operators."""
        return hasattr(torch, "_convert_weight_to_int4pack") and hasattr(torch, "_weight_int4pack_mm")


_ROWS = 32  # that rows are filled up to a multiple of
_TILE = 8  # rows of an int4 matrix in a tile
