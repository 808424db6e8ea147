"""The header of a GGUF file: metadata, and where the tensors are. All is checked before anything is allocated.

"GGUF"  version  number of tensors  number of keys
key  type  value                     for each key; strings and arrays begin with their length
name  sizes  type  offset            for each tensor; offsets count from the end of the header
padding, then the tensors' bytes, each at a multiple of `general.alignment`
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Union

import numpy as np

from ojito.errors import OjitoError

MAGIC = b"GGUF"

MAX_TENSORS = 20_000
MAX_KEYS = 4096
MAX_NAME = 256  # bytes of a tensor's name, or a key
MAX_STRING = 2**20  # bytes; chat templates have a tenth
MAX_ENTRIES = 4_000_000  # of all arrays together; Gemma's vocabulary has 262,144, three times over
MAX_AXES = 4
MAX_NUMBERS = 2**42  # of one tensor
MIN_ALIGNMENT, MAX_ALIGNMENT = 8, 2**16  # bytes; the format's own least, so that float64 and int64 lie where they must

_FEW = 64  # numbers of an array that is decoded with the header
STRING, _ARRAY, _BOOL = 8, 9, 7
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", _BOOL: "?", 10: "Q", 11: "q", 12: "d"}
_READERS = {kind: struct.Struct("<" + code) for kind, code in _SCALARS.items()}
_UINT32, _UINT64 = struct.Struct("<I"), struct.Struct("<Q")
_COPY = "copy it again"
UNREAL = "use the file of a real model"


class GgufError(OjitoError):
    """A GGUF file that cannot be read or written; `where` is the file."""


class BlockType(NamedTuple):
    """A type of tensor.

    Attributes:
        name: Its name in llama.cpp, such as "Q4_1".
        numbers: Numbers of one block.
        bytes: Bytes of one block.
    """

    name: str
    numbers: int
    bytes: int


# fmt: off
TYPES: dict[int, BlockType] = {
    number: BlockType(*sizes) for number, sizes in {
        0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
        7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
        12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 16: ("IQ2_XXS", 256, 66),
        17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18),
        21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1),
        25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56),
        30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
    }.items()
}
# fmt: on
"""By their numbers in files."""


@dataclass(frozen=True)
class TensorPlace:
    """Type, shape and place of a tensor.

    Attributes:
        name: Its name.
        type: The number of its type, a key of `TYPES`.
        shape: Sizes in PyTorch's order; the file has them the other way round.
        start: Of its bytes, from the beginning of the file.
        size: Bytes.
    """

    name: str
    type: int
    shape: tuple[int, ...]
    start: int
    size: int

    @property
    def kind(self) -> BlockType:
        """Name and block of its type."""
        return TYPES[self.type]


class Array(NamedTuple):
    """An array in the metadata, not decoded yet: vocabularies are long, and most callers need none.

    Attributes:
        kind: The number of its entries' type.
        length: How many.
        start: Of the first entry, from the beginning of the file.
    """

    kind: int
    length: int
    start: int


Value = Union[bool, int, float, str, list[Any], Array]


def read_numbers(data: mmap.mmap, array: Array) -> list[Any]:
    """The entries of an array of numbers."""
    dtype = np.dtype(_SCALARS[array.kind]).newbyteorder("<")
    entries: list[Any] = np.frombuffer(data, dtype, array.length, array.start).tolist()
    return entries


class HeaderReader:
    """Reads a header from its beginning to its end; `at` is the offset of the next byte."""

    def __init__(self, path: Path, data: mmap.mmap, at: int = 0) -> None:
        self.path, self.data, self.at, self.size = path, data, at, len(data)
        self.counted = 0  # entries of arrays

    def beginning(self) -> tuple[int, int]:
        """The numbers of tensors and of keys."""
        start = self.data[:4]
        if start != MAGIC:
            if start == MAGIC[::-1]:
                raise GgufError(self.path, "is a big-endian GGUF file", "use one for little-endian machines")
            raise GgufError(self.path, "is not a GGUF file", "give a file that begins with GGUF")
        self.at = 4
        version = self._number(_UINT32)
        if version and not version % 2**16:
            raise GgufError(self.path, "is a big-endian GGUF file", "use one for little-endian machines")
        if version not in (2, 3):
            problem = f"is of GGUF version {version}, and Ojito reads 2 and 3"
            raise GgufError(self.path, problem, "convert the model again with a recent llama.cpp")
        tensors, keys = self._number(_UINT64), self._number(_UINT64)
        self._check_count("tensors", tensors, MAX_TENSORS)
        self._check_count("keys", keys, MAX_KEYS)
        return tensors, keys

    def entries(self, count: int) -> Iterator[tuple[str, Value]]:
        """Keys and values."""
        seen: set[str] = set()
        for _ in range(count):
            key = self._text(MAX_NAME, "a key")
            if key in seen:
                raise GgufError(self.path, f"has the key {key} twice", _COPY)
            seen.add(key)
            yield key, self._value(key, self._number(_UINT32))

    def _value(self, key: str, kind: int) -> Value:
        if kind == STRING:
            return self._text(MAX_STRING, key)
        if kind == _ARRAY:
            return self._array(key)
        if kind not in _READERS:
            raise GgufError(self.path, f"has {key} of type {kind}, which there is not", _COPY)
        if kind == _BOOL and self.at < self.size and self.data[self.at] > 1:
            raise GgufError(self.path, f"has {key} neither true nor false", _COPY)
        return self._number(_READERS[kind])

    def _array(self, key: str) -> list[Any] | Array:
        """An array: a few numbers, or only the place of many, or of texts."""
        kind, count = self._number(_UINT32), self._number(_UINT64)
        if kind == _ARRAY:
            raise GgufError(self.path, f"has lists within the list {key}", UNREAL)
        if kind != STRING and kind not in _READERS:
            raise GgufError(self.path, f"has {key} of type {kind}, which there is not", _COPY)
        self.counted += count
        self._check_count(f"entries in lists, up to {key}", self.counted, MAX_ENTRIES)
        start = self.at
        if kind == STRING:
            for _ in self._spans(count, key):
                pass
        else:
            self._skip(count * _READERS[kind].size)
        array = Array(kind, count, start)
        return read_numbers(self.data, array) if count <= _FEW and kind != STRING else array

    def alignment(self, metadata: Mapping[str, Value]) -> int:
        """Bytes at whose multiples tensors begin."""
        value = metadata.get("general.alignment", 32)
        if type(value) is not int or not MIN_ALIGNMENT <= value <= MAX_ALIGNMENT or value & (value - 1):
            allowed = f"{MIN_ALIGNMENT} to {MAX_ALIGNMENT}"
            problem = f"has a general.alignment of {value!r}, which is no power of two from {allowed}"
            raise GgufError(self.path, problem, _COPY)
        return value

    def tensors(self, count: int, alignment: int) -> dict[str, TensorPlace]:
        """The tensors, whose bytes must follow each other in the order of the header, as llama.cpp demands, too."""
        found: dict[str, tuple[int, tuple[int, ...], int, int]] = {}
        end = 0
        for _ in range(count):
            name = self._text(MAX_NAME, "a tensor's name")
            if name in found:
                raise GgufError(self.path, f"has the tensor {name} twice", _COPY)
            shape = self._shape(name)
            kind = self._number(_UINT32)
            size, offset = self._bytes(name, shape, kind), self._number(_UINT64)
            if offset != end:
                problem = f"has {name} at byte {offset} of its data, where the one before it ends at {end}"
                raise GgufError(self.path, problem, _COPY)
            found[name] = (kind, shape, offset, size)
            end = _aligned(offset + size, alignment)
        begin = _aligned(self.at, alignment)
        for name, (_, _, offset, size) in found.items():
            if begin + offset + size > self.size:
                problem = f"is truncated: it has {self.size} bytes, and {name} ends at {begin + offset + size}"
                raise GgufError(self.path, problem, _COPY)
        return {
            name: TensorPlace(name, kind, shape, begin + offset, size)
            for name, (kind, shape, offset, size) in found.items()
        }

    def _shape(self, name: str) -> tuple[int, ...]:
        axes = self._number(_UINT32)
        if not 0 < axes <= MAX_AXES:
            raise GgufError(self.path, f"has {name} with {axes} axes", f"1 to {MAX_AXES} are needed: copy it again")
        sizes = [self._number(_UINT64) for _ in range(axes)]
        if not all(sizes) or math.prod(sizes) > MAX_NUMBERS:
            raise GgufError(self.path, f"has {name} with the absurd sizes {sizes}", UNREAL)
        return tuple(reversed(sizes))

    def _bytes(self, name: str, shape: tuple[int, ...], kind: int) -> int:
        if kind not in TYPES:
            problem = f"has {name} of type {kind}, which Ojito does not know"
            raise GgufError(self.path, problem, f"use a file of {', '.join(t.name for t in TYPES.values())}")
        block = TYPES[kind]
        if shape[-1] % block.numbers:
            problem = f"has {name} as {block.name}, whose blocks of {block.numbers} do not divide {shape[-1]}"
            raise GgufError(self.path, problem, _COPY)
        return math.prod(shape) // block.numbers * block.bytes

    def texts(self, count: int, key: str) -> Iterator[str]:
        """So many strings."""
        data = self.data
        try:
            for start, end in self._spans(count, key):
                yield data[start:end].decode()
        except UnicodeDecodeError:
            raise self._not_text(key) from None

    def _spans(self, count: int, what: str) -> Iterator[tuple[int, int]]:
        """Where so many strings begin and end: a loop by itself, because a vocabulary has a hundred thousand."""
        read, data, at, end = _UINT64.unpack_from, self.data, self.at, self.size - _UINT64.size
        for _ in range(count):
            if at > end:
                raise self._truncated()
            length = read(data, at)[0]
            if length > MAX_STRING:
                self._check_length(length, MAX_STRING, what)
            start, at = at + _UINT64.size, at + _UINT64.size + length
            yield start, at
        self.at = at
        self._skip(0)

    def _text(self, most: int, what: str) -> str:
        length = self._length(most, what)
        start = self.at
        self._skip(length)
        try:
            return self.data[start : self.at].decode()
        except UnicodeDecodeError:
            raise self._not_text(what) from None

    def _not_text(self, what: str) -> GgufError:
        return GgufError(self.path, f"has {what} with bytes that are not UTF-8", _COPY)

    def _length(self, most: int, what: str) -> int:
        length: int = self._number(_UINT64)
        self._check_length(length, most, what)
        return length

    def _check_length(self, length: int, most: int, what: str) -> None:
        if length > most:
            raise GgufError(self.path, f"has {what} of {length} bytes, more than {most}", UNREAL)

    def _number(self, reader: struct.Struct) -> Any:
        start = self.at
        self._skip(reader.size)
        return reader.unpack_from(self.data, start)[0]

    def _skip(self, count: int) -> None:
        self.at += count
        if self.at > self.size:
            raise self._truncated()

    def _truncated(self) -> GgufError:
        return GgufError(self.path, f"is truncated: it ends at byte {self.size}, within its header", _COPY)

    def _check_count(self, what: str, count: int, most: int) -> None:
        if count > most:
            raise GgufError(self.path, f"says that it has {count} {what}, more than {most}", UNREAL)


def _aligned(offset: int, alignment: int) -> int:
    return (offset + alignment - 1) // alignment * alignment
