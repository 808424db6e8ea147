"""WebDataset: tar archives whose members of one name are a row, read in place.

0001.jpg  0001.txt   0002.jpg  0002.json   0003.png  0003.cls
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from ojito.data.files import DataError
from ojito.data.forms.form import Form, Place, Reading
from ojito.data.indexed.facts import Facts, facts_of
from ojito.data.indexed.index import Index, IndexBuilder
from ojito.data.indexed.opening import index_of
from ojito.data.indexed.stored import StoredFile, Window
from ojito.data.indexed.tables import Table
from ojito.data.keys import BadRow
from ojito.data.rows import RawRow
from ojito.data.tar_rows import BLOCK, groups, members_of, row_of
from ojito.records import Progress

FORM_NAME = "WebDataset"

_PACKED = {b"\x1f\x8b": "gzip", b"BZ": "bzip2", b"\xfd7": "xz", b"\x28\xb5": "zstd"}
_OF_TEXT = 64  # one byte of so many is text, about, and the others are images
_TELL_EVERY = 1 << 12  # rows


def read(place: Place) -> Reading | None:
    """Read an archive that is called .tar, or is one."""
    if place.is_folder or not (".tar" in place.path.suffixes[-2:] or place.suffix == ".tgz"):
        return None
    return Reading(
        FORM_NAME, lambda: _rows(place), tables=partial(_tables, place), size=lambda: place.bytes // _OF_TEXT
    )


FORM = Form(FORM_NAME, read)


class TarTable(Table):
    """Rows of an archive, each read where it stands.

    Args:
        file: The archive.
        index: Where its rows stand.
    """

    def __init__(self, file: StoredFile, index: Index) -> None:
        super().__init__(file.path.name, index)
        self._file = file

    def read(self, number: int) -> RawRow:
        """Return the row of this number. As for `Table`."""
        start, end = map(int, self.index.starts[number : number + 2])
        window = Window(self._file, start, end)
        path = self._file.path
        try:
            with tarfile.open(fileobj=window, mode="r:") as archive:
                for key, _, members in groups(archive):
                    return row_of(path, key, members, window, start)
        except tarfile.TarError:
            pass
        origin = f"{path.name} row {number + 1}"
        return RawRow(origin, BadRow("is damaged", "write the archive again"), path.parent)


def _tables(place: Place, progress: Progress) -> list[TarTable]:
    _check_plain(place)
    file = StoredFile.of(place.path)
    return [TarTable(file, index_of(file, FORM_NAME, _scan, progress))]


def _scan(file: StoredFile, progress: Progress) -> Index:
    builder = IndexBuilder(file.path.name)
    end = 0
    with file.path.open("rb") as content:
        for key, start, members in members_of(file.path):
            builder.add(start, _facts(row_of(file.path, key, members, content).values))
            end = max(member.offset_data + -(-member.size // BLOCK) * BLOCK for member in members.values())
            if len(builder) % _TELL_EVERY == 0:
                progress(end, file.size)
    return builder.build(end)


def _facts(values: Mapping[str, Any] | BadRow) -> Facts | None:
    """What an index says of a row; its images have no names to know them by, and each row is taken to have its own."""
    if isinstance(values, BadRow):
        return None
    found = facts_of({**values, "image": "in the archive"} if "image" in values else values)
    return found and found._replace(images=())


def _check_plain(place: Place) -> None:
    packed = _PACKED.get(place.head[:2])
    if packed:
        raise DataError(place.path, f"is packed by {packed}, and images are read in place", "unpack it to a plain .tar")


def _rows(place: Place) -> Iterator[RawRow]:
    _check_plain(place)
    with place.path.open("rb") as file:
        for key, _, members in members_of(place.path):
            yield row_of(place.path, key, members, file)
