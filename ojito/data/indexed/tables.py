"""Tables: rows of large data, read by their number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Union

from ojito.data.indexed.index import Index
from ojito.data.indexed.stored import StoredFile
from ojito.data.keys import BadRow
from ojito.data.rows import RawRow


class Table(ABC):
    """Rows that are read by their number.

    Args:
        name: Of the file.
        index: What is known of the rows.
        split: The split of those that name none.

    Attributes:
        name: Of the file.
        index: What is known of the rows.
        split: The split of those that name none; "" leaves them without.
    """

    def __init__(self, name: str, index: Index, split: str = "") -> None:
        self.name, self.index, self.split = name, index, split

    def __len__(self) -> int:
        return len(self.index)

    @abstractmethod
    def read(self, number: int) -> RawRow:
        """Return the row of this number, from 0.

        Raises:
            DataError: The file cannot be read, or has changed.
        """


Parse = Callable[[bytes], Union[Mapping[str, object], BadRow]]
"""Reads the bytes of a row."""


class FileTable(Table):
    """Rows that stand one after the other in a file.

    Args:
        file: The file.
        index: Where they stand.
        parse: Reads one of them.
        origin: What a row is called in messages, by its number.
    """

    def __init__(self, file: StoredFile, index: Index, parse: Parse, origin: Callable[[int], str]) -> None:
        super().__init__(file.path.name, index)
        self._file, self._parse, self._origin = file, parse, origin

    def read(self, number: int) -> RawRow:
        """Return the row of this number. As for `Table`."""
        start, end = map(int, self.index.starts[number : number + 2])
        return RawRow(self._origin(number), self._parse(self._file.read(start, end - start)), self._file.path.parent)


def line_origin(name: str, index: Index, number: int) -> str:
    """What a row that is a line is called: "captions.csv:12".

    Args:
        name: Of the file.
        index: The index of its rows.
        number: The number of the row.
    """
    return f"{name}:{index.line(number)}"
