"""Indices of JSON: where the lines of a file, or the elements of its array, begin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO, Any

from ojito.data.files import DataError
from ojito.data.indexed.facts import Facts, facts_of
from ojito.data.indexed.index import Index, IndexBuilder
from ojito.data.indexed.stored import StoredFile
from ojito.records import Progress

_PIECE = 1 << 23  # bytes read at once
_LONGEST = 1 << 28  # bytes of one element: a file that is broken in the middle is not read to its end
_TELL_EVERY = 1 << 14  # rows
_BOM = b"\xef\xbb\xbf"
_SPACE = " \t\r\n"
_DECODER = json.JSONDecoder()


def scan_lines(file: StoredFile, progress: Progress) -> Index:
    """Index a file with an object a line.

    Args:
        file: The file.
        progress: Called with the bytes read, and all bytes.

    Raises:
        DataError: It cannot be read.
    """
    builder = IndexBuilder(file.path.name)
    at = 0
    with _open(file.path) as content:
        for number, line in enumerate(content):
            if line.isspace():
                builder.skip_line()
            elif at == 0 and line.startswith(_BOM):
                builder.add(len(_BOM), _facts(line[len(_BOM) :]))
            else:
                builder.add(at, _facts(line))
            at += len(line)
            if number % _TELL_EVERY == 0:
                progress(at, file.size)
    return builder.build(at)


def scan_array(file: StoredFile, progress: Progress) -> Index:
    """Index a file that is one array of objects.

    Args:
        file: The file.
        progress: Called with the bytes read, and all bytes.

    Raises:
        DataError: It cannot be read, or is not JSON.
    """
    builder = IndexBuilder(file.path.name)
    with _open(file.path) as content:
        window = _Window(content, file)
        if not window.take("["):
            raise window.error()
        end = window.place
        while not window.take("]"):
            if len(builder) and not window.take(","):
                raise window.error()
            window.skip_space()
            start = window.place
            value = window.element()
            builder.add(start, facts_of(value) if isinstance(value, dict) else None)
            end = window.place
            if len(builder) % _TELL_EVERY == 0:
                progress(end, file.size)
    return builder.build(end)


def _open(path: Path) -> IO[bytes]:
    try:
        return path.open("rb", buffering=_PIECE)
    except OSError as error:
        raise DataError(path, f"cannot be read ({error.strerror})", "allow it (chmod +r)") from None


def _facts(line: bytes) -> Facts | None:
    try:
        value = json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
    return facts_of(value) if isinstance(value, dict) else None


class _Window:
    """The part of a file that is being looked at, each byte as one character, so that places are those of the file.

    JSON's own signs are ASCII, and no byte of another character looks like one of them.

    Args:
        file: Open at its beginning.
        stored: The same file.
    """

    def __init__(self, file: IO[bytes], stored: StoredFile) -> None:
        self._file, self._stored = file, stored
        head = file.read(max(_PIECE, len(_BOM)))
        self._before = len(_BOM) if head.startswith(_BOM) else 0  # bytes before the text
        self._text, self._at = head[self._before :].decode("latin-1"), 0

    @property
    def place(self) -> int:
        """Where in the file the next character stands, bytes."""
        return self._before + self._at

    def skip_space(self) -> None:
        """Go on to what is no space."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _SPACE:
                self._at += 1
            if self._at < len(self._text) or not self._grow():
                return

    def take(self, sign: str) -> bool:
        """Go past a sign, if it comes next."""
        self.skip_space()
        found = self._text.startswith(sign, self._at)
        self._at += found
        return found

    def element(self) -> Any:
        """Go past a value, and return it.

        Raises:
            DataError: There is none.
        """
        while True:
            start = self._at
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except (ValueError, RecursionError):
                if len(self._text) - self._at > _LONGEST or not self._grow():
                    raise self.error() from None
                continue
            if end == len(self._text) and self._grow():
                continue  # a number may go on
            first, self._at = self._at, self._at + end - start
            text = self._text[first : self._at]
            return value if text.isascii() else self._decoded(text)

    def _decoded(self, text: str) -> Any:
        try:
            return _DECODER.decode(text.encode("latin-1").decode())
        except ValueError:
            return None  # a bad row, which says so when it is read

    def _grow(self) -> bool:
        """Look further; return whether there is more. What is done with is forgotten."""
        piece = self._file.read(max(_PIECE, len(self._text) - self._at))  # twice as much, if one value fills it
        self._before += self._at
        self._text, self._at = self._text[self._at :] + piece.decode("latin-1"), 0
        return bool(piece)

    def error(self) -> DataError:
        """The error for what is no JSON from here on."""
        problem = f"is not JSON from byte {self.place:,} of {self._stored.size:,} on"
        return DataError(self._stored.path.name, problem, "download or write it again")
