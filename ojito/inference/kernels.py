"""Ways to multiply by a matrix on a CPU: rows (M, K) times a matrix (N, K) to (M, N).

The kernels for int8 take rows that are rotated, as their matrix is (`weights.rotate`).

Which is the fastest depends on the processor, on the form of the matrix, and on the number of rows: one token waits for
memory, a prompt for the multipliers. Each kernel says where it runs; `choice.py` measures those that do.

Some use the matrix as it lies in the file. Others pack it first, into a copy that suits the processor: `packs`. The
original then is of no more use, and where it is mapped from a file the system takes its memory back.

Operators of PyTorch that are not part of its documented face are looked up by name: where a release lacks one, its
kernels are not available, and the plain ones serve.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ojito.device import fast_bfloat16
from ojito.inference.mapped import Pages
from ojito.inference.weights import GROUP, Int4Weight, Int8Weight, QuantizedWeight

if TYPE_CHECKING:  # shapes are checked by the tests only
    from jaxtyping import Float

Matrix = Tensor | QuantizedWeight
"""A matrix in any form."""


class Kernel(Protocol):
    """A matrix, ready to be multiplied by.

    Attributes:
        packs: Whether it holds a copy of the matrix in a form of its own.
        rounds: Whether it rounds many rows to 8 bits.
    """

    packs: ClassVar[bool]
    rounds: ClassVar[bool]

    def __init__(self, weight: Any) -> None:
        """Make the matrix ready."""

    def __call__(self, rows: Float[Tensor, "M K"]) -> Float[Tensor, "M N"]:
        """The product, in the dtype of the rows."""
        ...

    @classmethod
    def available(cls) -> bool:
        """Whether this machine and this release of PyTorch have it."""
        ...


# ---------------------------------------------------------------------------------------------------------------- float


class Plain:
    """PyTorch's own product, of rows and a matrix in one dtype."""

    packs: ClassVar[bool] = False
    rounds: ClassVar[bool] = False

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight

    def __call__(self, rows: Tensor) -> Tensor:
        """The product."""
        return F.linear(rows, self.weight)

    @classmethod
    def available(cls) -> bool:
        """Everywhere."""
        return True


class OneDNN:
    """oneDNN's float32 product, of a matrix as it lies there.

    PyTorch gives float32 to MKL, which on AMD's processors takes one and a half to three times as long.
    """

    packs: ClassVar[bool] = False
    rounds: ClassVar[bool] = False

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight

    def __call__(self, rows: Tensor) -> Tensor:
        """The product."""
        return torch.ops.mkldnn._linear_pointwise(rows, self.weight, None, "none", [], "")

    @classmethod
    def available(cls) -> bool:
        """Where PyTorch was built with oneDNN."""
        return bool(torch._C._has_mkldnn) and _has("mkldnn", "_linear_pointwise")


class PackedOneDNN(OneDNN):
    """oneDNN's bfloat16 product, of a matrix in the blocks that oneDNN reads fastest."""

    packs: ClassVar[bool] = True

    def __init__(self, weight: Tensor) -> None:
        super().__init__(torch.ops.mkldnn._reorder_linear_weight(weight, _PROMPT))

    @classmethod
    def available(cls) -> bool:
        """Where the processor multiplies bfloat16."""
        return super().available() and fast_bfloat16("cpu") and _has("mkldnn", "_reorder_linear_weight")


class Widened:
    """A product in float32, where the processor only emulates bfloat16: the matrix is widened into a scratch buffer."""

    packs: ClassVar[bool] = False
    rounds: ClassVar[bool] = False

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight

    def __call__(self, rows: Tensor) -> Tensor:
        """The product."""
        return _by_pieces(rows, (len(self.weight), self.weight.shape[1]), self._widen)

    def _widen(self, piece: slice, scratch: Tensor) -> None:
        scratch.copy_(self.weight[piece])

    @classmethod
    def available(cls) -> bool:
        """Everywhere."""
        return True


class Dequantized:
    """A product with a quantized matrix that is dequantized at every call, on any device."""

    packs: ClassVar[bool] = False
    rounds: ClassVar[bool] = False

    def __init__(self, weight: QuantizedWeight) -> None:
        self.weight = weight

    def __call__(self, rows: Tensor) -> Tensor:
        """The product."""
        return F.linear(rows, self.weight.dequantize(rows.dtype))

    @classmethod
    def available(cls) -> bool:
        """Everywhere."""
        return True


# ----------------------------------------------------------------------------------------------------------------- int8


class WidenedInt8(Widened):
    """A product in float, of whole numbers widened into a scratch buffer; the scales multiply the result."""

    def __init__(self, weight: Int8Weight) -> None:
        super().__init__(weight.values)
        self.scale = weight.scale

    def __call__(self, rows: Tensor) -> Tensor:
        """The product."""
        return (_by_pieces(rows, (len(self.weight), self.weight.shape[1]), self._widen) * self.scale).to(rows.dtype)


class WeightOnlyInt8:
    """PyTorch's product of bfloat16 rows and an int8 matrix as it lies there. For few rows.

    With AVX512 it reads past the end of a row that is no multiple of 16 numbers long, and gives NaN, or crashes. Such
    rows, which no large model has, are multiplied in float32.
    """

    packs: ClassVar[bool] = False
    rounds: ClassVar[bool] = False

    def __init__(self, weight: Int8Weight) -> None:
        self.values, self.scale = weight.values, weight.scale
        self.dtype = torch.float32 if weight.values.shape[1] % 16 else torch.bfloat16
        # Scales in bfloat16 would be off by 1/500: the true ones multiply the result.
        self.ones = torch.ones(len(weight.scale), dtype=self.dtype)

    def __call__(self, rows: Tensor) -> Tensor:
        """The product."""
        made = torch._weight_int8pack_mm(rows.to(self.dtype), self.values, self.ones)
        return (made * self.scale).to(rows.dtype)

    @classmethod
    def available(cls) -> bool:
        """Where PyTorch has the operator."""
        return hasattr(torch, "_weight_int8pack_mm")


class IntInt8:
    """A product of whole numbers: each row is quantized as it comes, to 8 bits of its own scale.

    Few rows are multiplied in two pieces, of which the second is what rounding took from the first: for one token
    the matrix is waited for, not the multipliers.
    """

    packs: ClassVar[bool] = False
    rounds: ClassVar[bool] = True

    def __init__(self, weight: Int8Weight) -> None:
        self.values, self.scale = weight.values.t(), weight.scale
        self.steps = 127  # whole numbers on either side of 0 for a row's values

    def __call__(self, rows: Tensor) -> Tensor:
        """The product."""
        floats = rows.float()
        step = floats.abs().amax(dim=1, keepdim=True).clamp_(min=1e-30).div_(self.steps)
        unit = floats / step
        if rows.shape[0] <= FEW:
            whole = unit.round()
            made = self._multiply(torch.cat((whole, (unit - whole).mul_(2 * self.steps))))
            made = torch.add(*made.chunk(2), alpha=0.5 / self.steps)
        else:
            made = self._multiply(unit)
        return (made * step * self.scale).to(rows.dtype)

    def _multiply(self, rows: Tensor) -> Tensor:
        """The product of numbers, rounded, -steps to steps, and the matrix without its scales, in float32."""
        return torch._int_mm(rows.round_().to(torch.int8), self.values).float()

    @classmethod
    def available(cls) -> bool:
        """Where the processor has instructions for it; elsewhere it takes ten times as long as float32."""
        return hasattr(torch, "_int_mm") and _has_vnni()


class PackedInt8(IntInt8):
    """The same through FBGEMM, which packs the matrix, and is fast without such instructions, too."""

    packs: ClassVar[bool] = True

    def __init__(self, weight: Int8Weight) -> None:
        # Without them, sums of two products may pass 16 bits: 7 bits of a row are used (127 * 63 * 2 fits).
        self.steps = 127 if _has_vnni() else 63
        self.scale = weight.scale
        with _packing_for_fbgemm():
            # In pieces: while one is packed, it is there three times.
            self.packed = [self._pack(weight.values[piece]) for piece in _pieces(weight.shape, _PACKED)]

    def _pack(self, values: Tensor) -> object:
        ones, zeros = torch.ones(len(values), dtype=torch.float64), torch.zeros(len(values), dtype=torch.int64)
        quantized = torch._make_per_channel_quantized_tensor(values, ones, zeros, 0)
        Pages([values]).let_go(written=False)  # that of a large head takes as much memory as a small model
        return torch.ops.quantized.linear_prepack(quantized, None)

    def _multiply(self, rows: Tensor) -> Tensor:
        multiply, zero = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32, self.steps + 1
        return _joined([multiply(rows, 1.0, zero, packed) for packed in self.packed])

    @classmethod
    def available(cls) -> bool:
        """Where PyTorch was built with FBGEMM."""
        return "fbgemm" in torch.backends.quantized.supported_engines and _has(
            "quantized", "linear_with_input_q_dq_qweight_dq_output_fp32"
        )


# ----------------------------------------------------------------------------------------------------------------- int4


class WidenedInt4(Widened):
    """A product in float, of a matrix that is dequantized into a scratch buffer."""

    def __init__(self, weight: Int4Weight) -> None:
        self.quantized = weight

    def __call__(self, rows: Tensor) -> Tensor:
        """The product."""
        count, columns = self.quantized.shape
        filled = 2 * self.quantized.values.shape[1]
        wide = F.pad(rows, (0, filled - columns)) if filled > columns else rows
        return _by_pieces(wide, (count, filled), self._widen)

    def _widen(self, piece: slice, scratch: Tensor) -> None:
        if scratch.dtype == torch.float32:
            self.quantized[piece].dequantize_into(scratch)
        else:
            scratch.copy_(self.quantized[piece].dequantize_into(torch.empty(scratch.shape)))


class PackedInt4:
    """PyTorch's product of bfloat16 rows and an int4 matrix in blocks. For few rows."""

    packs: ClassVar[bool] = True
    rounds: ClassVar[bool] = False

    def __init__(self, weight: Int4Weight) -> None:
        self.rows, columns = weight.shape
        filled, groups = 2 * weight.values.shape[1], weight.scale.shape[1]
        self.filling = filled - columns
        rows = self.rows + -self.rows % _BLOCK
        self.packed = torch.zeros(rows, filled // 2, dtype=torch.uint8)
        # The line of each group: scale and offset of weight = scale * (number - 8) + offset.
        self.lines = torch.zeros(groups, rows, 2, dtype=torch.bfloat16)
        for piece in _pieces(weight.shape, _SCRATCH):  # while one is packed, each of its numbers takes 4 bytes
            self._pack(weight[piece], slice(piece.start, piece.start + len(weight[piece].values)))

    def _pack(self, weight: Int4Weight, place: slice) -> None:
        numbers, missing = weight.numbers(), -len(weight.values) % _BLOCK
        if missing:
            numbers = F.pad(numbers, (0, 0, 0, missing))
        packed = torch._convert_weight_to_int4pack_for_cpu(numbers, 1)
        self.packed[place.start : place.start + len(packed)] = packed
        scale, minimum = weight.scale.t().float(), weight.minimum.t().float()
        self.lines[:, place, 0] = scale
        self.lines[:, place, 1] = minimum.add_(scale, alpha=8)

    def __call__(self, rows: Tensor) -> Tensor:
        """The product."""
        if self.filling:
            rows = F.pad(rows, (0, self.filling))
        made = torch._weight_int4pack_mm_for_cpu(rows.to(torch.bfloat16), self.packed, GROUP, self.lines)
        return made.narrow(1, 0, self.rows).to(rows.dtype)

    @classmethod
    def available(cls) -> bool:
        """Where PyTorch has the operator."""
        return hasattr(torch, "_weight_int4pack_mm_for_cpu") and hasattr(torch, "_convert_weight_to_int4pack_for_cpu")


FEW = 8
"""Rows up to which each is multiplied in two pieces: as fast as one, because the matrix is read once for all."""

_PROMPT = 256  # rows that a packed matrix is laid out for
_BLOCK = 64  # rows of an int4 matrix that the widest kernel takes at once
_SCRATCH = 2**22  # numbers that are widened at once: 16 MB in float32
_PACKED = 2**25  # numbers that FBGEMM packs at once

_local = threading.local()


def _by_pieces(rows: Tensor, shape: tuple[int, int], widen: Callable[[slice, Tensor], None]) -> Tensor:
    """The product of rows and a matrix of this shape that `widen` writes, piece by piece, into a scratch buffer."""
    dtype = torch.bfloat16 if rows.dtype == torch.bfloat16 and fast_bfloat16("cpu") else torch.float32
    multiply = OneDNN if dtype == torch.float32 and OneDNN.available() else Plain
    inputs = rows.to(dtype)
    made, columns = [], shape[1]
    for piece in _pieces(shape, _SCRATCH):
        into = _scratch((piece.stop - piece.start) * columns, dtype).view(-1, columns)
        widen(piece, into)
        made.append(multiply(into)(inputs))
    return _joined(made).to(rows.dtype)


def _joined(pieces: list[Tensor]) -> Tensor:
    """Products with the pieces of a matrix, as the product with all of it."""
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=1)


def _pieces(shape: tuple[int, int], numbers: int) -> list[slice]:
    """Rows of a matrix that are worked on at once: about so many numbers."""
    count, columns = shape
    height = max(_BLOCK, numbers // columns // _BLOCK * _BLOCK)
    return [slice(start, min(start + height, count)) for start in range(0, count, height)]


def _scratch(size: int, dtype: torch.dtype) -> Tensor:
    """So many numbers of this thread's buffer."""
    buffer: Tensor | None = getattr(_local, "buffer", None)
    if buffer is None or buffer.dtype != dtype or len(buffer) < size:
        with torch.inference_mode(mode=False):  # or it could only be written to in that mode
            _local.buffer = buffer = torch.empty(size, dtype=dtype)
    return buffer[:size]


@contextmanager
def _packing_for_fbgemm() -> Iterator[None]:
    """Context in which PyTorch packs for FBGEMM, and does not say that a later release will have no such tensors."""
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = "fbgemm"
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="torch.quantize_per_tensor")
            yield
    finally:
        torch.backends.quantized.engine = before


def _has(library: str, operator: str) -> bool:
    """Whether PyTorch has an operator."""
    return hasattr(getattr(torch.ops, library), operator)


def _has_vnni() -> bool:
    """Whether the processor multiplies and adds whole numbers of 8 bits in one instruction."""
    return bool(getattr(torch.cpu, "_is_vnni_supported", lambda: False)())
