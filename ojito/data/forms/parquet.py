"""Parquet, as Hugging Face keeps its data sets: a row group is read when one of its rows is needed.

image: {bytes, path}    question: string    answer: string
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ojito.data.files import DataError
from ojito.data.forms.form import Form, Place, Reading
from ojito.data.indexed.facts import facts_of, keys_say_all
from ojito.data.indexed.index import Index, IndexBuilder
from ojito.data.indexed.opening import index_of
from ojito.data.indexed.stored import StoredFile
from ojito.data.indexed.tables import Table
from ojito.data.keys import LABEL, BadRow
from ojito.data.parquet_columns import ParquetImage, class_names, open_parquet, row_group, stored_images
from ojito.data.rows import RawRow
from ojito.records import Progress

_NAME = "parquet"
_TELL_EVERY = 1 << 14  # rows


def read(place: Place) -> Reading | None:
    """Read a file that is called .parquet."""
    if place.is_folder or place.suffix != ".parquet":
        return None
    return Reading(
        _NAME, partial(_rows, place.path), tables=partial(_tables, place.path), size=partial(_size, place.path)
    )


FORM = Form(_NAME, read)


class ParquetTable(Table):
    """Rows of a parquet file; of each, the row group is read, and kept for a while.

    Args:
        columns: The file.
        index: What is known of its rows.
    """

    def __init__(self, columns: Columns, index: Index) -> None:
        super().__init__(columns.path.name, index)
        self._columns = columns

    def read(self, number: int) -> RawRow:
        """Return the row of this number. As for `Table`."""
        return self._columns.row(number)


class Columns:
    """The rows of a parquet file, with the images of each as `ParquetImage`.

    Args:
        path: The file.

    Raises:
        DataError: It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        file = open_parquet(path)
        self.path = path
        self.stored = stored_images(file)
        # Images of the rows stay in the file; of a struct without bytes, the path is read like any other text.
        self.texts = tuple(name for name in file.schema_arrow.names if name not in self.stored)
        self._class_names = class_names(file)
        about = file.metadata
        self.groups = [about.row_group(group).num_rows for group in range(about.num_row_groups)]
        self._ends = [*itertools.accumulate(self.groups)]

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def row(self, number: int) -> RawRow:
        """Return a row by its number.

        Raises:
            DataError: The file cannot be read.
        """
        group = bisect.bisect_right(self._ends, number)
        index = number - self._ends[group] + self.groups[group]
        texts = self._read(self.texts, group).slice(index, 1).to_pylist()[0] if self.texts else {}
        return self._made(number, group, index, texts)

    def rows(self) -> Iterator[RawRow]:
        """Yield all rows.

        Raises:
            DataError: The file cannot be read.
        """
        number = itertools.count()
        for group, size in enumerate(self.groups):
            rows = self._read(self.texts, group).to_pylist() if self.texts else [{} for _ in range(size)]
            for index, texts in enumerate(rows):
                yield self._made(next(number), group, index, texts)

    def _read(self, columns: tuple[str, ...], group: int) -> Any:
        try:
            return row_group(self.path, columns, group)
        except OSError as error:
            raise DataError(self.path, f"cannot be read ({error.strerror})", "download or write it again") from None

    def _made(self, number: int, group: int, index: int, row: dict[str, Any]) -> RawRow:
        for name in LABEL:
            known = self._class_names.get(name, [])
            if isinstance(row.get(name), int) and 0 <= row[name] < len(known):
                row[name] = known[row[name]].replace("_", " ")
        for name, (several, listed) in self.stored.items():
            cell = self._read((listed,), group).column(0)[index].as_py() if several else [None]
            row[name] = [ParquetImage(self.path, name, group, index, place) for place in range(len(cell or ()))]
        return RawRow(f"{self.path.name} row {number + 1}", row, self.path.parent)


def _rows(path: Path) -> Iterator[RawRow]:
    yield from Columns(path).rows()


def _size(path: Path) -> int:
    """Bytes of the columns that are no images, before they were packed."""
    file = open_parquet(path)
    stored = {*stored_images(file)}
    groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
    columns = [group.column(number) for group in groups for number in range(group.num_columns)]
    return sum(c.total_uncompressed_size for c in columns if c.path_in_schema.partition(".")[0] not in stored)


def _tables(path: Path, progress: Progress) -> list[ParquetTable]:
    columns = Columns(path)
    if columns.stored and keys_say_all((*columns.stored, *columns.texts)):
        return [ParquetTable(columns, Index(rows=len(columns)))]  # nothing in the rows has to be known
    return [ParquetTable(columns, index_of(StoredFile.of(path), _NAME, partial(_scan, columns), progress))]


def _scan(columns: Columns, file: StoredFile, progress: Progress) -> Index:
    builder = IndexBuilder(file.path.name)
    for number, row in enumerate(columns.rows(), 1):
        values = row.values
        facts = (
            None if isinstance(values, BadRow) else facts_of({**values, **dict.fromkeys(columns.stored, "in the file")})
        )
        builder.add(0, facts and facts._replace(images=() if columns.stored else facts.images))
        if number % _TELL_EVERY == 0:
            progress(file.size * number // len(columns), file.size)
    return builder.build(0)
