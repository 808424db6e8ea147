"""A folder for each class, the name of which is the answer to "what is it?".

cat/1.jpg  cat/2.jpg  golden_retriever/1.jpg        or below train/ and val/
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ojito.data.files import is_image
from ojito.data.finder import Listing
from ojito.data.forms.form import Form, Place, Reading
from ojito.data.forms.texts import walk
from ojito.data.indexed.names import ROW_BYTES, NamesTable
from ojito.data.rows import RawRow
from ojito.data.splits import split_in
from ojito.records import Progress


def read(place: Place) -> Reading | None:
    """Read a folder of two folders of images or more, maybe below folders for splits."""
    if not place.is_folder:
        return None
    classes = [*_classes(place.path)]
    names = {folder.name for folder, _ in classes}
    if len(names) < 2 or all(map(split_in, names)):  # train2014/ and val2014/ are no classes; a train beside a bus is
        return None
    notes = []
    above = sum(map(is_image, place.listing.files))
    if above:
        notes.append(f"{above:,} images beside the folders of the classes were passed over")
    rows, tables = partial(_rows, place.path, classes), partial(_tables, place.path, classes)
    return Reading("class folders", rows, notes, tables, lambda: ROW_BYTES * _count(classes))


FORM = Form("class folders", read)


def _classes(root: Path) -> Iterator[tuple[Path, str]]:
    """The folder of every class, with its split."""
    names = sorted(name for name in Listing(str(root)).folders if not name.startswith("."))
    splits = [name for name in names if split_in(name) and Listing(str(root / name)).folders]
    if splits:
        for split in splits:
            below = sorted(name for name in Listing(str(root / split)).folders if not name.startswith("."))
            yield from ((root / split / name, split_in(split)) for name in below if _has_images(root / split / name))
    else:
        yield from ((root / name, "") for name in names if _has_images(root / name))


def _has_images(folder: Path) -> bool:
    return any(is_image(name) for _, files in walk(folder) for name in files)


def _rows(root: Path, classes: list[tuple[Path, str]]) -> Iterator[RawRow]:
    for folder, split in classes:
        for below, files in walk(folder):
            for name in filter(is_image, files):
                yield _row(folder.name, root, below, name, split)


def _tables(root: Path, classes: list[tuple[Path, str]], progress: Progress) -> list[NamesTable]:
    tables = []
    for number, (folder, split) in enumerate(classes, 1):
        table = NamesTable(root, partial(_row, folder.name))
        for below, files in walk(folder):
            table.add(below, [*filter(is_image, files)], split)
        tables.append(table.finish())
        progress(number, len(classes))
    return tables


def _count(classes: list[tuple[Path, str]]) -> int:
    return sum(is_image(name) for folder, _ in classes for _, files in walk(folder) for name in files)


def _row(label: str, root: Path, folder: Path, name: str, split: str) -> RawRow:
    origin = (folder / name).relative_to(root).as_posix()
    return RawRow(origin, {"image": name, "label": label.replace("_", " ").strip(), "split": split}, folder)
