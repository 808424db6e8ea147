"""Errors of Ojito: where, what is wrong, and what to do about it, as fields of one class."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

_HALF = 1000  # characters kept at either end of a long message


class OjitoError(ValueError):
    """An input that cannot be used. `str(error)` is one line, "where: problem; remedy", and its details below.

    Attributes:
        where: The file, row, setting or argument that is wrong; may be empty.
        problem: What is wrong with it.
        remedy: What to do about it.
        details: Lines of evidence, such as the first bad rows.
        exit_code: With which a command ends.
    """

    exit_code = 2

    def __init__(self, where: object, problem: str = "", remedy: str = "", details: Sequence[str] = ()) -> None:
        self.where, self.problem, self.remedy, self.details = str(where), problem, remedy, tuple(details)
        says = "; ".join(part for part in (problem, remedy) if part)
        line = ": ".join(part for part in (self.where, says) if part)
        super().__init__("\n  ".join(map(one_line, (line, *self.details))))

    def __reduce__(self) -> tuple[type[OjitoError], tuple[Any, ...]]:
        # Loader workers send errors home, and by default an exception pickles its message alone.
        return type(self), (self.where, self.problem, self.remedy, self.details)


class ConfigError(OjitoError):
    """A setting that cannot be used; `where` is its dotted key."""


class UsageError(OjitoError):
    """A command line that cannot be followed; `where` is the command or the argument."""


def one_line(text: str) -> str:
    """The text on one printable line, with its middle left out if it is long: messages quote any input."""
    if len(text) > 2 * _HALF:
        text = f"{text[:_HALF]} ... {text[-_HALF:]}"
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def nearest_name(word: str, known: Iterable[str]) -> str:
    """Return the known name nearest to a misspelled one; empty if none is near."""
    return next(iter(difflib.get_close_matches(word, [*known], 1)), "")


def nearest(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return a remedy for a misspelled name: "did you mean X?", or what else to do.

    Args:
        word: What was written.
        known: The names that there are.
        otherwise: The remedy when none is near; by default the list of all of them.
    """
    names = [*known]
    close = nearest_name(word, names)
    return f"did you mean {close}?" if close else otherwise or f"choose from {', '.join(names)}"
