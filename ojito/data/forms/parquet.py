"""Parquet, as Hugging Face keeps its data sets: a row group is read when one of its images is needed.

image: {bytes, path}    question: string    answer: string
"""

from __future__ import annotations

import importlib.util
import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ojito.data.files import DataError
from ojito.data.forms.form import Form, Place, Reading
from ojito.data.keys import IMAGE, LABEL, spelled
from ojito.data.rows import RawRow
from ojito.records import StoredImage

_CACHED = 512 << 20  # bytes of images that a process keeps; a row group is read as a whole
_groups: OrderedDict[tuple[str, str, int], list[Any]] = OrderedDict()


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
        cell = _group(self.path, self.column, self.group)[self.row]
        images = cell if isinstance(cell, list) else [cell]
        image = images[self.number]
        return bytes(image["bytes"] if isinstance(image, Mapping) else image)


def read(place: Place) -> Reading | None:
    """Read a file that is called .parquet."""
    return None if place.is_folder or place.suffix != ".parquet" else Reading("parquet", lambda: _rows(place))


FORM = Form("parquet", read)


def _file(path: Path) -> Any:
    if importlib.util.find_spec("pyarrow") is None:
        remedy = "install it with: pip install 'ojito[parquet]'"
        raise DataError(path, "is a parquet file, which pyarrow reads, and that is not installed", remedy)
    import pyarrow as arrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(path)
    except (arrow.ArrowException, OSError) as error:
        raise DataError(path, f"cannot be read as parquet ({error})", "download or write it again") from None


def _rows(place: Place) -> Iterator[RawRow]:
    file = _file(place.path)
    stored = {name: several for name in file.schema_arrow.names for several in [_holds_images(file, name)] if several}
    # Images of the rows stay in the file; of a struct without bytes, the path is read like any other text.
    texts = [name for name in file.schema_arrow.names if name not in stored]
    names = _class_names(file)
    number = 0
    for group in range(file.num_row_groups):
        table = file.read_row_group(group, columns=texts) if texts else None
        counts = {name: _counts(file, group, name) for name in stored if stored[name] == "list"}
        rows = table.to_pylist() if table is not None else [{} for _ in range(file.metadata.row_group(group).num_rows)]
        for index, row in enumerate(rows):
            number += 1
            for name in LABEL:
                if isinstance(row.get(name), int) and name in names and 0 <= row[name] < len(names[name]):
                    row[name] = names[name][row[name]].replace("_", " ")
            for name in stored:
                count = counts[name][index] if name in counts else 1
                images = [ParquetImage(place.path, name, group, index, i) for i in range(count)]
                row[name] = images
            yield RawRow(f"{place.path.name} row {number}", row, place.path.parent)


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


def _counts(file: Any, group: int, name: str) -> list[int]:
    """Number of images in each cell, read from their paths where there are some."""
    about = file.metadata.row_group(group)
    paths = [about.column(i).path_in_schema for i in range(about.num_columns)]
    path = next((p for p in paths if p.startswith(f"{name}.") and p.endswith(".path")), None)
    cells = file.read_row_group(group, columns=[path or name]).column(0).to_pylist()
    return [len(cell or ()) for cell in cells]


def _class_names(file: Any) -> dict[str, list[str]]:
    """Names of the classes of Hugging Face's ClassLabel columns."""
    about = (file.schema_arrow.metadata or {}).get(b"huggingface", b"{}")
    try:
        features = json.loads(about)["info"]["features"]
        return {name: [str(n) for n in value["names"]] for name, value in features.items() if "names" in value}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _group(path: Path, column: str, group: int) -> list[Any]:
    """The cells of a column in a row group; those read last are kept."""
    key = (str(path), column, group)
    if key in _groups:
        _groups.move_to_end(key)
        return _groups[key]
    cells = _file(path).read_row_group(group, columns=[column]).column(0).to_pylist()
    _groups[key] = cells
    while len(_groups) > 1 and sum(map(_bytes, _groups.values())) > _CACHED:
        _groups.popitem(last=False)
    return cells


def _bytes(cells: list[Any]) -> int:
    images = (image for cell in cells for image in (cell if isinstance(cell, list) else [cell]))
    return sum(len(i["bytes"] or b"") if isinstance(i, Mapping) else len(i or b"") for i in images)
