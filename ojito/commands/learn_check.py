"""A lesson checked, and what is said of it; for `check`, and for `watch` at every save."""

from __future__ import annotations

import json
import re
import shutil
import textwrap
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

from ojito.learn.grading import Grade
from ojito.learn.lesson import Lesson, load_module
from ojito.learn.worker import Worker
from ojito.learn.workspace import Workspace

RIGHT, NOT_YET = 0, 5
"""Exit codes."""

_WIDEST = 100  # characters of a line that is read
_MOST_PRINTED = 20  # lines
_CODE = re.compile(r"line \d+: ")  # and what stands there


def check(space: Workspace, name: str, worker: Worker, args: Namespace) -> int:
    """Check a lesson, remember it, and say what came of it."""
    lesson = space.course.lesson(name)
    path = space.exercise(name)
    if not path.exists():
        space.begin(name)
        if not args.json:
            print(f"{path} was not there: a new one is\n")
    parts = space.parts(lesson)
    found, printed = worker.grade(lesson.folder, path, parts)
    first = found.passed and not space.progress(name).done
    space.checked(name, found.passed)
    if args.json:
        print(json.dumps({"lesson": name, **found.to_dict(), "printed": printed}, ensure_ascii=False, indent=1))
        return RIGHT if found.passed else NOT_YET
    if printed.strip():
        print(f"your file printed:\n{textwrap.indent(_shortened(printed.rstrip()), '  ')}\n")
    print(_said(lesson, found))
    if any(one.status == "parts" for one in found.verdicts):
        print(_broken(space, parts))
    if found.passed:
        if lesson.milestone is not None:
            files = {**parts, "own": path}
            lesson.milestone.show({one: load_module(file) for one, file in files.items()}, print)
        if first:
            following = space.next()
            then = "ojito learn next" if following else "that was the last lesson"
            print(f"\n{space.done} of {len(space.course.names)} lessons done; {then}")
    return RIGHT if found.passed else NOT_YET


def _broken(space: Workspace, parts: Mapping[str, Path]) -> str:
    """Which earlier lessons of a milestone that fails have ceased to be right since they were done."""
    said = []
    for name, path in parts.items():
        lesson = space.course.lesson(name)
        found, _ = Worker().grade(lesson.folder, path, space.parts(lesson))
        if not found.passed:
            said.append(wrapped(f"{name} is no longer right: ojito learn check {name}", "         "))
    return "\n".join(said)


def _said(lesson: Lesson, found: Grade) -> str:
    """A grade as text."""
    if found.says:
        return wrapped(f"{lesson.name}: {found.says}")
    lines = []
    for one in found.verdicts:
        if one.status == "right":
            lines.append(f"right    {one.exercise}")
        else:
            lines += [f"not yet  {one.exercise}", wrapped(one.says, "         ")]
            if one.case:
                lines.append(f"         (tried with: {one.case})")
    lines += [f"open     {one.name}" for one in lesson.exercises[len(found.verdicts) :]]
    if found.passed:
        question = lesson.question
        right = found.prediction == question.answer
        told = "as it is" if right else f"it is {question.answer}"
        lines.append(f"\nyou predicted {found.prediction}, {told}: {question.choices[question.answer]}")
        lines.append(wrapped(question.why))
    return "\n".join(lines)


def wrapped(text: str, indent: str = "") -> str:
    """Text in lines of the terminal's width; a line of code, or one that is indented already, stays as it is."""
    width = max(40, min(shutil.get_terminal_size().columns, _WIDEST)) - len(indent)
    lines = []
    for line in text.splitlines():
        stays = line.startswith(" ") or _CODE.match(line)
        lines += [line] if stays else textwrap.wrap(line, width) or [""]
    return "\n".join(f"{indent}{line}" for line in lines)


def _shortened(text: str) -> str:
    """The first lines of what a file printed, so that what is said of it stays in sight."""
    lines = text.splitlines()
    more = [f"... and {len(lines) - _MOST_PRINTED} lines more"] if len(lines) > _MOST_PRINTED else []
    return "\n".join([*lines[:_MOST_PRINTED], *more])
