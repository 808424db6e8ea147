"""A GGUF file that is opened: mapped, not read. A view of its bytes costs no memory before it is used."""

from __future__ import annotations

import mmap
import stat
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ojito.gguf.header import STRING, UNREAL, Array, GgufError, HeaderReader, TensorPlace, Value, read_numbers

SUFFIX = ".gguf"


class GgufFile:
    """An opened GGUF file.

    Attributes:
        path: The file.
        metadata: Its values by their keys; arrays of a few numbers as lists, others as `Array`, which `array` decodes.
        tensors: Its tensors by their names, in the file's order.
        alignment: Tensors begin at multiples of so many bytes.
    """

    def __init__(self, path: Path | str) -> None:
        """Map the file and check its header.

        Raises:
            GgufError: It is missing, truncated, damaged, of a version or byte order that is not read, or absurd.
        """
        self.path = Path(path)
        self._map = _mapped(self.path)
        reader = HeaderReader(self.path, self._map)
        tensors, keys = reader.beginning()
        self.metadata: Mapping[str, Value] = dict(reader.entries(keys))
        self.alignment = reader.alignment(self.metadata)
        self.tensors: Mapping[str, TensorPlace] = reader.tensors(tensors, self.alignment)

    def array(self, key: str) -> list[Any]:
        """The entries of an array; empty where there is no such key.

        Raises:
            GgufError: It is no array, or holds text that is not UTF-8.
        """
        value = self.metadata.get(key)
        if value is None:
            return []
        if isinstance(value, list):
            return value
        if not isinstance(value, Array):
            raise GgufError(self.path, f"has {key} as one value, and a list is needed", UNREAL)
        if value.kind == STRING:
            return [*HeaderReader(self.path, self._map, value.start).texts(value.length, key)]
        return read_numbers(self._map, value)

    def data(self, name: str) -> npt.NDArray[np.uint8]:
        """The bytes of a tensor, a view of the file. Writing to them changes a copy in memory, never the file."""
        place = self.tensors[name]
        return np.frombuffer(self._map, np.uint8, place.size, place.start)

    def release(self) -> None:
        """Let go of the pages that were read; what is read again comes from the disk again."""
        if hasattr(self._map, "madvise"):
            self._map.madvise(mmap.MADV_DONTNEED)

    @cached_property
    def architecture(self) -> str:
        """The architecture that the file names: "llama", "clip".

        Raises:
            GgufError: It names none.
        """
        value = self.metadata.get("general.architecture")
        if not isinstance(value, str) or not value:
            raise GgufError(self.path, "names no general.architecture", UNREAL)
        return value


def is_gguf_file(path: Path | str) -> bool:
    """Whether this is the path of a GGUF file, told from its name."""
    return Path(path).suffix.lower() == SUFFIX and Path(path).is_file()


def _mapped(path: Path) -> mmap.mmap:
    """The file, mapped so that nothing written to it reaches the disk.

    Raises:
        GgufError: It is missing, no plain file, empty, or cannot be read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise GgufError(path, "is not a plain file", "give the path of a GGUF file")
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except (OSError, ValueError) as error:  # ValueError: an empty file, or half a character in its name
        if isinstance(error, GgufError):
            raise
        reason = getattr(error, "strerror", None) or ("it is empty" if path.is_file() else "no such file")
        raise GgufError(path, f"cannot be read ({reason})", "give the path of a GGUF file") from None
