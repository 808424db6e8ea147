"""Where to compute, in which numbers, and how much memory there is."""

from __future__ import annotations

import os
from pathlib import Path

import torch

KINDS = ("cpu", "cuda", "mps")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def pick_device(name: str | torch.device = "auto") -> torch.device:
    """The device of that name; "auto" is the GPU where there is one.

    Raises:
        ValueError: No such device, or this machine lacks it.
    """
    if name == "auto":
        return torch.device(_accelerators()[-1] if _accelerators() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in KINDS:
        raise ValueError(f"device {str(name)!r} is not one of auto, {', '.join(KINDS)}; leave it at auto")
    if device.type != "cpu" and device.type not in _accelerators():
        there = ", ".join(["cpu", *_accelerators()])
        raise ValueError(f"device {str(name)!r} is not available to PyTorch here; use auto, or one of {there}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device {str(name)!r} does not exist: there are {torch.cuda.device_count()}; use cuda:0")
    return device


def pick_dtype(dtype: torch.dtype | str, device: torch.device) -> torch.dtype:
    """The dtype of that name; "auto" is bfloat16 where the device multiplies it fast, else float32.

    Raises:
        ValueError: No such dtype.
    """
    if isinstance(dtype, torch.dtype):
        dtype = str(dtype).removeprefix("torch.")
    if dtype == "auto":
        return torch.bfloat16 if fast_bfloat16(device) else torch.float32
    if dtype not in DTYPES:
        raise ValueError(f"dtype {dtype!r} is not one of auto, {', '.join(DTYPES)}; leave it at auto")
    return DTYPES[dtype]


def fast_bfloat16(device: torch.device | str) -> bool:
    """Whether the device multiplies bfloat16 in hardware. Elsewhere it is emulated, and far slower than float32."""
    kind = torch.device(device).type
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if kind == "cpu":
        # Private, hence the default: without them, float32 is always right.
        checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
        return any(getattr(torch.cpu, check, lambda: False)() for check in checks)
    return False


def available_memory(device: torch.device | str) -> int | None:
    """Bytes that a model may take, as far as the system says; None where it does not."""
    if torch.device(device).type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:  # Linux: what is free, and what the system would free
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None


def _accelerators() -> list[str]:
    """The kinds of GPU that this machine has."""
    there = {"mps": torch.backends.mps.is_available(), "cuda": torch.cuda.is_available()}
    return [kind for kind, available in there.items() if available]
