"""Columns of parquet files, read a row group at a time; those that were read last are kept, up to a limit."""

from __future__ import annotations

import importlib.util
import json
import os
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ojito.data.files import DataError
from ojito.data.keys import IMAGE, spelled
from ojito.records import StoredImage

_CACHED = 256 << 20  # bytes of row groups that a process keeps; one at least, whatever its size
_OPEN = 64  # files that a process keeps open
_groups: OrderedDict[tuple[int, int, str, tuple[str, ...], int], Any] = OrderedDict()


@dataclass(frozen=True)
class ParquetImage(StoredImage):
    """An image within a parquet file.

    Attributes:
        path: The file.
        column: The column of the image.
        group: The row group, from 0.
        row: The row in its group, from 0.
        number: Which of the images of its cell, from 0.
    """

    path: Path
    column: str
    group: int
    row: int
    number: int = 0

    def __str__(self) -> str:
        return f"{self.path} row group {self.group} row {self.row}"

    def read(self) -> bytes:
        """The encoded image."""
        cell = row_group(self.path, (self.column,), self.group).column(0)[self.row].as_py()
        images = cell if isinstance(cell, list) else [cell]
        image = images[self.number]
        return bytes(image["bytes"] if isinstance(image, Mapping) else image)


def open_parquet(path: Path) -> Any:
    """The file as pyarrow opens it.

    Raises:
        DataError: pyarrow is not installed, or cannot read it.
    """
    if importlib.util.find_spec("pyarrow") is None:
        remedy = "install it with: pip install 'ojito[parquet]'"
        raise DataError(path, "is a parquet file, which pyarrow reads, and that is not installed", remedy)
    import pyarrow as arrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(path)
    except (arrow.ArrowException, OSError) as error:
        raise DataError(path, f"cannot be read as parquet ({error})", "download or write it again") from None


def row_group(path: Path, columns: tuple[str, ...], group: int) -> Any:
    """Columns of a row group, as a table of pyarrow.

    Args:
        path: The file.
        columns: Names of the columns.
        group: The row group, from 0.

    Raises:
        OSError: It cannot be read.
    """
    import pyarrow as arrow

    key = (os.getpid(), os.stat(path).st_mtime_ns, str(path), columns, group)
    if key in _groups:
        _groups.move_to_end(key)
        return _groups[key]
    try:
        found = _opened(path, *key[:2]).read_row_group(group, columns=[*columns], use_threads=False)
    except (arrow.ArrowException, DataError) as error:
        raise OSError(None, str(error)) from None
    _groups[key] = found
    while len(_groups) > 1 and sum(table.nbytes for table in _groups.values()) > _CACHED:
        _groups.popitem(last=False)
    return found


@lru_cache(maxsize=_OPEN)
def _opened(path: Path, process: int, changed: int) -> Any:
    return open_parquet(path)


def stored_images(file: Any) -> dict[str, tuple[bool, str]]:
    """The columns that hold images themselves: whether several in a cell, and the column that tells how many."""
    found = {}
    for name in file.schema_arrow.names:
        several = _holds_images(file, name)
        if several:
            found[name] = several == "list", _path_of(file, name)
    return found


def _path_of(file: Any, name: str) -> str:
    """The column of the paths beside images, which takes less to read than these; else the column itself."""
    columns = [file.schema.column(number).path for number in range(len(file.schema.names))]
    return next((path for path in columns if path.startswith(f"{name}.") and path.endswith(".path")), name)


def _holds_images(file: Any, name: str) -> str:
    """Whether the images themselves are in this column: "one" a cell, or a "list" of them; "" if they are not."""
    import pyarrow as arrow

    if spelled(name) not in IMAGE:
        return ""
    kind = file.schema_arrow.field(name).type
    several = arrow.types.is_list(kind) or arrow.types.is_large_list(kind)
    inner = kind.value_type if several else kind
    if arrow.types.is_struct(inner):
        fields = {inner.field(i).name: inner.field(i).type for i in range(inner.num_fields)}
        if "bytes" not in fields or not _has_bytes(file, name):
            return ""
        inner = fields["bytes"]
    if not (arrow.types.is_binary(inner) or arrow.types.is_large_binary(inner)):
        return ""
    return "list" if several else "one"


def _has_bytes(file: Any, name: str) -> bool:
    """Whether the bytes of a column of structs are anything but null."""
    for group in range(file.num_row_groups):
        about = file.metadata.row_group(group)
        for index in range(about.num_columns):
            column = about.column(index)
            if column.path_in_schema.startswith(f"{name}.") and column.path_in_schema.endswith("bytes"):
                found = column.statistics
                if found is None or not found.has_null_count or found.null_count < column.num_values:
                    return True
    return False


def class_names(file: Any) -> dict[str, list[str]]:
    """Names of the classes of Hugging Face's ClassLabel columns."""
    about = (file.schema_arrow.metadata or {}).get(b"huggingface", b"{}")
    try:
        features = json.loads(about)["info"]["features"]
        return {name: [str(n) for n in value["names"]] for name, value in features.items() if "names" in value}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
