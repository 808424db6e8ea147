"""WebDataset: tar archives whose members of one name are a row, read in place.

0001.jpg  0001.txt   0002.jpg  0002.json   0003.png  0003.cls
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ojito.data.files import IMAGES, DataError
from ojito.data.forms.form import Form, Place, Reading
from ojito.data.forms.json_text import loads
from ojito.data.keys import CAPTION, IMAGE, BadRow, spelled
from ojito.data.rows import RawRow
from ojito.records import StoredImage

_PACKED = {b"\x1f\x8b": "gzip", b"BZ": "bzip2", b"\xfd7": "xz", b"\x28\xb5": "zstd"}
_TEXTS = (".txt", ".caption", ".text")
_MOST = 16 << 20  # bytes of a member that holds text


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


def read(place: Place) -> Reading | None:
    """Read an archive that is called .tar, or is one."""
    if place.is_folder or not (".tar" in place.path.suffixes[-2:] or place.suffix == ".tgz"):
        return None
    return Reading("WebDataset", lambda: _rows(place))


FORM = Form("WebDataset", read)


def _rows(place: Place) -> Iterator[RawRow]:
    packed = _PACKED.get(place.head[:2])
    if packed:
        raise DataError(place.path, f"is packed by {packed}, and images are read in place", "unpack it to a plain .tar")
    group: dict[str, tarfile.TarInfo] = {}
    last = ""
    try:
        with tarfile.open(place.path, "r:") as archive, place.path.open("rb") as file:
            for member in archive:
                folder, _, name = member.name.rpartition("/")
                stem, _, suffix = name.partition(".")
                if not member.isreg() or name.startswith("."):
                    continue
                key = f"{folder}/{stem}" if folder else stem
                if key != last and group:
                    yield _row(place.path, last, group, file)
                    group = {}
                last = key
                group[f".{suffix.lower()}"] = member
            if group:
                yield _row(place.path, last, group, file)
    except (tarfile.TarError, OSError) as error:
        raise DataError(place.path, f"cannot be read as a tar archive ({error})", "write it again") from None


def _row(path: Path, key: str, members: dict[str, tarfile.TarInfo], file: Any) -> RawRow:
    origin = f"{path.name}/{key}"
    try:
        return RawRow(origin, _values(path, members, file), path.parent)
    except BadRow as error:
        return RawRow(origin, error, path.parent)


def _values(path: Path, members: dict[str, tarfile.TarInfo], file: Any) -> dict[str, Any]:
    values: dict[str, Any] = {}
    images = [
        TarImage(path, member.name, member.offset_data, member.size)
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


def _text(member: tarfile.TarInfo, file: Any) -> str:
    if member.size > _MOST:
        raise BadRow(f"has a text of {member.size:,} bytes", "shorten it")
    file.seek(member.offset_data)
    try:
        return str(file.read(member.size), "utf-8-sig")
    except UnicodeDecodeError:
        raise BadRow(f"{member.name} is not UTF-8 text", "save it as UTF-8") from None
