"""Files that may hold rows: which suffixes are looked at, their text, and the error for what cannot be used."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ojito.errors import OjitoError

IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp")
_OTHERS = (".jfif", ".jpe", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jxl", ".jp2")
LISTS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt", ".parquet", ".tar")
"""Suffixes of files that are looked into for rows."""

SEE = "see docs/data.md"
"""Where a remedy sends those whose data are in no form that is read."""

_SHOWN = 12  # names that a message lists


class DataError(OjitoError):
    """Data that cannot be used; `where` is the file and line."""


def is_image(name: str) -> bool:
    """Whether a file's name is that of an image, and not of a hidden file such as a Mac's `._a.jpg`.

    Images of forms that are not read are among them: they are named when they are opened, and not passed over.
    """
    return name.lower().endswith((*IMAGES, *_OTHERS)) and not name.startswith(".")


def read_text(file: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 with its mark, as Excel writes "Unicode text".

    Raises:
        DataError: It is in another encoding.
    """
    content = file.read_bytes()
    try:
        utf16 = content[:2] in (b"\xff\xfe", b"\xfe\xff")
        return content.decode("utf-16") if utf16 else content.decode("utf-8-sig")
    except UnicodeDecodeError:
        what = "CSV UTF-8" if file.suffix.lower() == ".csv" else "UTF-8"
        raise DataError(file.name, "is not UTF-8 text", f"save it as {what}") from None


def listed(names: Iterable[str], most: int = _SHOWN) -> str:
    """Names for a message: "a, b, c and 4 more"."""
    every = [*names]
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more or "(none)"
