"""The machine that figures of speed were measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch

_FLAGS = {"amx": "amx_tile", "avx512_vnni": "avx512_vnni", "avx512_bf16": "avx512_bf16", "avx2": "avx2"}


def machine(device: torch.device) -> dict[str, Any]:
    """Return what a figure of speed depends on: processor and its instruction sets, threads, GPU, versions."""
    model, flags = platform.processor() or platform.machine(), set[str]()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line.partition(":") for line in info.read_text(encoding="utf-8", errors="replace").splitlines()]
        model = next((value.strip() for name, _, value in lines if name.strip() == "model name"), model)
        flags = next(({*value.split()} for name, _, value in lines if name.strip() == "flags"), flags)
    found: dict[str, Any] = {
        "cpu": model,
        "capable": [name for name, flag in _FLAGS.items() if flag in flags],
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    if device.type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
    return found
