"""Paths that commands read and write, checked before the time that a model takes."""

from __future__ import annotations

from pathlib import Path

from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.saving import check_room, holds_model
from ojito.data import BUILT_IN, check_address
from ojito.data.forms import open_form
from ojito.errors import UsageError


def check_place(out: Path, force: bool) -> None:
    """Check that a model may be written there.

    Raises:
        UsageError: A file is in the way, another model is there and must not be replaced, or nothing can be written.
    """
    there = next((path for path in (out, *out.parents) if path.exists()), out)
    if there.exists() and not there.is_dir():
        what = "is a file" if there == out else f"is in {there}, which is a file"
        raise UsageError(f"--out {out}", what, "give a folder")
    if holds_model(out) and not force:
        raise UsageError(f"--out {out}", "holds a model already", "choose another folder, or replace it with --force")
    try:
        check_room(out)
    except CheckpointError as error:
        raise UsageError(f"--out {out}", error.problem, error.remedy) from error


def check_data(data: str) -> None:
    """Check that there is something to read, without reading the rows.

    Raises:
        DataError: Nothing is there, or in no form that is read.
    """
    if data not in BUILT_IN:
        check_address(data)
        open_form(Path(data))  # raises with what is wrong


def check_page(flag: str, out: str) -> None:
    """Check that a web page can be written there, before the time that its contents take.

    Raises:
        UsageError: It is a folder, or in something that is no folder.
    """
    path = Path(out)
    if path.is_dir():
        raise UsageError(f"{flag} {out}", "is a folder", f"give a file, such as {path / 'page.html'}")
    there = next((parent for parent in path.parents if parent.exists()), None)
    if there is not None and not there.is_dir():
        raise UsageError(f"{flag} {out}", f"is in {there}, which is a file", "give another name")
