"""The limits of a device: bytes read from memory and operations of matrix products, a second."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import torch
from torch import Tensor

from ojito.meter.clock import Stopwatch

_READ = {"cpu": 2**28, "cuda": 2**30}
"""Bytes that are read at once: more than any cache holds, and on a GPU enough for microseconds not to count."""
_PRODUCT = {"cpu": (512, 2048), "cuda": (8192, 8192)}
"""Rows, and the side of the square matrix that they are multiplied by: large enough to keep all units busy."""
_AT_LEAST = 3  # timings of anything; their median counts


def read_rate(device: torch.device, size: int | None = None, seconds: float = 0.3) -> float:
    """Return the bytes a second that the device reads from its memory: the median of sums over one long tensor.

    Args:
        device: To measure.
        size: Bytes of the tensor; caches hold a small one. None means as many as fit the device.
        seconds: That the measurement takes, about.
    """
    size = size or _READ.get(device.type, _READ["cpu"])
    numbers = torch.ones(size // 4, dtype=torch.float32, device=device)
    return numbers.nbytes / statistics.median(_seconds(lambda: numbers.sum(), device, seconds))


def product_rate(
    dtype: torch.dtype,
    device: torch.device,
    side: int | None = None,
    seconds: float = 0.3,
    fastest: bool = True,
    most: bool = False,
) -> float:
    """Return the operations a second of matrix products: the median of the fastest kernel that PyTorch has for them.

    Args:
        dtype: Of the matrices; int8 gives int32.
        device: To measure.
        side: Of a square weight, which as many rows are multiplied by; None means shapes that fit the device.
        seconds: That each kernel is measured, about.
        fastest: Whether all kernels are tried. Otherwise the one that PyTorch itself takes counts.
        most: Whether the fastest product counts, in place of the median: what the device does when nothing disturbs.

    Raises:
        RuntimeError: There is no kernel for that dtype.
    """
    count, side = (side, side) if side else _PRODUCT.get(device.type, _PRODUCT["cpu"])
    rows, weight = (torch.ones(n, side, device=device).to(dtype) for n in (count, side))
    operations, rates = 2 * rows.numel() * side, list[float]()
    first, *others = _kernels(dtype, device)[: None if fastest else 1]
    pick = min if most else statistics.median
    rates.append(operations / pick(_seconds(partial(first, rows, weight), device, seconds)))
    for kernel in others:
        # A kernel that this processor does not have says so by an error, here without harm.
        with suppress(RuntimeError):
            rates.append(operations / pick(_seconds(partial(kernel, rows, weight), device, seconds)))
    return max(rates)


def _kernels(dtype: torch.dtype, device: torch.device) -> list[Callable[[Tensor, Tensor], Tensor]]:
    """The ways to multiply rows by a weight of (outputs, inputs)."""
    if dtype == torch.int8:
        return [lambda rows, weight: torch._int_mm(rows, weight.T)]
    kernels: list[Callable[[Tensor, Tensor], Tensor]] = [torch.nn.functional.linear]
    # oneDNN's, private and hence only where it is there: on some processors it is twice as fast as MKL's for float32.
    onednn = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    if onednn is not None and device.type == "cpu" and dtype in (torch.float32, torch.bfloat16):
        kernels.append(lambda rows, weight: onednn(rows, weight, None, "none", [], ""))
    return kernels


def _seconds(run: Callable[[], object], device: torch.device, seconds: float) -> list[float]:
    """The times of a piece of work, done over and over."""
    run()  # the first one warms up
    clock, laps = Stopwatch(device), list[float]()
    while len(laps) < _AT_LEAST or clock.total < seconds:
        run()
        laps.append(clock.lap())
    return laps
