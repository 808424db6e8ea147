"""A learner's file graded: what is right, and which mistake a wrong result comes from.

A wrong result is compared with those of all the lesson's mistakes, alone and two at a time. A mistake is an edit of the
solution's text, so two of them make a third.
"""

from __future__ import annotations

import copy
import itertools
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import torch
from torch import Tensor

from ojito.learn.comparing import difference, ratio
from ojito.learn.exercise import Case, Exercise, Mistake, call
from ojito.learn.gaps import ask, open_gaps, prediction
from ojito.learn.lesson import SOLUTION, Lesson, LessonError, load_module
from ojito.learn.limit import Endless, limited

_CHANGED = "is not what it was before: work on a copy (a += b writes into what you were given, a = a + b does not)"

Status = Literal["right", "gap", "missing", "parts", "raised", "named", "wrong"]


@dataclass(frozen=True)
class Verdict:
    """What is to be said of one exercise.

    Attributes:
        exercise: Its name.
        status: "right"; a "gap" is open; the function is "missing"; the "parts" of other lessons are wrong; it "raised"
            an error; a mistake was "named"; or the result is "wrong" in another way.
        says: What to tell the learner.
        mistakes: Names of the mistakes that its results equal.
        case: The first case whose result is wrong.
    """

    exercise: str
    status: Status
    says: str = ""
    mistakes: tuple[str, ...] = ()
    case: str = ""


@dataclass(frozen=True)
class Grade:
    """What is to be said of a file.

    Attributes:
        verdicts: Of its exercises, up to the first that is not right.
        says: What is wrong with the file as a whole; nothing was tried then.
        prediction: What was predicted, "b".
    """

    verdicts: tuple[Verdict, ...] = ()
    says: str = ""
    prediction: str = ""

    @property
    def passed(self) -> bool:
        """Whether everything is right."""
        return not self.says and all(one.status == "right" for one in self.verdicts)

    def to_dict(self) -> dict[str, Any]:
        """Return values for JSON."""
        return {"passed": self.passed, **asdict(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Grade:
        """Return what `to_dict` was made of."""
        verdicts = tuple(Verdict(**{**one, "mistakes": tuple(one["mistakes"])}) for one in values["verdicts"])
        return cls(verdicts, values["says"], values["prediction"])


def grade(lesson: Lesson, path: Path, parts: Mapping[str, Path] | None = None) -> Grade:
    """Grade a file, up to the first exercise that is not right.

    Args:
        lesson: The lesson.
        path: The learner's exercise.py.
        parts: Files of earlier lessons that a milestone is made of, by lesson.

    Raises:
        LessonError: A file cannot be read.
    """
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LessonError(path, "cannot be read", "ojito learn reset puts a new one there") from error
    try:
        given = prediction(source)
    except SyntaxError as error:
        return Grade(says=f"line {error.lineno} is not Python: {error.msg}\n  {(error.text or '').strip()}")
    question = ask(lesson.question, given)
    if question:
        return Grade(says=question)
    try:
        with limited():
            learner = load_module(path)
    except (Exception, Endless) as error:  # noqa: BLE001 - the learner's own file may raise anything
        return Grade(says=_raised(error, path), prediction=given)
    others = {}
    for name, file in (parts or {}).items():
        try:
            with limited():
                others[name] = load_module(file)
        except (Exception, Endless) as error:  # noqa: BLE001 - as above
            says = f"{name}, which this is made of, cannot be run any more\n  {_raised(error, file)}"
            return Grade(says=says, prediction=given)
    verdicts = []
    for exercise in lesson.exercises:
        verdicts.append(_grade(lesson, exercise, learner, source, path, others))
        if verdicts[-1].status != "right":
            break
    return Grade(tuple(verdicts), prediction=given)


def _grade(
    lesson: Lesson, exercise: Exercise, learner: ModuleType, source: str, path: Path, parts: Mapping[str, ModuleType]
) -> Verdict:
    gaps = open_gaps(source, exercise.name)
    if gaps:
        more = f" (and {len(gaps) - 1} more)" if len(gaps) > 1 else ""
        return Verdict(exercise.name, "gap", f"line {gaps[0].line} is still open{more}: {gaps[0].text}")
    solution = getattr(learner, exercise.name, None)
    if solution is None:
        return Verdict(exercise.name, "missing", f"{path.name} defines no {exercise.name}")
    cases = exercise.cases()
    right = [_right(lesson, exercise, case, parts) for case in cases]
    results = []
    for case in cases:
        results.append(_try(exercise, solution, case, parts))
        if isinstance(results[-1], _Raised) and isinstance(results[-1].error, Endless):  # once is enough to wait for
            return Verdict(exercise.name, "raised", _raised(results[-1].error, path), case=case.name)
    wrong = [i for i, case in enumerate(cases) if _differs(results[i], right[i], exercise.tolerance)]
    if not wrong:
        changed = next(filter(None, (_changed_input(exercise, solution, case, parts) for case in cases)), "")
        if changed:
            says = f"the result is right, but {changed} {_CHANGED}"
            return Verdict(exercise.name, "wrong", says)
        return Verdict(exercise.name, "right")
    sound = _results(lesson, exercise, [], parts) if parts else None
    if sound is not None and not alike(sound, right, exercise.tolerance):
        says = "the lesson's own solution would be wrong here, too, with your functions of earlier lessons"
        return Verdict(exercise.name, "parts", says)
    found = named(lesson, exercise, results, parts)
    first = wrong[0]
    result = results[first]
    if found:
        facts = {"ratio": _said_ratio(result, right[first]), **cases[first].facts}
        says = "\n".join(_format(one.says, facts) for one in found)
        return Verdict(exercise.name, "named", says, tuple(one.name for one in found), cases[first].name)
    if isinstance(result, _Raised):
        return Verdict(exercise.name, "raised", _raised(result.error, path), case=cases[first].name)
    says = _differs(result, right[first], exercise.tolerance)
    for number, name in enumerate(exercise.returns):
        says = says.replace(f"the result[{number}]", name)
    if exercise.use is not call:  # what was found out about it has a name, and is no dict of the learner's
        says = re.sub(r"the result\['([^']+)'\]", r"\1", says)
    changed = _changed_input(exercise, solution, cases[first], parts)
    if changed:
        says += f"\nand {changed} {_CHANGED}"
    return Verdict(exercise.name, "wrong", says, case=cases[first].name)


def named(
    lesson: Lesson, exercise: Exercise, results: Sequence[Any], parts: Mapping[str, ModuleType] | None = None
) -> tuple[Mistake, ...]:
    """Return the mistakes that give these results for the cases of an exercise: one, or two together; or none."""
    for mistakes in _combinations(exercise.mistakes):
        theirs = _results(lesson, exercise, mistakes, parts or {})
        if theirs is not None and alike(results, theirs, exercise.tolerance):
            return mistakes
    return ()


def results_of(
    lesson: Lesson, exercise: Exercise, mistakes: Sequence[Mistake], parts: Mapping[str, ModuleType] | None = None
) -> list[Any] | None:
    """Return what the solution with mistakes gives for each case; an error that it raises is a result, too.

    None where the mistakes exclude each other.
    """
    found = _results(lesson, exercise, mistakes, parts or {})
    return None if found is None else [*found]


def alike(results: Iterable[Any], others: Iterable[Any], tolerance: float) -> bool:
    """Whether two solutions give the same for all cases; stops at the first in which they do not."""
    return not any(_differs(one, other, tolerance) for one, other in zip(results, others, strict=True))


def _results(
    lesson: Lesson, exercise: Exercise, mistakes: Sequence[Mistake], parts: Mapping[str, ModuleType]
) -> Iterator[Any] | None:
    """As `results_of`, one by one: most mistakes differ in the first case."""
    source = edited(lesson, mistakes)
    if source is None:
        return None
    solution = getattr(load_module(lesson.folder / SOLUTION, source), exercise.name)
    return (_try(exercise, solution, case, parts) for case in exercise.cases())


def edited(lesson: Lesson, mistakes: Sequence[Mistake]) -> str | None:
    """Return the solution's text with the edits of mistakes, one after the other; None if they exclude each other."""
    source = (lesson.folder / SOLUTION).read_text(encoding="utf-8")
    for mistake in mistakes:
        for old, new in mistake.edits.items():
            if source.count(old) != 1:
                return None
            source = source.replace(old, new)
    return source


def _combinations(mistakes: Sequence[Mistake]) -> Iterator[tuple[Mistake, ...]]:
    yield from itertools.combinations(mistakes, 1)
    yield from itertools.combinations(mistakes, 2)


@dataclass(frozen=True)
class _Raised:
    """A solution's error, as its result."""

    error: BaseException


def _right(lesson: Lesson, exercise: Exercise, case: Case, parts: Mapping[str, ModuleType]) -> Any:
    """The result of the library's own, or of the lesson's solution."""
    solution = exercise.reference or getattr(load_module(lesson.folder / SOLUTION), exercise.name)
    result = _try(exercise, solution, case, parts)
    if isinstance(result, _Raised):
        raise LessonError(lesson.folder, f"the solution fails for {case.name}: {result.error}", "mend the lesson")
    return result


def _try(exercise: Exercise, solution: Any, case: Case, parts: Mapping[str, ModuleType]) -> Any:
    try:
        torch.manual_seed(0)
        with limited():
            return exercise.use(solution, _inputs(case, parts))
    except (Exception, Endless) as error:  # noqa: BLE001 - the learner's own code may raise anything
        return _Raised(error)


def _inputs(case: Case, parts: Mapping[str, ModuleType]) -> dict[str, Any]:
    inputs = {name: copy.deepcopy(value) for name, value in case.inputs.items()}
    return {**inputs, "parts": parts} if parts else inputs


def _changed_input(exercise: Exercise, solution: Any, case: Case, parts: Mapping[str, ModuleType]) -> str:
    """The first tensor, list or dict among the inputs that a solution writes to."""
    inputs = _inputs(case, parts)
    torch.manual_seed(0)
    exercise.use(solution, inputs)
    for name, before in case.inputs.items():
        if isinstance(before, (Tensor, list, dict)) and difference(inputs[name], before, 0.0):
            return name
    return ""


def _differs(result: Any, right: Any, tolerance: float) -> str:
    if isinstance(result, _Raised) or isinstance(right, _Raised):
        both = isinstance(result, _Raised) and isinstance(right, _Raised)
        same = both and type(result.error) is type(right.error) and str(result.error) == str(right.error)
        return "" if same else "an error"
    return difference(result, right, tolerance)


def _said_ratio(result: Any, right: Any) -> str:
    found = None if isinstance(result, _Raised) else ratio(result, right)
    return "?" if found is None else f"{found:.4g}"


def _format(text: str, facts: Mapping[str, Any]) -> str:
    for name, value in facts.items():  # not str.format: texts may show code in braces
        text = text.replace(f"{{{name}}}", f"{value:.4g}" if isinstance(value, float) else str(value))
    return text


def _raised(error: BaseException, path: Path) -> str:
    """An error with the line of the learner's file that it comes from, and the one that called what failed there."""
    own = [one for one in traceback.extract_tb(error.__traceback__) if one.filename == str(path)]
    at = "".join(f"line {one.lineno}: {one.line}\n  " for one in own[-2:])
    if isinstance(error, Endless):
        return f"{at}{error}"
    said = f"{at}{type(error).__name__}: {error}"
    if own:
        return said
    if isinstance(error, TypeError) and "argument" in str(error):
        return f"{said} (the arguments are to stay as they were)"
    return f"it ran, and what it returned cannot be used further: {said}"
