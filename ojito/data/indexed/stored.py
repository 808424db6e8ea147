"""Pieces of large files, read by their place."""

from __future__ import annotations

import functools
import io
import os
from pathlib import Path
from typing import IO, NamedTuple

from ojito.data.files import DataError

_OPEN = 32  # files that a process keeps open


class StoredFile(NamedTuple):
    """A file as it was when it was indexed.

    Attributes:
        path: The file.
        size: Its size, bytes.
        changed: When it was last changed, nanoseconds.
    """

    path: Path
    size: int
    changed: int

    @classmethod
    def of(cls, path: Path) -> StoredFile:
        """Look at a file.

        Raises:
            DataError: It cannot be read.
        """
        try:
            found = path.stat()
        except OSError as error:
            raise DataError(
                path, f"cannot be read ({error.strerror})", "check the path, or allow it (chmod +r)"
            ) from None
        return cls(path, found.st_size, found.st_mtime_ns)

    @property
    def about(self) -> dict[str, str]:
        """What tells this file from another one, and from itself at another time."""
        return {"size": str(self.size), "changed": str(self.changed)}

    def read(self, start: int, length: int) -> bytes:
        """Return a piece of the file.

        Args:
            start: Where it begins, bytes.
            length: Its length, bytes.

        Raises:
            DataError: The file has changed since it was indexed, or cannot be read.
        """
        try:
            file = _opened(self, os.getpid())
            if hasattr(os, "pread"):  # moves no place in the file, which processes share
                return os.pread(file.fileno(), length, start)
            file.seek(start)
            return file.read(length)
        except OSError as error:
            raise DataError(self.path, f"cannot be read ({error.strerror or error})", "check the disk") from None


class Window(io.RawIOBase):
    """A part of a stored file, as a file that is read.

    Args:
        file: The whole.
        start: Where the part begins, bytes.
        end: Where it ends, bytes.
    """

    def __init__(self, file: StoredFile, start: int, end: int) -> None:
        self._file, self._start, self._end, self._at = file, start, end, start

    def readable(self) -> bool:
        """Whether it can be read: always."""
        return True

    def seekable(self) -> bool:
        """Whether its place can be set: always."""
        return True

    def tell(self) -> int:
        """Return the place in the part, bytes."""
        return self._at - self._start

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; return it. As any file."""
        self._at = offset + (self._start, self._at, self._end)[whence]
        return self.tell()

    def read(self, size: int | None = -1) -> bytes:
        """Return so many bytes; all that are left by default."""
        left = max(0, self._end - self._at)
        content = self._file.read(self._at, left if size is None or size < 0 else min(size, left))
        self._at += len(content)
        return content


@functools.lru_cache(maxsize=_OPEN)
def _opened(stored: StoredFile, process: int) -> IO[bytes]:
    file = stored.path.open("rb", buffering=0)
    found = os.fstat(file.fileno())
    if (found.st_size, found.st_mtime_ns) != (stored.size, stored.changed):
        file.close()
        raise DataError(stored.path, "has changed since it was indexed", "leave it alone, or start again")
    return file
