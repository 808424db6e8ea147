"""`ojito learn`: the course, in the learner's own folder."""

from __future__ import annotations

import json
import shlex
from argparse import Namespace
from pathlib import Path

from ojito.commands.learn_check import NOT_YET, RIGHT, check, wrapped
from ojito.commands.learn_watch import Action, watch
from ojito.errors import UsageError, nearest
from ojito.learn.course import OWN, Course
from ojito.learn.lesson import EXERCISE, PAGE, SOLUTION, Lesson
from ojito.learn.proving import prove
from ojito.learn.worker import Worker
from ojito.learn.workspace import Workspace


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
        _say(args, {"lesson": name}, wrapped(says))
        return NOT_YET
    space.begin(following)
    open_ones = space.open_parts(space.course.lesson(following))
    note = f"\nit is made of lessons of which these are not done yet: {', '.join(open_ones)}" if open_ones else ""
    _say(args, {"lesson": following}, _begun(space) + note)
    return RIGHT


def _check(space: Workspace, name: str, args: Namespace) -> int:
    return check(space, name, Worker(), args)


def _hint(space: Workspace, name: str, args: Namespace) -> int:
    lesson = space.course.lesson(name)
    found, _ = Worker().grade(lesson.folder, space.exercise(name), space.parts(lesson))
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
    _say(args, {"lesson": name, "exercise": wrong, "hint": exercise.hints[number]}, wrapped(text))
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
        parts = {name: lesson.folder.parent / name / SOLUTION for name in lesson.needs}
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


def _say(args: Namespace, values: object, text: str) -> None:
    print(json.dumps(values, ensure_ascii=False, indent=1) if args.json else text)


def _watch(space: Workspace, name: str, args: Namespace) -> int:
    if args.json:
        raise UsageError("--json", "does not go with watch, which is for people", "use ojito learn check --json")
    watch(space, args, {"n": _next, "h": _hint, "l": _status, "s": _solution})
    return RIGHT


_ACTIONS: dict[str, Action] = {
    "next": _next,
    "check": _check,
    "hint": _hint,
    "solution": _solution,
    "reset": _reset,
    "status": _status,
    "watch": _watch,
}
