"""Forms that data come in: a file each, one interface, chosen by what a file or folder holds.

`FORMS` is the registry; the first form that recognizes a place reads it. A form yields rows as mappings of keys to
values, which `data/rows.py` turns into samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ojito.data.files import SEE, DataError, is_image, listed
from ojito.data.forms import (
    class_folders,
    coco,
    folders,
    json_rows,
    karpathy,
    parquet,
    tables,
    texts,
    vqa,
    webdataset,
)
from ojito.data.forms.form import Form, Place, Reading
from ojito.data.forms.patterns import expanded
from ojito.data.forms.texts import walk
from ojito.errors import nearest

__all__ = ["FORMS", "Form", "Place", "Reading", "open_form"]

FILES = (
    json_rows.LINES,
    json_rows.ARRAY,
    karpathy.FORM,
    coco.CAPTIONS,
    coco.BOXES,
    vqa.FORM,
    tables.FORM,
    parquet.FORM,
    webdataset.FORM,
)
"""Forms of a file, in the order in which they are tried."""


def _read_file(place: Place) -> Reading | None:
    return next((reading for form in FILES for reading in [form.read(place)] if reading), None)


FORMS = (
    *FILES,
    folders.imagefolder(_read_file),
    folders.lists(_read_file),
    texts.FORM,
    class_folders.FORM,
)
"""All forms."""


def open_form(path: Path) -> Reading:
    """Recognize the form of a file or folder; its rows are not read yet.

    Args:
        path: The file or folder, or a pattern of several: `train-{000000..000099}.tar`, `*.parquet`.

    Raises:
        DataError: It is not there, is in no form that is read, or holds several lists; or some files of a pattern are
            not there.
    """
    several = expanded(path)
    if several:
        return folders.joined_files([Place(file) for file in several], _read_file)
    if not path.exists():
        built_in = "check the path, or use scenes or photos16, which are built in"
        raise DataError(path, "does not exist", nearest(path.name, [p.name for p in path.parent.glob("*")], built_in))
    place = Place(path)
    for form in FORMS:
        reading = form.read(place)
        if reading is not None:
            return reading
    raise _unknown(place)


def _unknown(place: Place) -> DataError:
    """The error for what has no form: says what is there, and what is read."""
    problem, remedy = _folder(place) if place.is_folder else _file(place)
    names = ", ".join(form.name for form in FORMS)
    return DataError(place.path, problem, f"{remedy}; read are {names} ({SEE})")


def _folder(place: Place) -> tuple[str, str]:
    """What is wrong with a folder of no form, and what to do."""
    images = [name for _, names in walk(place.path) for name in names if is_image(name)]
    if images:
        problem = f"holds {len(images):,} images, {listed(images, 3)}, and nothing that says what they show"
        return problem, "add a captions.csv, or a .txt beside each"
    names = [*sorted(place.listing.files), *(f"{name}/" for name in sorted(place.listing.folders))]
    problem = "is empty" if not names else f"holds nothing that is read, but {listed(names)}"
    return problem, "give a folder with a list of rows, or with images and their texts"


def _file(place: Place) -> tuple[str, str]:
    """What is wrong with a file of no form, and what to do."""
    if place.suffix == ".json":
        return _json(place), "give an array of objects with image and caption"
    if place.suffix in (".tsv", ".txt"):
        return (
            f"begins with {place.first_line[:80]!r}, which is no table",
            "name its columns in the first line",
        )
    return "is no list of rows", "give one"


def _json(place: Place) -> str:
    value: Any = place.value
    if value is None:
        return "is not JSON" if place.head.strip() else "is empty"
    if isinstance(value, Mapping):
        return f"is an object with the keys {listed(map(str, value))}, which is no form that is read"
    return "holds no objects"
