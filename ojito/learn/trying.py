"""A solution tried with the cases of an exercise: the learner's, the library's, and the lesson's own with mistakes.

A mistake is an edit of the solution's text, so two of them make a third.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from ojito.learn.comparing import difference
from ojito.learn.exercise import Case, Exercise, Mistake
from ojito.learn.lesson import SOLUTION, Lesson, LessonError, load_module
from ojito.learn.limit import Endless, limited

Modules = Mapping[str, ModuleType]
"""Earlier lessons that a milestone is made of, by name."""


@dataclass(frozen=True)
class Raised:
    """A solution's error, as its result."""

    error: BaseException

    @property
    def endless(self) -> bool:
        """Whether it was stopped because it computed for too long."""
        return isinstance(self.error, Endless)


def attempt(exercise: Exercise, solution: Any, case: Case, parts: Modules) -> Any:
    """Return what a solution gives for a case; an error that it raises is a result, too."""
    try:
        torch.manual_seed(0)
        with limited():
            return exercise.use(solution, _inputs(case, parts))
    except (Exception, Endless) as error:  # noqa: BLE001 - the learner's own code may raise anything
        return Raised(error)


def right_result(lesson: Lesson, exercise: Exercise, case: Case, parts: Modules) -> Any:
    """Return what the library's own gives, or the lesson's solution.

    Raises:
        LessonError: It raises an error.
    """
    solution = exercise.reference or getattr(load_module(lesson.folder / SOLUTION), exercise.name)
    result = attempt(exercise, solution, case, parts)
    if isinstance(result, Raised):
        raise LessonError(lesson.folder, f"the solution fails for {case.name}: {result.error}", "mend the lesson")
    return result


def changed_input(exercise: Exercise, solution: Any, case: Case, parts: Modules) -> str:
    """Return the first tensor, list or dict among the inputs that a solution writes to; empty if there is none."""
    inputs = _inputs(case, parts)
    torch.manual_seed(0)
    exercise.use(solution, inputs)
    for name, before in case.inputs.items():
        if isinstance(before, (Tensor, list, dict)) and difference(inputs[name], before, 0.0):
            return name
    return ""


def differs(result: Any, right: Any, tolerance: float) -> str:
    """Return how a result differs from the right one; empty where it does not. Errors are alike if their texts are."""
    if isinstance(result, Raised) and isinstance(right, Raised):
        one, other = result.error, right.error
        return "" if type(one) is type(other) and str(one) == str(other) else "another error"
    if isinstance(result, Raised) or isinstance(right, Raised):
        return "an error"
    return difference(result, right, tolerance)


def alike(results: Iterable[Any], others: Iterable[Any], tolerance: float) -> bool:
    """Whether two solutions give the same for all cases; stops at the first in which they do not."""
    return not any(differs(one, other, tolerance) for one, other in zip(results, others, strict=True))


def named(lesson: Lesson, exercise: Exercise, results: Sequence[Any], parts: Modules) -> tuple[Mistake, ...]:
    """Return the mistakes that give these results for the cases of an exercise: one, or two together; or none."""
    for count in (1, 2):
        for mistakes in itertools.combinations(exercise.mistakes, count):
            theirs = results_with(lesson, exercise, mistakes, parts)
            if theirs is not None and alike(results, theirs, exercise.tolerance):
                return mistakes
    return ()


def results_with(
    lesson: Lesson, exercise: Exercise, mistakes: Sequence[Mistake], parts: Modules
) -> Iterator[Any] | None:
    """Return what the lesson's solution with mistakes gives, case by case: most differ in the first.

    None where the mistakes exclude each other.
    """
    source = edited(lesson, mistakes)
    if source is None:
        return None
    solution = getattr(load_module(lesson.folder / SOLUTION, source), exercise.name)
    return (attempt(exercise, solution, case, parts) for case in exercise.cases())


def edited(lesson: Lesson, mistakes: Sequence[Mistake]) -> str | None:
    """Return the solution's text with the edits of mistakes, one after the other; None if they exclude each other."""
    source = (lesson.folder / SOLUTION).read_text(encoding="utf-8")
    for mistake in mistakes:
        for old, new in mistake.edits.items():
            if source.count(old) != 1:
                return None
            source = source.replace(old, new)
    return source


def _inputs(case: Case, parts: Modules) -> dict[str, Any]:
    inputs = {name: copy.deepcopy(value) for name, value in case.inputs.items()}
    return {**inputs, "parts": parts} if parts else inputs
