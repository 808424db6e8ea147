"""Which kernels multiply by a quantized matrix on CUDA: those that are found right, and of them the fastest.

Each kernel multiplies once by the matrix that it is for, or one of the same shape (`products.py`). One that raises or
computes something else is not used; the first of each list always works.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import torch
from torch import Tensor

from ojito.inference.gpu_kernels import CastInt8, FilledIntInt8, FloatInt8, TiledInt4
from ojito.inference.kernels import FEW, Dequantized, Kernel
from ojito.inference.products import is_product, turned
from ojito.inference.weights import QuantizedWeight
from ojito.meter.clock import Stopwatch

KERNELS: dict[str, tuple[type[Kernel], ...]] = {
    "int8": (CastInt8, FloatInt8, FilledIntInt8),
    "int4": (Dequantized, TiledInt4),
}
"""The kernels for each form of a matrix, the one that always works first."""

ROWS = ((1, FEW), (FEW + 1, 64), (65, 256))
"""The fewest and the most rows that each choice is checked with: a token or a few, a batch, a prompt."""

_GAIN = 1.15  # how many times as fast a kernel must be that takes the first one's place
_SLOW = 0.01  # seconds: whoever takes so long is not measured again
_ROUNDS, _CALLS = 4, 8  # of which the least counts; calls in each, so that the GPU is waited for once


@dataclass(frozen=True)
class GpuChoice:
    """Kernels for one form and shape of a matrix.

    Attributes:
        kernels: For each range of rows in `ROWS`.
    """

    kernels: tuple[type[Kernel], ...]

    @staticmethod
    def at(rows: int) -> int:
        """Return which of the kernels multiplies so many rows."""
        return sum(rows > most for _, most in ROWS[:-1])


_chosen: dict[tuple[object, ...], GpuChoice] = {}
_lock = threading.Lock()


@torch.inference_mode()
def choose_on_gpu(matrix: QuantizedWeight, dtype: torch.dtype, precise: bool = False) -> GpuChoice:
    """Return the fastest kernels that are right. The first call for a form and shape checks and measures.

    Args:
        matrix: On the device.
        dtype: Of the rows.
        precise: Whether no rows are to be rounded to 8 bits, not even many.
    """
    key = (matrix.form, matrix.shape, dtype, matrix.device, precise)
    with _lock:
        if key not in _chosen:
            first, *others = [kernel for kernel in KERNELS[matrix.form] if kernel.available()]
            chosen = []
            for counts in ROWS:
                exact = [kernel for kernel in others if not (precise and kernel.rounds and counts[1] > FEW)]
                right = [kernel for kernel in exact if is_right(kernel, matrix, dtype, counts)]
                chosen.append(_fastest([first, *right], matrix, dtype, counts))
            _chosen[key] = GpuChoice(tuple(chosen))
        return _chosen[key]


def is_right(kernel: type[Kernel], matrix: QuantizedWeight, dtype: torch.dtype, counts: tuple[int, ...]) -> bool:
    """Return whether a kernel's products are those of the dequantized matrix, at both of its ends.

    Args:
        kernel: Which.
        matrix: To multiply by.
        dtype: Of the rows.
        counts: Numbers of rows that are multiplied.
    """
    try:
        made = kernel(matrix)
        return all(is_product(made, matrix, _rows(count, matrix, dtype)) for count in counts)
    except (RuntimeError, NotImplementedError):  # of PyTorch: sizes that it cannot do, a GPU that is too old
        return False


def _fastest(
    kernels: list[type[Kernel]], matrix: QuantizedWeight, dtype: torch.dtype, counts: tuple[int, int]
) -> type[Kernel]:
    """The fastest of right kernels; the first one stays unless another one is clearly faster."""
    best, *others = kernels
    if not others:
        return best
    # A token is what few rows mostly are; of more rows, the most are waited for longest.
    rows = turned(_rows(1 if counts[0] == 1 else counts[1], matrix, dtype), matrix)
    least = _seconds(best, matrix, rows) / _GAIN
    for kernel in others:
        seconds = _seconds(kernel, matrix, rows)
        if seconds < least:
            best, least = kernel, seconds
    return best


def _seconds(kernel: type[Kernel], matrix: QuantizedWeight, rows: Tensor) -> float:
    """The least seconds that a product takes."""
    made = kernel(matrix)
    made(rows)
    clock, laps = Stopwatch(rows.device), list[float]()
    made(rows)
    first = clock.lap()
    if first > _SLOW:
        return first
    for _ in range(_ROUNDS):
        for _ in range(_CALLS):
            made(rows)
        laps.append(clock.lap() / _CALLS)
    return min(laps)


def _rows(count: int, matrix: QuantizedWeight, dtype: torch.dtype) -> Tensor:
    """Random rows, always the same ones."""
    rows = torch.randn(count, matrix.shape[1], generator=torch.Generator().manual_seed(count))
    return rows.to(matrix.device, dtype)
