"""Memory that this process takes: now, at its peak, and before there is a model."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.nn.functional as F

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_ROOM = 2**25  # bytes that reading images and text takes, and kernels need; 30 to 45 million were measured


def memory_now(device: torch.device) -> int:
    """Return the bytes that this process takes: resident ones, or on CUDA those of tensors on the device."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return _status("VmRSS:") or peak_memory(device)


def peak_memory(device: torch.device) -> int:
    """Return the most bytes that this process has taken since it began, or since `reset_peak`."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return _status("VmHWM:") or _most_by_getrusage()


def reset_peak(device: torch.device) -> bool:
    """Let `peak_memory` begin anew; return whether the system can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return True
    try:
        _CLEAR.write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def baseline_memory(device: torch.device) -> int:
    """Return the bytes that Python and PyTorch take before there is a model.

    On CUDA only tensors count: among them is what libraries set aside when they first multiply. On a CPU it computes a
    little first, because libraries and threads take their memory when they are first used, and the most that they took
    counts; `peak_memory` begins anew.
    """
    if device.type == "cuda":
        F.linear(torch.ones(64, 64, device=device), torch.ones(64, 64, device=device))
        return memory_now(device)
    reset_peak(device)
    with torch.inference_mode():
        for dtype in (torch.float32, torch.bfloat16):
            side = torch.ones(64, 64, dtype=dtype, device=device)
            F.layer_norm(F.gelu(F.linear(side, side)), (64,))
            heads = side.expand(1, 2, 64, 64)
            F.scaled_dot_product_attention(heads, heads, heads, side)
            F.conv2d(torch.ones(1, 3, 64, 64, dtype=dtype, device=device), side.view(64, 1, 8, 8).expand(64, 3, 8, 8))
    return peak_memory(device) + _ROOM


def _status(key: str) -> int:
    """Bytes that Linux reports of this process under a key; 0 elsewhere."""
    try:
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(key)), 0)


def _most_by_getrusage() -> int:
    try:
        import resource  # Windows has none
    except ImportError:
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
