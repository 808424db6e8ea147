"""A course: lessons in their order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ojito.errors import OjitoError, nearest
from ojito.learn.lesson import FILES, Lesson, title_of

ORDER = "course.txt"
"""File that names a course's lessons, one a line; # begins a comment."""

_NUMBER = re.compile(r"(\d+)_")

OWN = Path(__file__).parent / "course"
"""Ojito's own course."""


@dataclass(frozen=True)
class Course:
    """A folder of lessons.

    Attributes:
        folder: With `course.txt` and a folder for each lesson.
        names: Of the lessons, in their order.
    """

    folder: Path
    names: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path = OWN) -> Course:
        """Read which lessons a folder has.

        Raises:
            OjitoError: It has no `course.txt`, or a lesson lacks its folder or a file.
        """
        order = folder / ORDER
        if not order.is_file():
            raise OjitoError(folder, f"has no {ORDER}", "give a folder whose course.txt names its lessons")
        lines = [line.partition("#")[0].strip() for line in order.read_text(encoding="utf-8").splitlines()]
        names = tuple(line for line in lines if line)
        if not names:
            raise OjitoError(order, "names no lesson", "write the name of a lesson's folder into each line")
        for name in names:
            for file in FILES:
                if not (folder / name / file).is_file():
                    raise OjitoError(folder / name, f"has no {file}", f"a lesson has {', '.join(FILES)}")
        return cls(folder, names)

    def title(self, name: str) -> str:
        """The first heading of a lesson's page."""
        return title_of(self.folder / name)

    def heading(self, name: str) -> str:
        """A lesson's title, with its number among those that have one: "10/15 Masks"."""
        number = _NUMBER.match(name)
        if number is None:
            return self.title(name)
        return f"{int(number[1])}/{sum(bool(_NUMBER.match(one)) for one in self.names)} {self.title(name)}"

    def lesson(self, name: str) -> Lesson:
        """Read a lesson.

        Raises:
            OjitoError: There is none of that name, or it cannot be read.
        """
        return Lesson.read(self.folder / self.find(name))

    def find(self, word: str) -> str:
        """Return the name of a lesson, given whole, by its number, by its first letters, or by others of it.

        Raises:
            OjitoError: There is none, or more than one.
        """
        number = f"{int(word):02d}_" if word.isdecimal() else word
        exact = [name for name in self.names if name == word]
        found = exact or [n for n in self.names if n.startswith(number)] or [n for n in self.names if number in n]
        if len(found) != 1:
            problem = "is no lesson" if not found else f"may be {' or '.join(found)}"
            raise OjitoError(word, problem, nearest(word, self.names))
        return found[0]
