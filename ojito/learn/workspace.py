"""The learner's own folder: exercises as far as they have come, and what is done."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ojito.errors import OjitoError, UsageError
from ojito.learn.course import OWN, Course
from ojito.learn.lesson import DIAGRAM, EXERCISE, PAGE, Lesson

STATE = ".ojito-learn.json"


@dataclass
class Progress:
    """How far one lesson is.

    Attributes:
        done: Whether its exercise was right.
        hints: How many were given, by exercise.
        checks: How often it was checked.
        seconds: From its start to when it was done, by the clock on the wall.
        began: When it was begun, seconds since 1970.
    """

    done: bool = False
    hints: dict[str, int] = field(default_factory=dict)
    checks: int = 0
    seconds: float = 0.0
    began: float = 0.0


@dataclass
class Workspace:
    """A learner's folder.

    Attributes:
        folder: With a folder for each lesson that was begun.
        course: The course that it is of.
        current: The lesson that is worked at.
        lessons: How far each lesson is that was begun, by name.
    """

    folder: Path
    course: Course
    current: str
    lessons: dict[str, Progress]

    @classmethod
    def start(cls, folder: Path, course: Course) -> Workspace:
        """Make a folder, with the first lesson in it.

        Raises:
            UsageError: There is one already, or another thing is in its place.
        """
        if (folder / STATE).exists():
            raise UsageError(folder, "holds a course already", "go on in it: ojito learn status")
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(folder, "is not empty", "give the name of a new folder")
        folder.mkdir(parents=True, exist_ok=True)
        made = cls(folder, course, course.names[0], {})
        made.begin(course.names[0])
        return made

    @classmethod
    def find(cls, folder: Path | None = None) -> Workspace:
        """Open the folder of a course: this one, or the nearest above.

        Args:
            folder: Where to look; the current folder, if left out.

        Raises:
            UsageError: There is none, or what it holds cannot be read.
        """
        start = (folder or Path.cwd()).absolute()
        found = next((one for one in (start, *start.parents) if (one / STATE).is_file()), None)
        if found is None:
            raise UsageError(start, "is not in the folder of a course", "begin one: ojito learn start FOLDER")
        try:
            values = json.loads((found / STATE).read_text(encoding="utf-8"))
            course = Course.read(OWN if values["course"] is None else Path(values["course"]))
            lessons = {name: Progress(**one) for name, one in values["lessons"].items()}
            current = values["current"]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, OjitoError):
                raise
            remedy = "take it from a copy, or remove it and run ojito learn start"
            raise UsageError(found / STATE, "cannot be read", remedy) from error
        if current not in course.names:
            raise UsageError(found / STATE, f"names the lesson {current}, which is not there", "ojito learn start anew")
        return cls(found, course, current, lessons)

    def here(self) -> str:
        """The lesson whose folder this is; elsewhere, the one that is worked at."""
        folders = (Path.cwd(), *Path.cwd().parents)
        return next((name for name in self.course.names if self.folder / name in folders), self.current)

    def exercise(self, name: str) -> Path:
        """The learner's file of a lesson."""
        return self.folder / name / EXERCISE

    def progress(self, name: str) -> Progress:
        """How far a lesson is."""
        return self.lessons.setdefault(name, Progress())

    @property
    def done(self) -> int:
        """Lessons that are done."""
        return sum(one.done for one in self.lessons.values())

    def begin(self, name: str) -> Path:
        """Go to a lesson: its page, its diagram and its exercise are copied, if they are not there.

        Returns:
            The exercise.
        """
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        given = self.course.folder / name
        for file in (PAGE, EXERCISE, DIAGRAM):
            if (given / file).exists() and not (folder / file).exists():
                shutil.copyfile(given / file, folder / file)
        self.current = name
        if not self.progress(name).began:
            self.progress(name).began = time.time()
        self.save()
        return folder / EXERCISE

    def next(self) -> str:
        """The first lesson after the current one that is not done, then from the beginning; empty where all are."""
        names = self.course.names
        after = names.index(self.current) + 1
        return next((name for name in (*names[after:], *names[:after]) if not self.progress(name).done), "")

    def checked(self, name: str, passed: bool) -> None:
        """Remember that a lesson was checked."""
        progress = self.progress(name)
        progress.checks += 1
        if passed and not progress.done:
            progress.done = True
            progress.seconds = round(time.time() - progress.began, 1) if progress.began else 0.0
        self.save()

    def open_parts(self, lesson: Lesson) -> list[str]:
        """Lessons that a milestone is made of, and that are not done."""
        return [name for name in lesson.needs if not self.progress(name).done]

    def parts(self, lesson: Lesson) -> dict[str, Path]:
        """Files of the lessons that a milestone is made of.

        Raises:
            UsageError: Not all of them are done.
        """
        missing = self.open_parts(lesson)
        if missing:
            problem = f"is made of lessons of which these are not done yet: {', '.join(missing)}"
            raise UsageError(lesson.name, problem, f"begin with ojito learn next {missing[0]}")
        return {name: self.exercise(name) for name in lesson.needs}

    def reset(self, name: str) -> Path | None:
        """Put a new exercise in place of the learner's, which is kept beside it.

        Returns:
            Where the old one is; None if there was none.
        """
        path, kept = self.exercise(name), None
        if path.exists():
            names = (path.with_name(f"{path.name}.{number}") for number in itertools.count(1))
            kept = next(one for one in names if not one.exists())
            path.rename(kept)
        self.lessons[name] = Progress(checks=self.progress(name).checks, began=time.time())
        self.begin(name)
        return kept

    def save(self) -> None:
        """Write what is done; the old file stands until the new one is whole."""
        values: Mapping[str, Any] = {
            "course": None if self.course.folder == OWN else str(self.course.folder.absolute()),
            "current": self.current,
            "lessons": {name: asdict(one) for name, one in self.lessons.items()},
        }
        written = self.folder / f"{STATE}.new"
        written.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
        os.replace(written, self.folder / STATE)
