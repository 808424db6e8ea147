"""Memory that one step of training or of an answer frees and the next asks for again: kept meanwhile, on Linux.

Otherwise the C library gives much of it back to the system after every step, and the system hands it out page by page,
each set to 0. That can take a fifth of a small model's step on a CPU (`benchmarks/training_step.py`).
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Parameters of mallopt(3), each with the C library's usual value and ours, bytes.
_TRIM_THRESHOLD = (-1, 128 * 2**10, 2**31 - 1)  # free memory at the end of the heap that is not given back
_TOP_PAD = (-2, 128 * 2**10, 64 * 2**20)  # how much more than needed the heap grows at once
_MMAP_THRESHOLD = (-3, 128 * 2**10, 32 * 2**20)  # larger pieces are mapped one by one, and given back when freed

_LARGE = 8 * 2**20  # bytes of a piece that `mapping_large_pieces` maps

_lock = threading.Lock()
_inside = 0  # contexts that have not ended


@contextmanager
def keeping_freed_memory() -> Iterator[None]:
    """Keep freed memory within, and give it back afterwards. Without the GNU C library, nothing happens.

    Within another such context, or beside one in another thread, the last one to end gives it back.
    """
    global _inside
    mallopt, trim = _function("mallopt"), _function("malloc_trim")
    if mallopt is None or trim is None:
        yield
        return
    parameters = (_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD)
    with _lock:
        _inside += 1
        if _inside == 1:
            for parameter, _, ours in parameters:
                mallopt(parameter, ours)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                for parameter, usual, _ in parameters:
                    mallopt(parameter, usual)
                trim(0)


@contextmanager
def mapping_large_pieces() -> Iterator[None]:
    """Give back at once what is freed of pieces of 8 MiB and more, within `keeping_freed_memory`; on Linux.

    Where work frees all but a few of its pieces, those that stay leave holes which the next pieces do not fit, so that
    the heap grows. A piece that is mapped leaves none; but the system takes time to hand out the next one.
    """
    mallopt = _function("mallopt")
    if mallopt is None:
        yield
        return
    parameter, usual, ours = _MMAP_THRESHOLD
    mallopt(parameter, _LARGE)
    try:
        yield
    finally:
        mallopt(parameter, ours if _inside else usual)


def give_back_freed_memory() -> None:
    """Give freed memory back to the system at once. Without the GNU C library, nothing happens.

    The C library itself gives back the end of its heap alone: whatever is freed between pieces that are still in use
    stays, as when a model is packed layer by layer.
    """
    trim = _function("malloc_trim")
    if trim is not None:
        trim(0)


def _function(name: str) -> Callable[..., int] | None:
    """A function of the C library; None where it has none of that name."""
    return _FUNCTIONS[name]


# Looked up once, and before any file is read: whoever watches what reading a model does sees no library opened.
_LIBRARY = ctypes.CDLL(None) if sys.platform == "linux" else None
_FUNCTIONS: dict[str, Callable[..., int] | None] = {
    name: getattr(_LIBRARY, name, None) for name in ("mallopt", "malloc_trim")
}
