"""What a case is, and the changes to a folder that it is made of: each is a function of the folder."""

import dataclasses
import json
import os

import pytest

from tests.hostile.good_folders import write


@dataclasses.dataclass(frozen=True)
class Case:
    """A change to a good folder.

    Attributes:
        kind: The good folder's.
        change: Does it.
        said: In the error, a pattern; "" where the folder loads as before, None where either will do.
    """

    kind: str
    change: object
    said: str | None


class Cases(dict):
    """The cases of a module, by their names."""

    def add(self, name, kinds, change, said):
        """A case of each of these kinds, or of this one."""
        for kind in [kinds] if isinstance(kinds, str) else kinds:
            assert f"{kind}: {name}" not in self
            self[f"{kind}: {name}"] = Case(kind, change, said)


def link(path, target):
    """A link, where such can be made; elsewhere the test is skipped."""
    try:
        path.symlink_to(target)
    except OSError:
        pytest.skip("links cannot be made here")


def outside(folder):
    """A place beside the folder."""
    place = folder.parent / "outside"
    place.mkdir(exist_ok=True)
    return place


def canary(folder):
    """A file that exists once code of the folder has run."""
    return folder.parent / "canary"


def replaced(name, values):
    """The file holds this instead: bytes, text, or what is written as JSON."""

    def change(folder):
        content = values(folder) if callable(values) else values
        content = content if isinstance(content, (bytes, str)) else json.dumps(content)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return change


def removed(*names):
    """Without these files."""

    def change(folder):
        for name in names:
            (folder / name).unlink()

    return change


def both(*changes):
    """One change after the other."""

    def change(folder):
        for one in changes:
            one(folder)

    return change


def edited(name, edit):
    """The file's JSON, after `edit` has changed it."""

    def change(folder):
        values = json.loads((folder / name).read_text())
        edit(values)
        write(folder / name, values)

    return change


def moved_out(name):
    """The file is a link to itself, which is outside now."""

    def change(folder):
        target = outside(folder) / name
        (folder / name).rename(target)
        link(folder / name, target)

    return change


def linked_to(name, target):
    """The file is a link to this."""
    return both(removed(name), lambda folder: link(folder / name, target))


def piped(name):
    """The file is a pipe into which nobody writes."""

    def change(folder):
        if not hasattr(os, "mkfifo"):
            pytest.skip("no pipes here")
        os.mkfifo(folder / name)

    return both(removed(name), change)


def sparse(name, size):
    """The file is of so many zeros, in bytes, and takes no place on the disk."""

    def change(folder):
        with (folder / name).open("wb") as file:
            file.truncate(size)

    return change


def unreadable(name):
    """The file may not be read, as far as this user can be kept from it."""

    def change(folder):
        (folder / name).chmod(0)
        if os.access(folder / name, os.R_OK):
            pytest.skip("this user may read everything")

    return change


def halved(name):
    """The file's first half."""

    def change(folder):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return change
