"""`ojito learn`: the course, in the learner's own folder."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import textwrap
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ojito.errors import OjitoError, UsageError, nearest
from ojito.learn.course import OWN, Course
from ojito.learn.grading import Grade
from ojito.learn.lesson import EXERCISE, PAGE, SOLUTION, Lesson, load_module
from ojito.learn.proving import prove
from ojito.learn.watching import keyboard, watch
from ojito.learn.worker import Worker
from ojito.learn.workspace import Workspace

RIGHT, NOT_YET = 0, 5

_WIDEST = 100  # characters of a line that is read

_MOST_PRINTED = 20  # lines

_KEYS = "n next   h hint   l list   r run again   s solution   q quit"


def run(args: Namespace) -> int:
    """Do what the action says."""
    words = list(args.words)
    action = args.action
    if action == "dev":
        return _dev(words, args.json)
    if action == "start":
        return _start(words, args)
    most = 0 if action in ("watch", "status") else 1
    if len(words) > most:
        raise UsageError(f"learn {action}", f"does not take {words[most]!r}", "see `ojito learn --help`")
    if args.edit is not None and action != "watch":
        raise UsageError("--edit", f"is for watch, not {action}", "leave it out")
    space = Workspace.find()
    space.current = space.here()
    name = space.course.find(words[0]) if words else space.current
    if words and action in ("check", "hint") and not space.exercise(name).exists():
        raise UsageError(name, "is not begun", f"ojito learn next {words[0]} goes there")
    return _ACTIONS[action](space, name, args)


def _start(words: list[str], args: Namespace) -> int:
    if len(words) > 1:
        raise UsageError("learn start", f"takes one folder, not {len(words)}", "give its name")
    folder = Path(words[0] if words else "ojito-course")
    course = Course.read(OWN if args.course is None else Path(args.course))
    space = Workspace.start(folder, course)
    _say(args, {"folder": str(folder), "lesson": space.current}, _begun(space, folder))
    return RIGHT


def _begun(space: Workspace, folder: Path | None = None) -> str:
    name = space.current
    base = space.folder if folder is None else folder
    first = [f"cd {shlex.quote(str(folder))}"] if folder is not None else []
    steps = [
        *first,
        "ojito learn watch    # checks at every save; or: ojito learn check",
        "ojito learn hint     # where you are stuck",
    ]
    return "\n".join(
        [
            space.course.heading(name),
            f"read   {base / name / PAGE}",
            f"write  {base / name / EXERCISE}",
            *(f"  {step}" for step in steps),
        ]
    )


def _next(space: Workspace, name: str, args: Namespace) -> int:
    """Go on with the next lesson that is not done, or with the one that was named."""
    following = name if args.words else space.next()
    if not following:
        _say(args, {"lesson": None}, "all lessons are done")
        return RIGHT
    if not args.words and not space.progress(name).done:
        says = f"{name} is not done yet: ojito learn check says what is missing, ojito learn hint helps"
        if following != name:
            says += f", and ojito learn next {following} goes on all the same"
        _say(args, {"lesson": name}, _wrapped(says))
        return NOT_YET
    space.begin(following)
    open_ones = _open_parts(space, space.course.lesson(following))
    note = f"\nit is made of lessons of which these are not done yet: {', '.join(open_ones)}" if open_ones else ""
    _say(args, {"lesson": following}, _begun(space) + note)
    return RIGHT


def _check(space: Workspace, name: str, args: Namespace) -> int:
    return _checked(space, name, Worker(), args)


def _checked(space: Workspace, name: str, worker: Worker, args: Namespace) -> int:
    """Check a lesson, remember it, and say what came of it."""
    lesson = space.course.lesson(name)
    path = space.exercise(name)
    if not path.exists():
        space.begin(name)
        if not args.json:
            print(f"{path} was not there: a new one is\n")
    parts = _parts(space, lesson)
    found, printed = worker.grade(lesson.folder, path, parts)
    first = found.passed and not space.progress(name).done
    space.checked(name, found.passed)
    if args.json:
        print(json.dumps({"lesson": name, **found.to_dict(), "printed": printed}, ensure_ascii=False, indent=1))
        return RIGHT if found.passed else NOT_YET
    if printed.strip():
        print(f"your file printed:\n{_indented(_shortened(printed.rstrip()))}\n")
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


def _parts(space: Workspace, lesson: Lesson) -> dict[str, Path]:
    """Files of the lessons that a milestone is made of.

    Raises:
        UsageError: One of them is not done.
    """
    open_ones = _open_parts(space, lesson)
    if open_ones:
        problem = f"is made of lessons of which these are not done yet: {', '.join(open_ones)}"
        raise UsageError(lesson.name, problem, f"begin with ojito learn next {open_ones[0]}")
    return {name: space.exercise(name) for name in _needs(lesson)}


def _needs(lesson: Lesson) -> Sequence[str]:
    """Lessons that a milestone is made of."""
    return () if lesson.milestone is None else lesson.milestone.needs


def _open_parts(space: Workspace, lesson: Lesson) -> list[str]:
    """Those of them that are not done."""
    return [name for name in _needs(lesson) if not space.progress(name).done]


def _broken(space: Workspace, parts: Mapping[str, Path]) -> str:
    """Which earlier lessons of a milestone that fails have ceased to be right since they were done."""
    said = []
    for name, path in parts.items():
        lesson = space.course.lesson(name)
        found, _ = Worker().grade(lesson.folder, path, _parts(space, lesson))
        if not found.passed:
            said.append(_wrapped(f"{name} is no longer right: ojito learn check {name}", "         "))
    return "\n".join(said)


def _said(lesson: Lesson, found: Grade) -> str:
    """A grade as text."""
    if found.says:
        return _wrapped(f"{lesson.name}: {found.says}")
    lines = []
    for one in found.verdicts:
        if one.status == "right":
            lines.append(f"right    {one.exercise}")
        else:
            lines += [f"not yet  {one.exercise}", _wrapped(one.says, "         ")]
            if one.case:
                lines.append(f"         (tried with: {one.case})")
    lines += [f"open     {one.name}" for one in lesson.exercises[len(found.verdicts) :]]
    if found.passed:
        question = lesson.question
        right = found.prediction == question.answer
        told = "as it is" if right else f"it is {question.answer}"
        lines.append(f"\nyou predicted {found.prediction}, {told}: {question.choices[question.answer]}")
        lines.append(_wrapped(question.why))
    return "\n".join(lines)


def _hint(space: Workspace, name: str, args: Namespace) -> int:
    lesson = space.course.lesson(name)
    found, _ = Worker().grade(lesson.folder, space.exercise(name), _parts(space, lesson))
    if found.passed:
        _say(args, {"lesson": name, "hint": None}, f"{name} is right; nothing to hint at")
        return RIGHT
    wrong = next((one.exercise for one in found.verdicts if one.status != "right"), lesson.exercises[0].name)
    exercise = next(one for one in lesson.exercises if one.name == wrong)
    given = space.progress(name).hints
    number = given.get(wrong, 0)
    last = len(exercise.hints) - 1
    given[wrong] = number + 1
    space.save()
    if number > last:
        print("" if args.json else "that was the last one already; once more:\n", end="")
        number = last
    text = f"{wrong}, hint {number + 1} of {last + 1}: {exercise.hints[number]}"
    _say(args, {"lesson": name, "exercise": wrong, "hint": exercise.hints[number]}, _wrapped(text))
    return RIGHT


def _solution(space: Workspace, name: str, args: Namespace) -> int:
    if not space.progress(name).done:
        raise UsageError(name, "is not done, and its solution opens when it is", "ojito learn hint helps")
    text = (space.course.folder / name / SOLUTION).read_text(encoding="utf-8")
    _say(args, {"lesson": name, "solution": text}, text.rstrip())
    return RIGHT


def _reset(space: Workspace, name: str, args: Namespace) -> int:
    kept = space.reset(name)
    said = f"{space.exercise(name)} is new, and the lesson open again" + (f"; yours is in {kept.name}" if kept else "")
    _say(args, {"lesson": name, "kept": None if kept is None else str(kept)}, said)
    return RIGHT


def _status(space: Workspace, name: str, args: Namespace) -> int:
    rows, values = [], []
    width = max(map(len, space.course.names))
    for one in space.course.names:
        progress = space.lessons.get(one)
        done = progress is not None and progress.done
        mark = "done" if done else "here" if one == space.current else ""
        took = f"{progress.seconds / 60:.0f} min" if progress is not None and done else ""
        rows.append(f"{mark:<4}  {one:<{width}}  {space.course.title(one):<50} {took:>7}".rstrip())
        values.append({"lesson": one, "title": space.course.title(one), "done": done})
    said = "\n".join([*rows, "", f"{space.done} of {len(rows)} lessons done, in {space.folder}"])
    _say(args, {"folder": str(space.folder), "current": space.current, "lessons": values}, said)
    return RIGHT


def _watch(space: Workspace, name: str, args: Namespace) -> int:
    if args.json:
        raise UsageError("--json", "does not go with watch, which is for people", "use ojito learn check --json")
    worker = Worker(ready=True)

    def checked() -> None:
        print("\033[2J\033[H" * sys.stdout.isatty(), end="")
        print(f"{space.course.heading(space.current)}\n{space.exercise(space.current)}\n")
        _guarded(lambda: _checked(space, space.current, worker, args))
        print(f"\n{_KEYS}", flush=True)

    def react(what: str) -> bool:
        if what in ("q", "\x04"):
            return False
        if what in ("save", "r"):
            checked()
        elif what == "n":
            _guarded(lambda: _next(space, space.current, args))
            if args.edit is not None:
                _edit(args.edit, space)
        elif what in _BY_KEY:
            _guarded(lambda: _BY_KEY[what](space, space.current, args))
        return True

    try:
        with keyboard() as keys:
            if args.edit is not None:
                _edit(args.edit, space)
            checked()
            watch(lambda: space.exercise(space.current), react, keys)
    except KeyboardInterrupt:
        print()
    finally:
        worker.close()
    return RIGHT


def _edit(command: str, space: Workspace) -> None:
    """Open the exercise in the learner's editor, and go on."""
    where = f"--edit {command}"
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(where, f"cannot be read: {str(error).lower()}", "close what is quoted") from error
    if Path(words[0]).name in _TERMINAL_EDITORS:
        if not os.environ.get("TMUX"):
            remedy = "run watch inside tmux, which has a pane for each, or open the file in a second terminal"
            raise UsageError(where, "wants the terminal for itself, and watch writes into it", remedy)
        words = ["tmux", "split-window", "-h", *words]
    try:
        # Keys belong to watch.
        subprocess.Popen([*words, str(space.exercise(space.current))], stdin=subprocess.DEVNULL)  # noqa: S603
    except OSError as error:
        raise UsageError(where, f"cannot be run: {error.strerror}", "give a command, such as code") from error


def _guarded(do: Callable[[], object]) -> None:
    """A mistake is told, and watching goes on."""
    try:
        do()
    except OjitoError as error:
        print(error)


def _dev(words: list[str], as_json: bool) -> int:
    """Prove lessons: of Ojito's course, of a folder with a course, or one lesson."""
    if not words or words[0] != "check":
        raise UsageError("learn dev", "knows check alone", nearest(words[0] if words else "", ["check"]))
    if len(words) > 2:
        raise UsageError("learn dev check", f"takes one folder, not {len(words) - 1}", "check one after the other")
    folder = Path(words[1]) if len(words) == 2 else OWN
    course = Course.read(folder) if (folder / "course.txt").exists() else None
    lessons = [course.lesson(name) for name in course.names] if course else [Lesson.read(folder)]
    found = {}
    for lesson in lessons:
        parts = {name: lesson.folder.parent / name / SOLUTION for name in _needs(lesson)}
        found[lesson.name] = prove(lesson, parts)
        if not as_json:
            faults = found[lesson.name]
            mistakes = sum(len(one.mistakes) for one in lesson.exercises)
            print(f"{lesson.name}: " + (f"holds, {mistakes} mistakes named" if not faults else "does not hold"))
            for fault in faults:
                print(f"  {fault}")
    if as_json:
        print(json.dumps(found, ensure_ascii=False, indent=1))
    return NOT_YET if any(found.values()) else RIGHT


def _wrapped(text: str, indent: str = "") -> str:
    """Text in lines of the terminal's width; a line that is indented already, such as one of code, stays as it is."""
    width = max(40, min(shutil.get_terminal_size().columns, _WIDEST))
    lines = []
    for line in text.splitlines():
        inside = " " * (len(line) - len(line.lstrip()))
        wrapped = textwrap.wrap(line, width - len(indent), subsequent_indent=inside) if not inside else [line]
        lines += [f"{indent}{one}" for one in wrapped or [""]]
    return "\n".join(lines)


def _indented(text: str, by: str = "  ") -> str:
    return "\n".join(f"{by}{line}" for line in text.splitlines())


def _shortened(text: str) -> str:
    """The first lines of what a file printed, so that what is said of it stays in sight."""
    lines = text.splitlines()
    more = [f"... and {len(lines) - _MOST_PRINTED} lines more"] if len(lines) > _MOST_PRINTED else []
    return "\n".join([*lines[:_MOST_PRINTED], *more])


def _say(args: Namespace, values: object, text: str) -> None:
    print(json.dumps(values, ensure_ascii=False, indent=1) if args.json else text)


_ACTIONS: dict[str, Callable[[Workspace, str, Namespace], int]] = {
    "next": _next,
    "check": _check,
    "hint": _hint,
    "solution": _solution,
    "reset": _reset,
    "status": _status,
    "watch": _watch,
}
_TERMINAL_EDITORS = {"vi", "vim", "nvim", "nano", "pico", "micro", "hx", "helix", "kak", "joe"}
_BY_KEY = {"h": _hint, "l": _status, "s": _solution}
