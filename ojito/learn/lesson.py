"""A lesson: a folder with its page, the exercise with gaps, its solution, and how they are checked."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

from ojito.errors import OjitoError, one_line
from ojito.learn.exercise import Exercise, Milestone, Question

PAGE, EXERCISE, SOLUTION, CHECK = "lesson.md", "exercise.py", "solution.py", "check.py"
FILES = (PAGE, EXERCISE, SOLUTION, CHECK)

MISTAKES = "mistakes.py"
"""The wrong solutions of a lesson's exercises, where they do not stand in its `check.py`."""

DIAGRAM = "diagram.py"
"""A program, where a lesson has one: what it prints stands on the page."""


class LessonError(OjitoError):
    """A lesson that is not complete, or cannot be read."""


@dataclass(frozen=True)
class Lesson:
    """A lesson, read from its folder.

    Attributes:
        folder: With lesson.md, exercise.py, solution.py and check.py.
        title: The first heading of its page.
        question: To be answered before anything is run.
        exercises: In the order in which they are to be solved.
        milestone: What its parts do together with those of other lessons; None for an ordinary lesson.
    """

    folder: Path
    title: str
    question: Question
    exercises: tuple[Exercise, ...]
    milestone: Milestone | None = None

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name

    @property
    def needs(self) -> Sequence[str]:
        """Lessons that a milestone is made of."""
        return () if self.milestone is None else self.milestone.needs

    @classmethod
    def read(cls, folder: Path) -> Lesson:
        """Read a lesson.

        Raises:
            LessonError: A file is missing, or `check.py` does not say what is needed.
        """
        for name in FILES:
            if not (folder / name).is_file():
                raise LessonError(folder, f"has no {name}", f"a lesson has {', '.join(FILES)}")
        check = load_module(folder / CHECK)
        exercises = _with_mistakes(folder, tuple(getattr(check, "EXERCISES", ())))
        question = getattr(check, "QUESTION", None)
        if not exercises or not isinstance(question, Question):
            raise LessonError(folder / CHECK, "has no EXERCISES or no QUESTION", "define both")
        return cls(folder, title_of(folder), question, exercises, getattr(check, "MILESTONE", None))


def _with_mistakes(folder: Path, exercises: tuple[Exercise, ...]) -> tuple[Exercise, ...]:
    """The exercises, with the mistakes of a file of their own where there is one.

    Raises:
        LessonError: It has none for an exercise, or some for one that is not there.
    """
    path = folder / MISTAKES
    if not path.is_file():
        return exercises
    mistakes = getattr(load_module(path), "MISTAKES", {})
    names = [exercise.name for exercise in exercises]
    if set(names) != set(mistakes):
        raise LessonError(path, f"has MISTAKES of {list(mistakes)}", f"name those of the exercises: {', '.join(names)}")
    return tuple(replace(exercise, mistakes=mistakes[exercise.name]) for exercise in exercises)


def title_of(folder: Path) -> str:
    """The first heading of a lesson's page; the folder's name where there is none."""
    found = re.search(r"^# +(.+)$", (folder / PAGE).read_text(encoding="utf-8"), re.M)
    return found[1].strip() if found else folder.name


def load_module(path: Path, source: str | None = None) -> ModuleType:
    """Run a file as a module of its own.

    Args:
        path: The file, which tracebacks name.
        source: What to run in place of its text.

    Raises:
        LessonError: It cannot be read. What it raises itself is not caught.
    """
    try:
        text = path.read_text(encoding="utf-8") if source is None else source
    except (OSError, UnicodeDecodeError) as error:
        raise LessonError(path, one_line(str(error)), "put it back: ojito learn reset") from error
    name = f"ojito_lesson_{path.parent.name}_{path.stem}"
    module = ModuleType(name)
    module.__file__ = str(path)
    # Dataclasses look their module up by its name.
    sys.modules[name] = module
    exec(compile(text, str(path), "exec"), module.__dict__)  # noqa: S102 - the learner's own file
    return module
