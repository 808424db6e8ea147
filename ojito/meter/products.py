"""Matrix products as training runs them: in which dtype, through which library, and how fast beside what is possible.

One wrong flag makes a run several times as slow, and nothing else tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from torch import nn

from ojito.meter.speed import product_rate

_SECONDS = 0.05  # that each kernel is measured
_LONGER = 0.2  # for a limit, which neighbours must not hide
_SIDE = 512  # of the matrices on a CPU: large ones would take seconds where bfloat16 is emulated
_CLEARLY = 1.2  # how many times as fast another dtype must be that is worth a word

PEAKS = {
    "GB200": 2250, "B200": 2250, "GH200": 989, "H200": 989, "H100 PCIe": 756, "H100 NVL": 835, "H100": 989, "H800": 989,
    "A100": 312, "A800": 312, "A40": 150, "A30": 165, "A10G": 70, "A10": 125, "L40S": 362, "L40": 181, "L4": 121,
    "RTX PRO 6000": 503, "RTX 6000 Ada": 364, "RTX 5090": 209, "RTX 4090": 165, "RTX 3090": 71, "MI300X": 1307,
}  # fmt: skip
"""Dense bfloat16 products of GPUs, 10^12 operations a second, from their makers' data sheets. The first name fits."""


@dataclass(frozen=True)
class Products:
    """Matrix products of a run.

    Attributes:
        dtype: In which they really run, by name.
        rate: Operations a second.
        library: That computes them, and with which instructions.
        other: The other dtype that a run may choose, by name.
        other_rate: Operations a second in that; 0 where it is emulated, and not measured.
    """

    dtype: str
    rate: float
    library: str
    other: str
    other_rate: float

    def __str__(self) -> str:
        said = f"matrix products run in {self.dtype} ({self.library}) at {self.rate / 1e12:.2g} TFLOP/s"
        if self.other_rate > _CLEARLY * self.rate:
            times = self.other_rate / self.rate
            return f"{said}; train.precision={self.other} would be {times:.1f} times as fast"
        return said


def find_products(device: torch.device, bfloat16: bool, able: bool) -> Products:
    """Run one small layer as training does, and measure products in its dtype and in the other one.

    Args:
        device: That trains.
        bfloat16: Whether the run has autocast to bfloat16.
        able: Whether the device multiplies bfloat16 in hardware; an emulated product would take seconds to measure.
    """
    layer, rows = nn.Linear(64, 64, device=device), torch.ones(8, 64, device=device)
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
        dtype = layer(rows).dtype
    other = torch.float32 if dtype == torch.bfloat16 else torch.bfloat16
    side = _SIDE if device.type == "cpu" else None
    measure = partial(product_rate, device=device, side=side, seconds=_SECONDS, fastest=False)
    other_rate = measure(other) if other == torch.float32 or able else 0.0
    names = [str(one).removeprefix("torch.") for one in (dtype, other)]
    return Products(names[0], measure(dtype), _library(device, dtype), names[1], other_rate)


def peak_rate(device: torch.device, bfloat16: bool, teraflops: float = 0.0) -> float:
    """Return the operations a second that products reach at the most: what is told, a known GPU's, or measured.

    Args:
        device: That trains.
        bfloat16: Whether products run in bfloat16, not in float32.
        teraflops: 10^12 operations a second; 0 means that they are not known.
    """
    if teraflops:
        return teraflops * 1e12
    known = gpu_peak(torch.cuda.get_device_name(device)) if device.type == "cuda" and bfloat16 else 0.0
    return known or _measured(device, bfloat16, torch.get_num_threads())


def gpu_peak(name: str) -> float:
    """Return the operations a second of a GPU in bfloat16, by the name that its driver gives; 0 of an unknown one."""
    found = next((peak for known, peak in PEAKS.items() if set(known.split()) <= set(_words(name))), 0)
    return found * 1e12


def _words(name: str) -> list[str]:
    """The words of a GPU's name: "NVIDIA A100-SXM4-80GB" has A100, "NVIDIA GeForce RTX 4090" has RTX and 4090."""
    return name.replace("-", " ").split()


@lru_cache(maxsize=16)
def _measured(device: torch.device, bfloat16: bool, threads: int) -> float:
    side = _SIDE if device.type == "cpu" else None
    return product_rate(torch.bfloat16 if bfloat16 else torch.float32, device, side, seconds=_LONGER, most=True)


def _library(device: torch.device, dtype: torch.dtype) -> str:
    """What computes products of that dtype."""
    if device.type == "cuda":
        tensor_cores = dtype != torch.float32 or torch.backends.cuda.matmul.allow_tf32
        return "cuBLAS, TF32" if dtype == torch.float32 and tensor_cores else "cuBLAS"
    if device.type != "cpu":
        return device.type
    amx = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()
    instructions = "AMX" if amx and dtype == torch.bfloat16 else torch.backends.cpu.get_cpu_capability()
    mkl = torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
    name = "oneDNN" if dtype == torch.bfloat16 else "MKL" if mkl else "BLAS"
    return f"{name}, {instructions}"
