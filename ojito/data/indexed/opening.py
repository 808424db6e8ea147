"""Indices found or made: beside a shard, in the cache, or by going through the file once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from ojito.data.indexed.index import Index
from ojito.data.indexed.index_file import BESIDE, cache_file, read_index, write_index
from ojito.data.indexed.stored import StoredFile
from ojito.records import Progress

Scan = Callable[[StoredFile, Progress], Index]
"""Goes through a file and makes its index."""


def index_of(file: StoredFile, form: str, scan: Scan, progress: Progress) -> Index:
    """Return the index of a file: the one that is kept, if the file has not changed since, or a new one.

    Args:
        file: The file.
        form: Its form, which another reader may see otherwise.
        scan: Makes the index.
        progress: Called with the bytes read, and all bytes.

    Raises:
        DataError: The file cannot be read.
    """
    beside = read_index(file.path.with_name(file.path.name + BESIDE), {"form": form, "size": str(file.size)})
    if beside is not None:
        return beside
    about = {"form": form, "path": str(file.path.absolute()), **file.about}
    kept = cache_file(file.path)
    index = read_index(kept, about)
    if index is None:
        index = scan(file, progress)
        with suppress(OSError):  # a disk that is full, or not to be written: it is made anew next time
            write_index(kept, index, about)
    return index
