"""Memory of weights that were packed: what is mapped from a file is let go, on Linux.

The packed copy is what a model answers with. Without this, the pages of the file that it was made from would count as
the process's memory beside it.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from torch import Tensor

_DONTNEED, _PAGEOUT = 4, 21  # advice of madvise(2)
_SMALLEST = 2**16  # bytes for which it is worth a call


class Pages:
    """The pages of tensors that are mapped from files.

    Args:
        tensors: On the CPU; of those that are small or lie in ordinary memory there are none.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        large = [tensor for tensor in tensors if tensor.nbytes >= _SMALLEST]
        self._advise = _madvise() if large else None
        self._places: list[tuple[int, int]] = []
        self._tensors = large  # kept, so that nothing else gets their addresses
        mapped = _file_places() if self._advise else []
        for tensor in large:
            page = mmap.PAGESIZE
            start = -(-tensor.data_ptr() // page) * page
            end = (tensor.data_ptr() + tensor.nbytes) // page * page
            if start < end and any(first <= start and end <= last for first, last in mapped):
                self._places.append((start, end))

    def let_go(self, written: bool) -> None:
        """Let go of the pages; they are read again if they are needed.

        Args:
            written: Whether somebody may have written to them since they were mapped. Then the system writes nothing
                off: it only takes back what the file still holds, and with it its copy of the file in memory.
        """
        if self._advise is None:
            return
        for start, end in self._places:
            self._advise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _PAGEOUT if written else _DONTNEED)


def _madvise() -> Callable[..., int] | None:
    """The system's function; None where it has none."""
    return getattr(ctypes.CDLL(None), "madvise", None) if sys.platform == "linux" else None


def _file_places() -> list[tuple[int, int]]:
    """Addresses that are mapped from files."""
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    places: list[tuple[int, int]] = []
    for line in lines:
        addresses, _, _, _, inode, *_ = line.split(maxsplit=5)
        if inode != "0":
            first, last = (int(address, 16) for address in addresses.split("-"))
            if places and places[-1][1] == first:
                first = places.pop()[0]
            places.append((first, last))
    return places
