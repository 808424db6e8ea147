"""What every form of data has in common: a place that is looked at once, and a reading of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Union

from ojito.data.finder import Listing
from ojito.data.indexed.tables import Table
from ojito.data.json_text import loads
from ojito.data.rows import RawRow
from ojito.records import Progress

_HEAD = 1 << 16  # bytes that tell what a file is
_LARGE = 1 << 26  # bytes of a JSON array that is not read whole to tell its form
_OF_OBJECTS = re.compile(rb"(\xef\xbb\xbf)?\s*\[\s*\{")


@dataclass
class Reading:
    """Data of a form that was recognized.

    Attributes:
        form: The name of the form, "JSON Lines".
        rows: Yields the rows; may raise `DataError` where they cannot be read at all.
        notes: What was passed over, for the user to know; complete once the rows are read.
        tables: Returns the same rows as tables, which read a row when it is asked for; None of a form that has to be
            read whole. Is told how to show progress.
        size: Returns about how many bytes the rows take, without their images.
    """

    form: str
    rows: Callable[[], Iterator[RawRow]]
    notes: list[str] = field(default_factory=list)
    tables: Callable[[Progress], Sequence[Table]] | None = None
    size: Callable[[], int] = int


class Place:
    """A file or folder that may hold data.

    Args:
        path: Its path.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.suffix = path.suffix.lower()
        self.is_folder = path.is_dir()

    @cached_property
    def head(self) -> bytes:
        """The beginning of the file; nothing of a folder or of what cannot be read."""
        if self.is_folder:
            return b""
        try:
            with self.path.open("rb") as file:
                return file.read(_HEAD)
        except OSError:
            return b""

    @cached_property
    def first_line(self) -> str:
        """The first line that is not empty, as far as it is text."""
        text = self.head.decode("utf-16" if self.head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig", "replace")
        return next((line for line in text.splitlines() if line.strip()), "")

    @cached_property
    def value(self) -> Any:
        """The file as one JSON value; None if it is none."""
        if not self.head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith((b"{", b"[")):
            return None
        try:
            return loads(self.path.read_bytes().decode("utf-8-sig"))
        except (UnicodeDecodeError, json.JSONDecodeError, ValueError, RecursionError):
            return None

    @cached_property
    def bytes(self) -> int:
        """The size of the file, bytes."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    @property
    def is_large_array(self) -> bool:
        """Whether the file is a JSON array of objects, as its beginning says, and too large to be read for that."""
        return self.bytes > _LARGE and bool(_OF_OBJECTS.match(self.head))

    @cached_property
    def listing(self) -> Listing:
        """The names in the folder."""
        return Listing(str(self.path))


class Form(NamedTuple):
    """A form of data.

    Attributes:
        name: Its name.
        read: Returns a reading of a place that has this form, else None.
    """

    name: str
    read: Callable[[Place], Union[Reading, None]]


def is_rows(value: Any, *keys: str) -> bool:
    """Whether a JSON value is a list of objects, the first of which has all of these keys."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping) and {*keys} <= {*value[0]}
