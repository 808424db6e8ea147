"""Shards: a folder of tar archives in WebDataset's layout, and a file that lists them.

train-000000.tar  train-000000.tar.index  ...  shards.json
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ojito.data.files import DataError

LISTING = "shards.json"
"""The file that says which shards there are."""


@dataclass(frozen=True)
class Shard:
    """One archive.

    Attributes:
        file: Its name.
        split: The split of its rows; "" where the data name none.
        rows: Their number.
        bytes: Its size.
        sha256: Its SHA-256, in hexadecimal.
    """

    file: str
    split: str
    rows: int
    bytes: int
    sha256: str


def listed_shards(folder: Path) -> list[tuple[Path, str]]:
    """Return the shards that a folder's listing names, each with its split; nothing, where there is no listing.

    Raises:
        DataError: One is missing, or is of another size.
    """
    shards = read_listing(folder)
    for shard in shards:
        file = folder / str(shard["file"])
        if not file.is_file():
            raise DataError(file, f"is not there, and {LISTING} names it", "copy it again")
        if file.stat().st_size != shard["bytes"]:
            problem = f"has {file.stat().st_size:,} bytes, and {LISTING} says {shard['bytes']:,}"
            raise DataError(file, problem, "copy it again")
    return [(folder / shard["file"], str(shard.get("split", ""))) for shard in shards]


def read_listing(folder: Path) -> list[dict[str, Any]]:
    """Return what a folder's listing says of each shard; nothing, where there is no listing.

    Raises:
        DataError: It cannot be read.
    """
    try:
        listing = json.loads((folder / LISTING).read_text(encoding="utf-8"))
        if not isinstance(listing, dict) or listing.get("form") != "WebDataset":
            return []  # another tool's
        found = listing["shards"]
        good = all(
            isinstance(s["file"], str) and Path(s["file"]).name == s["file"] and isinstance(s["bytes"], int)
            for s in found
        )
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError):
        good = False
    if not good:
        raise DataError(
            folder / LISTING, "does not list shards as `ojito pack-data` does", "delete it, or write it again"
        )
    return list(found)
