"""Tables: CSV, with tabs, with semicolons, Flickr30k's with `|`, and Flickr8k's captions.

    image,caption,split                  image\tquestion\tanswer        image_name| comment_number| comment
    a.jpg,"a red kite, high up",train    a.jpg\twhat is it?\ta kite     a.jpg| 0| A red kite .

A table without a first line of names has an image and its caption, `a.jpg#0<tab>A red kite .` among them.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ojito.data.files import IMAGES, SEE, DataError, listed, read_text
from ojito.data.forms.form import Form, Place, Reading
from ojito.data.indexed.facts import facts_of
from ojito.data.indexed.index import Index, IndexBuilder
from ojito.data.indexed.opening import index_of
from ojito.data.indexed.stored import StoredFile
from ojito.data.indexed.tables import FileTable, line_origin
from ojito.data.json_text import loads
from ojito.data.keys import ANSWERS, CAPTION, CHATS, IMAGE, KEYS, LABEL, QUESTIONS, BadRow, numbered, spelled
from ojito.data.rows import RawRow
from ojito.records import Progress

_SUFFIXES = (".csv", ".tsv", ".txt")
_DELIMITERS = {",": "CSV", "\t": "table with tabs", ";": "CSV with semicolons", "|": "table with |"}
_RENAMED = {
    "image_name": "image", "comment": "caption", "raw": "caption",
    "captions": "caption", "answers": "answer", "responses": "response",
}  # fmt: skip
_LISTS = {"image": "images", "caption": "captions", "answer": "answers", "response": "responses"}
_NUMBER = re.compile(r"#\d+$")  # Flickr8k's number of the caption, after the image's name
_BOM = b"\xef\xbb\xbf"
_MOST_LINES = 1000  # of one record: a mark that is never closed does not swallow the whole file
_TELL_EVERY = 1 << 14  # rows
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
    table = TextTable(place.path.name, delimiter, tuple(columns), named)
    # Whoever reads such a table whole says what is wrong with it.
    plain = place.head[:2] not in (b"\xff\xfe", b"\xfe\xff") and b"\n" in place.head
    indexed = plain and _is_complete(columns) and not _twice(columns)
    return Reading(
        _DELIMITERS[delimiter],
        lambda: _rows(place, table),
        tables=partial(_tables, place.path, table) if indexed else None,
        size=lambda: place.bytes,
    )


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


def _twice(columns: Sequence[str]) -> str:
    """The column that is there twice, and may not be."""
    return next((c for c in columns if c in KEYS and columns.count(c) > 1 and c not in ("caption", "answer")), "")


class TextTable(NamedTuple):
    """How a table is written.

    Attributes:
        name: Of the file.
        delimiter: What stands between cells.
        columns: Names of the columns, as keys of a row.
        named: Whether the first line names them.
    """

    name: str
    delimiter: str
    columns: tuple[str, ...]
    named: bool


def _rows(place: Place, table: TextTable) -> Iterator[RawRow]:
    name, folder = place.path.name, place.path.parent
    text = read_text(place.path)
    if table.named and not _is_complete(table.columns):
        if not text.strip():
            return
        raise DataError(name, f"has the columns {listed(table.columns)}", _REMEDY)
    twice = _twice(table.columns)
    if twice:
        raise DataError(name, f"has the column {twice} twice", "leave one of them out")
    to_skip = table.named
    for number, cells in _records(text, table.delimiter, name):
        if to_skip:
            to_skip = False
        else:
            yield RawRow(f"{name}:{number}", _values(table, cells), folder)


def _values(table: TextTable, cells: list[str] | BadRow) -> dict[str, Any] | BadRow:
    if isinstance(cells, BadRow):
        return cells
    if len(cells) != len(table.columns):
        advice = 'put a text that has commas into "quotes"' if table.delimiter == "," else "mend the line"
        return BadRow(f"has {len(cells)} cells, not {len(table.columns)}", advice)
    return _row(table.columns, cells, table.named)


def _tables(path: Path, table: TextTable, progress: Progress) -> list[FileTable]:
    file = StoredFile.of(path)
    index = index_of(file, " ".join(("table", table.delimiter, *table.columns)), partial(_scan, table), progress)
    return [FileTable(file, index, partial(_parse, table), partial(line_origin, path.name, index))]


def _parse(table: TextTable, record: bytes) -> dict[str, Any] | BadRow:
    """A record, with the lines that it has."""
    try:
        _, cells = next(_records(record.decode(), table.delimiter, table.name))
    except UnicodeDecodeError:
        return BadRow("is not UTF-8 text", "save the file as UTF-8")
    except DataError as error:
        return BadRow(error.problem, error.remedy)
    return _values(table, cells)


def _scan(table: TextTable, file: StoredFile, progress: Progress) -> Index:
    """Index the records. One has several lines where a quotation mark is open at the end of a line."""
    builder = IndexBuilder(table.name)
    quoted = table.delimiter in ",;"
    blank = table.delimiter.encode() + b" \t\r\n"
    to_skip, at = table.named, 0
    with file.path.open("rb", buffering=1 << 20) as content:
        for line in content:
            start, record, more = at, line, 0
            at += len(line)
            if start == 0 and record.startswith(_BOM):
                start, record = len(_BOM), record[len(_BOM) :]
            while quoted and record.count(b'"') % 2 and more < _MOST_LINES and (following := next(content, b"")):
                record += following
                at += len(following)
                more += 1
            if to_skip or not record.strip(blank):
                to_skip = to_skip and not record.strip(blank)
                more += 1
            else:
                values = _parse(table, record)
                builder.add(start, None if isinstance(values, BadRow) else facts_of(values))
                if len(builder) % _TELL_EVERY == 0:
                    progress(at, file.size)
            for _ in range(more):
                builder.skip_line()
    return builder.build(at)


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
