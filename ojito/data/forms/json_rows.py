"""JSON Lines, an object a line; and JSON arrays of objects, in a `.json` or a `.jsonl` file.

    {"image": "a.jpg", "caption": "a red kite"}
    {"image": "a.jpg", "question": "what is it?", "answer": "a kite", "split": "dev"}

A JSON object of such arrays, one for each split or one called "data", is read, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from ojito.data.files import DataError
from ojito.data.forms.form import Form, Place, Reading, is_rows
from ojito.data.indexed.json_scan import scan_array, scan_lines
from ojito.data.indexed.opening import index_of
from ojito.data.indexed.stored import StoredFile
from ojito.data.indexed.tables import FileTable, line_origin
from ojito.data.json_text import loads
from ojito.data.keys import CAPTION, CHATS, IMAGE, QUESTIONS, BadRow, json_name
from ojito.data.rows import RawRow
from ojito.data.splits import split_in
from ojito.records import Progress

_SUFFIXES = (".json", ".jsonl", ".ndjson")
_WHOLE = ("data", "rows", "samples", "examples")  # keys of an object whose array is all there is


def read_lines(place: Place) -> Reading | None:
    """Read an object a line; any file that is called .jsonl, and a .json whose lines are objects."""
    if place.suffix not in _SUFFIXES or place.is_folder:
        return None
    if place.is_large_array:
        return None
    if place.head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[") and isinstance(place.value, list):
        return None
    if place.suffix == ".json" and (place.value is not None or not _is_object(place.first_line)):
        return None
    return Reading("JSON Lines", lambda: _lines(place), tables=partial(_line_tables, place), size=lambda: place.bytes)


def read_array(place: Place) -> Reading | None:
    """Read an array of objects, an object of such arrays, or one object that is a row."""
    if place.suffix not in _SUFFIXES or place.is_folder:
        return None
    if place.is_large_array or isinstance(place.value, list):
        tables = partial(_element_tables, place)
        return Reading("JSON array", lambda: _whole_array(place), tables=tables, size=lambda: place.bytes)
    value = place.value
    if place.suffix != ".json" or not isinstance(value, Mapping):
        return None
    if _is_row(value):
        return Reading("JSON object", lambda: _array(place, [value], ""))
    whole = next((key for key in _WHOLE if is_rows(value.get(key))), "")
    parts = {key: part for key, part in value.items() if key == whole or (split_in(key) and is_rows(part))}
    if not parts:
        return None
    return Reading("JSON arrays", lambda: (row for key, part in parts.items() for row in _array(place, part, key)))


LINES = Form("JSON Lines", read_lines)
ARRAY = Form("JSON array", read_array)


def _is_row(value: Mapping[str, Any]) -> bool:
    """Whether an object is a row, and not settings that have an `image` and a `prompt`."""
    image = any(isinstance(value.get(key), (str, list)) for key in IMAGE)
    return image and any(isinstance(value.get(key), (str, list)) for key in (*CAPTION, *QUESTIONS, *CHATS))


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _lines(place: Place) -> Iterator[RawRow]:
    try:
        content = place.path.read_bytes()
    except OSError as error:
        raise DataError(place.path, f"cannot be read ({error.strerror})", "allow it (chmod +r)") from None
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if line.strip():
            yield RawRow(f"{place.path.name}:{number}", _line(line), place.path.parent)


def _first_line(content: bytes) -> Mapping[str, Any] | BadRow:
    """A line, which empty ones may follow."""
    return _line(content.partition(b"\n")[0])


def _line(line: bytes) -> Mapping[str, Any] | BadRow:
    try:
        return _row(loads(line.decode("utf-8")))
    except UnicodeDecodeError:
        return BadRow("is not UTF-8 text", "save the file as UTF-8")
    except json.JSONDecodeError as error:
        return BadRow(f"is not JSON ({error.msg}, column {error.colno})", "mend the line")
    except ValueError:  # Python refuses to read a whole number of thousands of digits
        return BadRow("holds a number of more digits than can be read", "mend the line")
    except RecursionError:
        return BadRow("is nested too deeply", "mend the line")


def _line_tables(place: Place, progress: Progress) -> list[FileTable]:
    file = StoredFile.of(place.path)
    index = index_of(file, "JSON Lines", scan_lines, progress)
    return [FileTable(file, index, _first_line, partial(line_origin, place.path.name, index))]


def _element_tables(place: Place, progress: Progress) -> list[FileTable]:
    file = StoredFile.of(place.path)
    index = index_of(file, "JSON array", scan_array, progress)
    return [FileTable(file, index, _element, partial(_element_origin, place.path.name))]


def _element_origin(name: str, number: int) -> str:
    return f"{name} row {number + 1}"


def _element(content: bytes) -> Mapping[str, Any] | BadRow:
    """An element of an array; a comma may follow it."""
    return _line(content.rstrip().removesuffix(b","))


def _whole_array(place: Place) -> Iterator[RawRow]:
    if not isinstance(place.value, list):
        raise DataError(place.path.name, "is not JSON", "download or write it again")
    return _array(place, place.value, "")


def _array(place: Place, values: list[Any], key: str) -> Iterator[RawRow]:
    for number, value in enumerate(values, 1):
        row = _row(value)
        if split_in(key) and isinstance(row, Mapping):
            row = {"split": split_in(key), **row}
        name = f"{place.path.name} {key}".rstrip()
        yield RawRow(f"{name} row {number}", row, place.path.parent)


def _row(value: Any) -> Mapping[str, Any] | BadRow:
    if isinstance(value, (dict, BadRow)):
        return value
    return BadRow(f"is {json_name(value)}, not an object", "write {...}")
