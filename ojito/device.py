"""Devices and dtypes to compute with, and the memory that a device has."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from ojito.errors import OjitoError

KINDS = ("cpu", "cuda", "mps")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""The dtypes that a model may have, by name."""


def pick_device(name: str | torch.device = "auto") -> torch.device:
    """Return the device of that name; "auto" is the GPU where there is one.

    Raises:
        OjitoError: No such device, or this machine does not have it.
    """
    if name == "auto":
        return torch.device(_accelerators()[-1] if _accelerators() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in KINDS:
        raise OjitoError("device", f"{str(name)!r} is not one of auto, {', '.join(KINDS)}", "leave it at auto")
    if device.type != "cpu" and device.type not in _accelerators():
        there = ", ".join(["cpu", *_accelerators()])
        raise OjitoError("device", f"{str(name)!r} is not available to PyTorch here", f"use auto, or one of {there}")
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if (device.index or 0) >= count:
        raise OjitoError("device", f"{str(name)!r} does not exist: there are {count}", f"use {device.type}:0")
    return device


def pick_dtype(dtype: torch.dtype | str, device: torch.device) -> torch.dtype:
    """Return the dtype of that name; "auto" is bfloat16 where the device multiplies it fast, else float32.

    Raises:
        OjitoError: No such dtype.
    """
    name = dtype_name(dtype) if isinstance(dtype, torch.dtype) else dtype
    if name == "auto":
        return torch.bfloat16 if fast_bfloat16(device) else torch.float32
    if name not in DTYPES:
        raise OjitoError("dtype", f"{name!r} is not one of auto, {', '.join(DTYPES)}", "leave it at auto")
    return DTYPES[name]


def dtype_name(dtype: torch.dtype) -> str:
    """Return the name of a dtype: "bfloat16"."""
    return str(dtype).removeprefix("torch.")


def fast_bfloat16(device: torch.device | str) -> bool:
    """Whether the device multiplies bfloat16 in hardware; elsewhere it is emulated, far slower than float32."""
    kind = torch.device(device).type
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if kind == "cpu":
        # Private, hence the default: without them, float32 is always right.
        checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
        return any(getattr(torch.cpu, check, lambda: False)() for check in checks)
    return False


def available_memory(device: torch.device | str) -> int | None:
    """Return the bytes that a model may take; None where the system does not tell."""
    if torch.device(device).type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # by PyTorch, for no tensor
        return torch.cuda.mem_get_info(device)[0] + held
    try:  # Linux: free memory, and what the system would free on demand
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None


def _accelerators() -> list[str]:
    """Return the kinds of GPU that this machine has, the preferred one last."""
    there = {"mps": torch.backends.mps.is_available(), "cuda": torch.cuda.is_available()}
    return [kind for kind, available in there.items() if available]
