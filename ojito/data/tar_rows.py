"""Rows of a tar archive in WebDataset's layout: members of one name are a row, images are read in place."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ojito.data.files import IMAGES, DataError
from ojito.data.indexed.stored import Window
from ojito.data.json_text import loads
from ojito.data.keys import CAPTION, IMAGE, BadRow, spelled
from ojito.data.rows import RawRow
from ojito.records import StoredImage

BLOCK = 512
"""Bytes of the blocks that an archive is made of."""

_TEXTS = (".txt", ".caption", ".text")
_MOST = 16 << 20  # bytes of a member that holds text
_AGAIN = "copy or write it again"


@dataclass(frozen=True)
class TarImage(StoredImage):
    """An image within a tar archive.

    Attributes:
        path: The archive.
        name: The name of the member.
        offset: Where its content begins, bytes.
        length: Its length, bytes.
    """

    path: Path
    name: str
    offset: int
    length: int

    def __str__(self) -> str:
        return f"{self.path}/{self.name}"

    def read(self) -> bytes:
        """The encoded image."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.length)


Group = tuple[str, int, dict[str, tarfile.TarInfo]]
"""The members of a row: their name, where the first of them begins, and the members by their suffixes."""


def members_of(path: Path) -> Iterator[Group]:
    """Yield the rows of an archive, and check that it is whole.

    Raises:
        DataError: It is damaged, or cut off.
    """
    last = "its beginning"
    try:
        with tarfile.open(path, "r:") as archive:
            for group in groups(archive):
                last = group[0]
                yield group
            end = archive.offset  # where Python's own reader stops without a word, be it the end or not
        with path.open("rb") as file:
            file.seek(end)
            block = file.read(BLOCK)
    except (tarfile.TarError, OSError) as error:
        raise DataError(path, f"cannot be read as a tar archive ({error}), after {last}", _AGAIN) from None
    if len(block) < BLOCK:
        raise DataError(path, f"is cut off after {last}: a tar archive ends with empty blocks", _AGAIN)
    if block.strip(b"\0"):
        raise DataError(path, f"is damaged at byte {end:,}, after {last}", _AGAIN)


def groups(archive: tarfile.TarFile) -> Iterator[Group]:
    """Yield the members of an archive that follow each other and have one name."""
    group: dict[str, tarfile.TarInfo] = {}
    last, start = "", 0
    while (member := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]  # which tarfile collects: there may be millions
        folder, _, name = member.name.rpartition("/")
        stem, _, suffix = name.partition(".")
        if not member.isreg() or name.startswith("."):
            continue
        key = f"{folder}/{stem}" if folder else stem
        if key != last and group:
            yield last, start, group
            group = {}
        if not group:
            start = member.offset
        last = key
        group[f".{suffix.lower()}"] = member
    if group:
        yield last, start, group


def row_of(
    path: Path, key: str, members: dict[str, tarfile.TarInfo], file: IO[bytes] | Window, start: int = 0
) -> RawRow:
    """The row of some members.

    Args:
        path: The archive.
        key: The name of the members.
        members: The members by their suffixes.
        file: The archive, or the part of it that they are in.
        start: Where that part begins, bytes.
    """
    origin = f"{path.name}/{key}"
    try:
        return RawRow(origin, _values(path, members, file, start), path.parent)
    except BadRow as error:
        return RawRow(origin, error, path.parent)


def _values(path: Path, members: dict[str, tarfile.TarInfo], file: IO[bytes] | Window, start: int) -> dict[str, Any]:
    values: dict[str, Any] = {}
    images = [
        TarImage(path, member.name, start + member.offset_data, member.size)
        for suffix, member in members.items()
        if suffix.endswith(IMAGES)
    ]
    texts = {s: _text(members[s], file) for s in members if s in (".json", ".cls", *_TEXTS)}
    if ".json" in texts:
        values = _object(texts[".json"])
    if images:
        values = {name: value for name, value in values.items() if spelled(name) not in IMAGE}
        values["image"] = images
    caption = next((texts[suffix] for suffix in _TEXTS if suffix in texts), "")
    if caption:
        values = {name: value for name, value in values.items() if spelled(name) not in CAPTION}
        values["captions"] = [line for line in caption.splitlines() if line.strip()]
    if ".cls" in texts:
        values["label"] = texts[".cls"].strip()
    return values


def _object(text: str) -> dict[str, Any]:
    try:
        value = loads(text)
    except (ValueError, RecursionError):
        raise BadRow("has a .json that is not JSON", "write it again") from None
    if isinstance(value, BadRow):
        raise value
    if not isinstance(value, dict):
        raise BadRow("has a .json that is not an object", "write {...}")
    return value


def _text(member: tarfile.TarInfo, file: IO[bytes] | Window) -> str:
    if member.size > _MOST:
        raise BadRow(f"has a text of {member.size:,} bytes", "shorten it")
    file.seek(member.offset_data)
    try:
        return str(file.read(member.size), "utf-8-sig")
    except UnicodeDecodeError:
        raise BadRow(f"{member.name} is not UTF-8 text", "save it as UTF-8") from None
