"""Proof that a lesson keeps its word: its stub fails, its solution passes, and each mistake is named.

It is what `ojito learn dev check` runs, for lessons of Ojito and of others.
"""

from __future__ import annotations

import ast
import io
from collections.abc import Container, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

from ojito.errors import one_line
from ojito.learn.exercise import Exercise
from ojito.learn.gaps import PREDICTION, open_gaps
from ojito.learn.grading import grade
from ojito.learn.lesson import DIAGRAM, EXERCISE, PAGE, SOLUTION, Lesson, load_module
from ojito.learn.trying import alike, results_with

FEWEST = 5
"""Mistakes of an exercise."""

_LONGEST_PAGE = 120  # lines


def prove(lesson: Lesson, parts: Mapping[str, Path] | None = None) -> list[str]:
    """Return what is wrong with a lesson; nothing where all of it holds.

    Args:
        lesson: The lesson.
        parts: Solutions of the lessons that a milestone is made of.
    """
    stub = (lesson.folder / EXERCISE).read_text(encoding="utf-8")
    solution = (lesson.folder / SOLUTION).read_text(encoding="utf-8")
    faults = [*_page(lesson), *_diagram(lesson), *_same_signatures(lesson, stub, solution)]
    if lesson.question.answer not in lesson.question.choices:
        faults.append(f"the question's answer {lesson.question.answer!r} is none of its choices")
    if grade(lesson, lesson.folder / EXERCISE, parts).passed:
        faults.append(f"{EXERCISE} passes with its gaps")
    solved = grade(lesson, lesson.folder / SOLUTION, parts)
    if not solved.passed:
        says = solved.says or "; ".join(f"{one.exercise}: {one.says}" for one in solved.verdicts if one.says)
        faults.append(f"{SOLUTION} fails: {says}")
        return faults
    modules = {name: load_module(path) for name, path in (parts or {}).items()}
    for exercise in lesson.exercises:
        if not open_gaps(stub, exercise.name):
            faults.append(f"{exercise.name} has no gap in {EXERCISE}")
        if len(exercise.mistakes) < FEWEST:
            faults.append(f"{exercise.name} has {len(exercise.mistakes)} mistakes, and needs {FEWEST}")
        if not exercise.hints:
            faults.append(f"{exercise.name} has no hint")
        faults += _mistakes(lesson, exercise, modules)
    return faults


def _mistakes(lesson: Lesson, exercise: Exercise, parts: Mapping[str, ModuleType]) -> list[str]:
    """Mistakes that are not wrong, or not told from each other."""
    faults = []
    right = list(results_with(lesson, exercise, [], parts) or ())
    told: dict[str, list[Any]] = {}
    for mistake in exercise.mistakes:
        given = results_with(lesson, exercise, [mistake], parts)
        if given is None:
            faults.append(f"{exercise.name}, {mistake.name}: an edit's text is not in {SOLUTION} exactly once")
            continue
        results = list(given)
        if alike(results, right, exercise.tolerance):
            faults.append(f"{exercise.name}, {mistake.name}: gives the right results for all cases")
            continue
        first = next((name for name, others in told.items() if alike(results, others, exercise.tolerance)), None)
        if first is not None:
            faults.append(f"{exercise.name}, {mistake.name}: is told as {first}")
        told[mistake.name] = results
    return faults


def _page(lesson: Lesson) -> list[str]:
    lines = (lesson.folder / PAGE).read_text(encoding="utf-8").splitlines()
    faults = []
    if len(lines) > _LONGEST_PAGE:
        faults.append(f"{PAGE} has {len(lines)} lines, and a page has {_LONGEST_PAGE}")
    words = " ".join(" ".join(lines).split())
    for text in (lesson.question.text, *lesson.question.choices.values()):
        if " ".join(text.split()) not in words:
            faults.append(f"{PAGE} does not ask: {text}")
    return faults


def _diagram(lesson: Lesson) -> list[str]:
    """Whether the page shows what its diagram draws; a lesson may have none."""
    if not (lesson.folder / DIAGRAM).is_file():
        return []
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            load_module(lesson.folder / DIAGRAM)
    except Exception as error:  # noqa: BLE001 - anything that somebody's program may raise
        return [f"{DIAGRAM} fails: {type(error).__name__}: {one_line(str(error))}"]
    drawn = "\n".join(f"    {line}".rstrip() for line in printed.getvalue().splitlines())
    if f"\n\n{drawn}\n\n" in (lesson.folder / PAGE).read_text(encoding="utf-8"):
        return []
    return [f"{PAGE} does not show what {DIAGRAM} prints: paste it there, four blanks further in, between empty lines"]


def _same_signatures(lesson: Lesson, stub: str, solution: str) -> Sequence[str]:
    """Both files must be the same, but for what stands in the exercises."""
    faults = []
    ours, theirs = _signatures(stub), _signatures(solution)
    for exercise in lesson.exercises:
        one, other = ours.get(exercise.name), theirs.get(exercise.name)
        if one is None or other is None:
            faults.append(f"{exercise.name} is missing in {EXERCISE if one is None else SOLUTION}")
        elif one != other:
            faults.append(f"{exercise.name} has another signature or docstring in {EXERCISE} than in {SOLUTION}")
    names = {exercise.name for exercise in lesson.exercises}
    if _given(stub, names) != _given(solution, names):
        faults.append(f"{EXERCISE} and {SOLUTION} differ in what is given: all but the exercises is to be the same")
    return faults


def _given(source: str, exercises: Container[str]) -> list[str]:
    """What a learner finds written already: all but the exercises, the first line, imports and the prediction."""
    return [
        ast.dump(node)
        for node in ast.parse(source).body[1:]
        if getattr(node, "name", None) not in exercises
        and not isinstance(node, (ast.Import, ast.ImportFrom))
        and not (isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == PREDICTION)
    ]


def _signatures(source: str) -> dict[str, str]:
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = f"{ast.dump(node.args)} {ast.get_docstring(node)}"
        elif isinstance(node, ast.ClassDef):
            methods = [one for one in node.body if isinstance(one, ast.FunctionDef)]
            found[node.name] = str([(one.name, ast.dump(one.args)) for one in methods])
    return found
