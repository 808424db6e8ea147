"""Folders of files with rows: Hugging Face's imagefolder, `captions.csv`, files for splits, shards, COCO's annotations.

metadata.csv  1.jpg  2.jpg              also in train/ and test/, each with a metadata file of its own
train.jsonl  val.jsonl                  a file for each split
train-00000-of-00002.parquet  ...       shards of one split, also in data/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from ojito.data.files import LISTS, SEE, DataError, is_image, listed
from ojito.data.finder import Listing
from ojito.data.forms.form import Form, Place, Reading
from ojito.data.forms.tables import names_its_columns
from ojito.data.indexed.tables import Table
from ojito.data.rows import RawRow, with_split
from ojito.data.shards import LISTING, listed_shards
from ojito.data.splits import split_in
from ojito.records import Progress

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
OWN = ("metrics.jsonl", "predictions.jsonl", LISTING)
"""Files that Ojito itself writes, and that may lie in a folder of data."""

_BELOW = ("annotations", "data", "captions", "metadata")  # folders that keep the lists of the one above
_SURELY = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".tar")
"""Suffixes of lists; a .txt or a .json may be anything."""

_LOOSE = 100  # files of the other suffixes that are looked into; a folder of more is no folder of lists
_SHARD = re.compile(r"[-_.]?\d+(-of-\d+)?(?=\.|$)")

ReadFile = Callable[[Place], "Reading | None"]
"""Reads a file of whatever form."""


def imagefolder(read_file: ReadFile) -> Form:
    """The form of folders with a metadata file, on top or in a folder for each split."""

    def read(place: Place) -> Reading | None:
        if not place.is_folder:
            return None
        above = [Place(place.path / name) for name in METADATA if name in place.listing.files]
        if above:
            return _joined("imagefolder", [(file, "") for file in above[:1]], read_file)
        below = [
            (Place(place.path / folder / name), split_in(folder))
            for folder in sorted(place.listing.folders)
            for name in METADATA
            if name in Listing(str(place.path / folder)).files
        ]
        return _joined("imagefolder", below, read_file) if below else None

    return Form("imagefolder", read)


def lists(read_file: ReadFile) -> Form:
    """The form of folders with a file of rows, or with several that belong together."""

    def read(place: Place) -> Reading | None:
        if not place.is_folder:
            return None
        for folder in (place.path, *(place.path / name for name in _BELOW if name in place.listing.folders)):
            found = _lists_in(folder, read_file)
            if found is not None:
                return found
        return None

    return Form("folder with a list", read)


def joined_files(files: Sequence[Place], read_file: ReadFile) -> Reading:
    """The reading of files that belong together, each of the split that its name tells.

    Raises:
        DataError: One of them is in no form that is read.
    """
    readings = []
    for file in files:
        reading = read_file(file)
        if reading is None:
            raise DataError(file.path, "is no list of rows", SEE)
        readings.append((reading, split_in(file.path.stem) if len(files) > 1 else ""))
    return _together("", readings)


def _lists_in(folder: Path, read_file: ReadFile) -> Reading | None:
    shards = listed_shards(folder)
    if shards:
        return _joined("", [(Place(file), split) for file, split in shards], read_file)
    files = [Place(folder / name) for name in _candidates(Listing(str(folder)).files)]
    found = {file.path.name: (file, reading) for file in files for reading in [read_file(file)] if reading}
    # Another table than one of rows is read only if it is alone, and then says which columns it lacks.
    whole = {name: of for name, of in found.items() if of[0].suffix != ".csv" or names_its_columns(of[0])}
    found = whole or found
    forms = {reading.form for _, reading in found.values()}
    if forms == {"VQA v2"}:  # each pair of files was recognized twice
        found = {name: of for name, of in found.items() if "annotations" not in name.lower()} or found
    if not found:
        return None
    parts = [(file, split_in(file.path.stem) if len(found) > 1 else "") for file, _ in found.values()]
    apart = all(split for _, split in parts) and len({split for _, split in parts}) == len(parts)
    if len(found) > 1 and not apart and not (len(forms) == 1 and _are_shards([*found])):
        raise DataError(folder, f"holds {len(found)} lists, {listed(found)}", "give the path of one")
    return _joined("", parts, read_file)


def _candidates(names: set[str]) -> list[str]:
    """The files of a folder that may hold rows: what lies beside an image of the same name is about that image."""
    if "captions.csv" in names:
        return ["captions.csv"]
    images = {name.rpartition(".")[0] for name in names if is_image(name)}
    found = sorted(n for n in names if n.lower().endswith(LISTS) and not n.startswith(".") and n not in OWN)
    found = [n for n in found if n.rpartition(".")[0] not in images or n.lower().endswith(_SURELY)]
    loose = [n for n in found if not n.lower().endswith(_SURELY)]
    return [n for n in found if n.lower().endswith(_SURELY)] if len(loose) > _LOOSE else found


def _are_shards(names: Sequence[str]) -> bool:
    """Whether all files are numbered parts, of one list or of a list for each split."""
    kinds = {_SHARD.sub("", name) for name in names}
    return all(_SHARD.search(name) for name in names) and (len(kinds) == 1 or all(map(split_in, kinds)))


def _joined(name: str, parts: Sequence[tuple[Place, str]], read_file: ReadFile) -> Reading | None:
    """The rows of several files, each of a split; a row that names its own keeps it."""
    readings = [(reading, split) for place, split in parts for reading in [read_file(place)] if reading]
    return _together(name, readings) if readings else None


def _together(name: str, readings: Sequence[tuple[Reading, str]]) -> Reading:
    forms = " and ".join(dict.fromkeys(reading.form for reading, _ in readings))
    several = f" in {len(readings)} files" if len(readings) > 1 else ""
    notes = [note for reading, _ in readings for note in reading.notes]

    def rows() -> Iterator[RawRow]:
        for reading, split in readings:
            for row in reading.rows():
                yield with_split(row, split) if split else row

    def tables(progress: Progress) -> list[Table]:
        found: list[Table] = []
        sizes = [reading.size() for reading, _ in readings]
        for number, (reading, split) in enumerate(readings):
            told = partial(_tell, progress, sum(sizes[:number]), sum(sizes))
            for table in reading.tables(told) if reading.tables else ():
                table.split = split or table.split
                found.append(table)
        return found

    return Reading(
        f"{name} ({forms}){several}" if name else forms + several,
        rows,
        notes,
        tables if all(reading.tables for reading, _ in readings) else None,
        lambda: sum(reading.size() for reading, _ in readings),
    )


def _tell(progress: Progress, before: int, whole: int, done: int, _: int) -> None:
    """Show the progress in one of several files."""
    progress(before + done, whole)
