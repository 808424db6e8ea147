"""Tables: CSV, with tabs, with semicolons, Flickr30k's with `|`, and Flickr8k's captions.

    image,caption,split                  image\tquestion\tanswer        image_name| comment_number| comment
    a.jpg,"a red kite, high up",train    a.jpg\twhat is it?\ta kite     a.jpg| 0| A red kite .

A table without a first line of names has an image and its caption, `a.jpg#0<tab>A red kite .` among them.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from typing import Any

from ojito.data.files import IMAGES, SEE, DataError, listed, read_text
from ojito.data.forms.form import Form, Place, Reading
from ojito.data.json_text import loads
from ojito.data.keys import ANSWERS, CAPTION, CHATS, IMAGE, KEYS, LABEL, QUESTIONS, BadRow, numbered, spelled
from ojito.data.rows import RawRow

_SUFFIXES = (".csv", ".tsv", ".txt")
_DELIMITERS = {",": "CSV", "\t": "table with tabs", ";": "CSV with semicolons", "|": "table with |"}
_RENAMED = {
    "image_name": "image", "comment": "caption", "raw": "caption",
    "captions": "caption", "answers": "answer", "responses": "response",
}  # fmt: skip
_LISTS = {"image": "images", "caption": "captions", "answer": "answers", "response": "responses"}
_NUMBER = re.compile(r"#\d+$")  # Flickr8k's number of the caption, after the image's name
_REMEDY = f"name them image and caption, or image, question and answer; {SEE}"


def read(place: Place) -> Reading | None:
    """Read a table whose first line names an image and a text, or holds them; any file that is called .csv."""
    if place.is_folder or place.suffix not in _SUFFIXES:
        return None
    found = _columns(place.first_line)
    if found is None:
        if place.suffix != ".csv":
            return None
        delimiter, columns, named = ",", [spelled(name) for name in place.first_line.split(",")], True
    else:
        delimiter, columns, named = found
    return Reading(_DELIMITERS[delimiter], lambda: _rows(place, delimiter, columns, named))


FORM = Form("table", read)


def names_its_columns(place: Place) -> bool:
    """Whether a table's first line says, or shows, which columns are image and text."""
    return _columns(place.first_line) is not None


def _columns(line: str) -> tuple[str, list[str], bool] | None:
    """Delimiter and columns of a table, and whether its first line names them."""
    for delimiter in _DELIMITERS:
        if delimiter not in line:
            continue
        cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
        columns = [numbered(_RENAMED.get(name, name)) for name in map(spelled, cells)]
        if _is_complete(columns):
            return delimiter, columns, True
        first = _NUMBER.sub("", cells[0]).strip().lower()
        if len(cells) == 2 and first.endswith(IMAGES) and cells[1].strip():
            return delimiter, ["image", "caption"], False
    return None


def _is_complete(columns: Sequence[str]) -> bool:
    """Whether these columns make rows."""
    texts = {*CAPTION, *CHATS, *LABEL}
    asked = any(name in columns and {*ANSWERS[name]} & {*columns} for name in QUESTIONS)
    return bool(asked or ({*IMAGE} & {*columns} and texts & {*columns}))


def _rows(place: Place, delimiter: str, columns: list[str], named: bool) -> Iterator[RawRow]:
    name, folder = place.path.name, place.path.parent
    text = read_text(place.path)
    if named and not _is_complete(columns):
        if not text.strip():
            return
        raise DataError(name, f"has the columns {listed(columns)}", _REMEDY)
    twice = next((c for c in columns if c in KEYS and columns.count(c) > 1 and c not in ("caption", "answer")), None)
    if twice:
        raise DataError(name, f"has the column {twice} twice", "leave one of them out")
    to_skip = named
    for number, cells in _records(text, delimiter, name):
        if to_skip:
            to_skip = False
        elif isinstance(cells, BadRow):
            yield RawRow(f"{name}:{number}", cells, folder)
        elif len(cells) != len(columns):
            advice = 'put a text that has commas into "quotes"' if delimiter == "," else "mend the line"
            yield RawRow(f"{name}:{number}", BadRow(f"has {len(cells)} cells, not {len(columns)}", advice), folder)
        else:
            yield RawRow(f"{name}:{number}", _row(columns, cells, named), folder)


def _row(columns: Sequence[str], cells: Sequence[str], named: bool) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for column, cell in zip(columns, cells, strict=True):
        cell = cell.strip()
        if column == "image" and not named:
            cell = _NUMBER.sub("", cell)
        several = column in ("caption", "answer") and columns.count(column) > 1
        listed = _list_in(cell) if column in _LISTS or column in (*CHATS, "qa", "images") else None
        if several and cell:
            row.setdefault(_LISTS[column], []).append(cell)
        elif listed is not None:
            row[_LISTS.get(column, column)] = listed
        elif not several:
            row[column] = cell
    return row


def _list_in(cell: str) -> list[Any] | None:
    """The list that a cell holds as JSON, as exports of nested data write it."""
    if not cell.startswith("["):
        return None
    try:
        value = loads(cell)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) and value else None


def _records(text: str, delimiter: str, name: str) -> Iterator[tuple[int, list[str] | BadRow]]:
    """Lines as cells, each with its number. A quotation mark that spoils a line spoils no other.

    Raises:
        DataError: A quotation mark is opened and never closed.
    """
    lines = text.splitlines(keepends=True) if "\r" in text and "\n" not in text else re.split(r"(?<=\n)", text)
    plain = delimiter == "|"
    start = 0
    while start < len(lines):
        reader = csv.reader(
            iter(lines[start:]),
            delimiter=delimiter,
            skipinitialspace=True,
            strict=not plain,
            quoting=csv.QUOTE_NONE if plain else csv.QUOTE_MINIMAL,
        )
        at = start
        try:
            for cells in reader:
                first, at = at, start + reader.line_num
                if cells and any(cell.strip() for cell in cells):
                    yield first + 1, cells
            return
        except csv.Error as error:
            if delimiter == "\t":  # many tables with tabs are written without any thought of quotation marks
                yield at + 1, lines[at].rstrip("\r\n").split("\t")
            elif "unexpected end" in str(error):
                where = f"{name}:{at + 1}"
                raise DataError(where, "opens a quotation mark that is never closed", "close it") from None
            else:
                problem = f"is not CSV ({error})"
                yield at + 1, BadRow(problem, 'put the text into "quotes" and write "" for a quotation mark in it')
            start = at + 1
