"""Tables of files: a row for each image in some folders, of which only the names are in memory, end to end."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from pathlib import Path

from ojito.data.indexed.facts import Facts, digest
from ojito.data.indexed.index import Index, IndexBuilder
from ojito.data.indexed.tables import Table
from ojito.data.rows import RawRow

ROW_BYTES = 200
"""About what a row of a file and its text takes, bytes."""

Make = Callable[[Path, Path, str, str], RawRow]
"""Makes a row of the uppermost folder, the image's folder, its name, and the split."""


class NamesTable(Table):
    """Rows of images by their names. Filled once, with `add`.

    Args:
        root: The uppermost folder.
        make: Makes a row, when it is asked for.
    """

    def __init__(self, root: Path, make: Make) -> None:
        self._builder = IndexBuilder(root.name)
        super().__init__(root.name, Index())
        self._root, self._make = root, make
        self._folders: list[tuple[Path, str]] = []
        self._folder_of = array("L")
        self._names = bytearray()

    def add(self, folder: Path, names: Sequence[str], split: str, bad: Sequence[str] = ()) -> None:
        """Add the images of a folder.

        Args:
            folder: The folder.
            names: The names of its images.
            split: The split of all of them.
            bad: Those of the names whose rows are bad.
        """
        self._folders.append((folder, split))
        without = {*bad}
        for name in names:
            about = None if name in without else Facts(split, (digest(f"{folder.relative_to(self._root)}/{name}"),))
            self._builder.add(len(self._names), about)
            self._folder_of.append(len(self._folders) - 1)
            self._names += name.encode("utf-8", "surrogateescape")

    def finish(self) -> NamesTable:
        """Return the table, when all are added."""
        self.index = self._builder.build(len(self._names))
        return self

    def read(self, number: int) -> RawRow:
        """Return the row of this number. As for `Table`."""
        start, end = map(int, self.index.starts[number : number + 2])
        folder, split = self._folders[self._folder_of[number]]
        name = self._names[start:end].decode("utf-8", "surrogateescape")
        return self._make(self._root, folder, name, split)
