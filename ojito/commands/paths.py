"""Where commands read and write: looked at before the time that a model takes, not after it."""

from __future__ import annotations

from pathlib import Path

from ojito.checkpoint.saving import holds_model
from ojito.data import read_source

BUILT_IN = ("scenes", "photos16")
LISTS = (".jsonl", ".csv")


def check_place(out: Path, force: bool) -> None:
    """Whether a model may be put there.

    Raises:
        ValueError: A file is in its way; or another model is there, and is not to be replaced.
    """
    there = next((path for path in (out, *out.parents) if path.exists()), out)
    if there.exists() and not there.is_dir():
        what = "is a file" if there == out else f"is in {there}, which is a file"
        raise ValueError(f"--out {out} {what}; give a folder")
    if holds_model(out) and not force:
        raise ValueError(f"--out {out} holds a model already; choose another folder, or replace it with --force")


def check_data(data: str) -> None:
    """Whether rows can be there. What is in them, only reading them will tell.

    Raises:
        DataError: Nothing is there, or a file of another kind.
    """
    path = Path(data)
    if data in BUILT_IN or path.is_dir() or (path.is_file() and path.suffix.lower() in LISTS):
        return
    read_source(path)  # which says what is wrong
