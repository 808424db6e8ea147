"""Images with a text file of the same name beside each, one caption a line, in a folder and in those below it.

cats/a.jpg  cats/a.txt        a folder called train, val or test is a split
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ojito.data.files import is_image, listed
from ojito.data.forms.form import Form, Place, Reading
from ojito.data.keys import BadRow
from ojito.data.rows import RawRow
from ojito.data.splits import split_in


def read(place: Place) -> Reading | None:
    """Read a folder in which, or below which, an image has its text."""
    if not place.is_folder or not any(_pairs(files) for _, files in walk(place.path)):
        return None
    notes: list[str] = []
    return Reading("images with texts", lambda: _rows(place.path, notes), notes)


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
        split = split_of(folder, root)
        for name in images:
            stem = os.path.splitext(name)[0]
            if stem not in texts:
                yield RawRow(at + name, BadRow("has no caption", f"write {stem}.txt, one caption a line"), folder)
                continue
            try:
                with open(f"{folder}{os.sep}{texts[stem]}", encoding="utf-8-sig") as file:  # no `Path` for each of them
                    lines = file.read().splitlines()
            except UnicodeDecodeError:
                yield RawRow(at + texts[stem], BadRow("is not UTF-8 text", "save it as UTF-8"), folder)
                continue
            except OSError as error:
                problem = f"cannot be read ({error.strerror})"
                yield RawRow(at + texts[stem], BadRow(problem, "allow it (chmod +r)"), folder)
                continue
            captions = [line for line in lines if line.strip()]
            yield RawRow(at + texts[stem], {"image": name, "captions": captions, "split": split}, folder)
    if lonely:
        notes.append(f"text files that belong to no image: {listed(lonely, 3)}")
