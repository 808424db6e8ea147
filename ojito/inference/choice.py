"""Which kernels multiply fastest on this machine: measured once in a process, for each form of a matrix.

What is fast on one processor takes ten times as long on another, and no list of processors stays true. So each kernel
that is available multiplies by a small matrix, at the numbers of rows that matter, which takes some milliseconds. The
first kernel of a form's list stays unless another one is clearly faster, so that one machine chooses alike every time.

A kernel that fails, or computes something else than the product, is not chosen (`products.py`).
"""

from __future__ import annotations

import time
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache

import torch

from ojito.errors import OjitoError
from ojito.inference.kernels import (
    FEW,
    IntInt8,
    Kernel,
    Matrix,
    OneDNN,
    PackedInt4,
    PackedInt8,
    PackedOneDNN,
    Plain,
    WeightOnlyInt8,
    Widened,
    WidenedInt4,
    WidenedInt8,
)
from ojito.inference.products import is_product
from ojito.inference.weights import WEIGHTS, concatenate

KERNELS: dict[str, tuple[type[Kernel], ...]] = {
    "float32": (OneDNN, Plain),
    "bfloat16": (Plain, PackedOneDNN, Widened),
    "float16": (Plain, Widened),
    "int8": (WidenedInt8, WeightOnlyInt8, IntInt8, PackedInt8),
    "int4": (WidenedInt4, PackedInt4),
}
"""The kernels for each form of a matrix, the usual one first."""

ROWS = (1, 8, 128)
"""Numbers of rows that are measured: a token, a small batch, a prompt."""

_BOUNDS = (3, FEW + 1)  # from how many rows on the next of these measurements decides
_SMALL, _LARGE = (1024, 1024), (4096, 2048)  # shapes of the matrices that are measured with
_BOUNDARY = 2**22  # numbers from which on a matrix is a large one, which no cache holds
_DIFFERENT = 64  # rows of such a matrix, which then repeat: to draw millions would take longer than to measure
_CACHES = 2**25  # bytes that a processor's caches hold, or those that one process has of them
_ROUNDS = 4
_SLOW = 0.05  # seconds: whoever takes so long is not measured again
_GAIN = 1.15  # how many times as fast a kernel must be that takes another one's place
_COPY_GAIN = 1.5  # the same, in place of the kernel that holds a copy of a large matrix
_PLAN_GAIN = 1.03  # how many times as fast an answer must be that is worth a packed copy
_TOKENS = 20  # single rows of an answer, beside its prompt of 128 rows
_ANSWERS = 50  # that a matrix is packed for, where it is not for one


@dataclass(frozen=True)
class Choice:
    """Kernels for one form of a matrix.

    Attributes:
        kernels: For each number of rows in `ROWS`.
    """

    kernels: tuple[type[Kernel], ...]

    def at(self, rows: int) -> int:
        """Return which of the kernels multiplies so many rows."""
        return bisect_right(_BOUNDS, rows)

    def __str__(self) -> str:
        return ", ".join(f"{kernel.__name__} at {rows}" for kernel, rows in zip(self.kernels, ROWS, strict=True))


@lru_cache(maxsize=32)
def choose(form: str, dtype: torch.dtype, once: bool = False, precise: bool = False, large: bool = False) -> Choice:
    """Return the fastest kernels for a form of matrix. The first call measures.

    At most one of them packs the matrix: two copies would take twice the memory.

    Args:
        form: A key of `KERNELS`.
        dtype: Of the rows.
        once: Whether one answer is wanted, for which packing all matrices may take longer than it gains.
        precise: Whether no rows are to be rounded to 8 bits, not even many, as in the head, whose errors nothing evens
            out afterwards.
        large: Whether the matrix is too large for the processor's caches, see `is_large`.
    """
    available = [kernel for kernel in KERNELS[form] if kernel.available()]
    if len(available) == 1:
        return Choice((available[0],) * len(ROWS))
    shape = _LARGE if large else _SMALL
    tried = {kernel: _measure(kernel, form, dtype, shape) for kernel in available}
    _matrix.cache_clear()  # a large one takes as much memory as a small model
    _other_memory.cache_clear()
    measured = {kernel: found for kernel, found in tried.items() if found is not None}
    available = [*measured]
    if not available:
        raise OjitoError(
            f"products in {form}", "are wrong with every kernel", "report this processor and PyTorch's version"
        )
    direct = [kernel for kernel in available if not kernel.packs]
    plans = []
    for packed in (None, *(kernel for kernel in available if kernel.packs)):
        candidates, few = direct if packed is None else [*direct, packed], _GAIN
        if packed is not None and large:  # the original is let go: a token would read it from the file again
            candidates, few = [packed, *direct], _COPY_GAIN
        many = [kernel for kernel in candidates if not kernel.rounds] if precise else candidates
        chosen = (
            _best(candidates, measured, 0, few),
            _best(candidates, measured, 1, few),
            _best(many, measured, 2, _GAIN),
        )
        seconds = sum(
            weight * measured[kernel][1][at]
            for at, (kernel, weight) in enumerate(zip(chosen, (_TOKENS, 0, 1), strict=True))
        )
        if packed in chosen and packed is not None:
            seconds += measured[packed][0] / (1 if once else _ANSWERS)
        plans.append((seconds, chosen))
    best = plans[0]
    for plan in plans[1:]:
        if plan[0] * _PLAN_GAIN < best[0]:
            best = plan
    return Choice(best[1])


def is_large(numbers: int) -> bool:
    """Return whether a matrix of so many numbers is measured as a large one."""
    return numbers >= _BOUNDARY


def _best(
    candidates: list[type[Kernel]], measured: dict[type[Kernel], tuple[float, list[float]]], at: int, gain: float
) -> type[Kernel]:
    best = candidates[0]
    for kernel in candidates[1:]:
        if measured[kernel][1][at] * gain < measured[best][1][at]:
            best = kernel
    return best


@lru_cache(maxsize=64)
@torch.inference_mode()
def _measure(
    kernel: type[Kernel], form: str, dtype: torch.dtype, shape: tuple[int, int]
) -> tuple[float, list[float]] | None:
    """Seconds to make a kernel ready, and to multiply each number of rows: the least, as the least disturbed.

    Returns:
        None for a kernel that does not compute the product.
    """
    matrix = _matrix(form, shape)
    try:
        start = time.perf_counter()
        made = kernel(matrix)
        packing = time.perf_counter() - start
        inputs = [torch.randn(rows, shape[1], generator=_random()).to(dtype) for rows in ROWS]
        if not all(is_product(made, matrix, rows) for rows in inputs):
            return None
        return packing, [_seconds(made, rows, cold=len(rows) <= FEW) for rows in inputs]
    except (RuntimeError, TypeError):  # what PyTorch raises for an operator that it has not for these tensors
        return None


@lru_cache(maxsize=1)
def _matrix(form: str, shape: tuple[int, int]) -> Matrix:
    rows, columns = shape
    weight = torch.randn(_DIFFERENT, columns, generator=_random())
    times = rows // _DIFFERENT
    if form in WEIGHTS:
        return concatenate([WEIGHTS[form].quantize(weight)] * times)
    return weight.to(getattr(torch, form)).repeat(times, 1)


def _random() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _seconds(kernel: Kernel, rows: torch.Tensor, cold: bool) -> float:
    """Seconds of a product; with `cold`, of one whose matrix is in no cache, as between the tokens of an answer."""
    times = []
    for _ in range(_ROUNDS):
        if cold:
            _other_memory().sum()
        start = time.perf_counter()
        kernel(rows)
        times.append(time.perf_counter() - start)
        if times[0] > _SLOW:
            break
    return min(times)


@lru_cache(maxsize=1)
def _other_memory() -> torch.Tensor:
    """So much memory that reading it leaves nothing else in a processor's caches."""
    return torch.zeros(_CACHES // 4)
