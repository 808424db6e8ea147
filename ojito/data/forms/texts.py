"""Images with a text file of the same name beside each, one caption a line, in a folder and in those below it.

cats/a.jpg  cats/a.txt        a folder called train, val or test is a split
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ojito.data.files import is_image, listed
from ojito.data.forms.form import Form, Place, Reading
from ojito.data.indexed.names import ROW_BYTES, NamesTable
from ojito.data.keys import BadRow
from ojito.data.rows import RawRow
from ojito.data.splits import split_in
from ojito.records import Progress


def read(place: Place) -> Reading | None:
    """Read a folder in which, or below which, an image has its text."""
    if not place.is_folder or not any(_pairs(files) for _, files in walk(place.path)):
        return None
    notes: list[str] = []
    rows, tables = partial(_rows, place.path, notes), partial(_tables, place.path, notes)
    return Reading("images with texts", rows, notes, tables, lambda: ROW_BYTES * _count(place.path))


FORM = Form("images with texts", read)


def walk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """A folder and those below it, each with the names of its files, in order; hidden ones are left out."""
    for path, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        yield Path(path), sorted(name for name in files if not name.startswith("."))


def split_of(folder: Path, root: Path) -> str:
    """The split that a folder below the root belongs to, by its name or by that of one between them."""
    named = [split_in(part) for part in folder.relative_to(root).parts]
    return next((name for name in named if name), "")


def _pairs(files: list[str]) -> bool:
    texts = {name[:-4] for name in files if name.lower().endswith(".txt")}
    return bool(texts) and any(is_image(name) and os.path.splitext(name)[0] in texts for name in files)


def _rows(root: Path, notes: list[str]) -> Iterator[RawRow]:
    for folder, names, split, _ in _folders(root, notes):
        for name in names:
            yield _row(root, folder, name, split)


def _tables(root: Path, notes: list[str], progress: Progress) -> list[NamesTable]:
    table = NamesTable(root, _row)
    for number, (folder, names, split, alone) in enumerate(_folders(root, notes), 1):
        table.add(folder, names, split, alone)
        progress(number, number + 1)  # nobody knows how many more there are
    return [table.finish()]


def _count(root: Path) -> int:
    return sum(is_image(name) for _, files in walk(root) for name in files)


def _folders(root: Path, notes: list[str]) -> Iterator[tuple[Path, list[str], str, list[str]]]:
    """Yield the folders in which images have texts: the images, their split, and the images that have no text."""
    lonely: list[str] = []
    for folder, files in walk(root):
        images = [name for name in files if is_image(name)]
        texts = {os.path.splitext(name)[0]: name for name in files if name.lower().endswith(".txt")}
        at = "" if folder == root else f"{folder.relative_to(root).as_posix()}/"
        if images and not _pairs(files):
            notes.append(f"{at or root} was passed over: none of its {len(images):,} images has a text")
            continue
        stems = {os.path.splitext(name)[0] for name in images}
        lonely += [at + name for stem, name in texts.items() if stem not in stems]
        alone = [name for name in images if os.path.splitext(name)[0] not in texts]
        if images:
            yield folder, images, split_of(folder, root), alone
    if lonely:
        notes.append(f"text files that belong to no image: {listed(lonely, 3)}")


def _row(root: Path, folder: Path, name: str, split: str) -> RawRow:
    at = "" if folder == root else f"{folder.relative_to(root).as_posix()}/"
    stem = os.path.splitext(name)[0]
    text = _text_beside(folder, stem)
    if not text:
        return RawRow(at + name, BadRow("has no caption", f"write {stem}.txt, one caption a line"), folder)
    try:
        with open(f"{folder}{os.sep}{text}", encoding="utf-8-sig") as file:  # no `Path` for each of them
            lines = file.read().splitlines()
    except UnicodeDecodeError:
        return RawRow(at + text, BadRow("is not UTF-8 text", "save it as UTF-8"), folder)
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
        return RawRow(at + text, BadRow(problem, "allow it (chmod +r)"), folder)
    captions = [line for line in lines if line.strip()]
    return RawRow(at + text, {"image": name, "captions": captions, "split": split}, folder)


def _text_beside(folder: Path, stem: str) -> str:
    """The name of the text of an image; "" if it has none."""
    usual = f"{stem}.txt"
    if os.path.isfile(f"{folder}{os.sep}{usual}"):
        return usual
    return next((name for name in (f"{stem}.TXT", f"{stem}.Txt") if os.path.isfile(f"{folder}{os.sep}{name}")), "")
