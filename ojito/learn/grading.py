"""A learner's file graded: what is right, and which mistake a wrong result comes from.

A wrong result is compared with those of all the lesson's mistakes, alone and two at a time.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from ojito.learn.comparing import ratio
from ojito.learn.exercise import Exercise, call
from ojito.learn.gaps import ask, open_gaps, prediction
from ojito.learn.lesson import Lesson, LessonError, load_module
from ojito.learn.limit import Endless, limited
from ojito.learn.trying import (
    Modules,
    Raised,
    alike,
    attempt,
    changed_input,
    differs,
    named,
    results_with,
    right_result,
)

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


def _grade(lesson: Lesson, exercise: Exercise, learner: ModuleType, source: str, path: Path, parts: Modules) -> Verdict:
    gaps = open_gaps(source, exercise.name)
    if gaps:
        more = f" (and {len(gaps) - 1} more)" if len(gaps) > 1 else ""
        return Verdict(exercise.name, "gap", f"line {gaps[0].line} is still open{more}: {gaps[0].text}")
    solution = getattr(learner, exercise.name, None)
    if solution is None:
        return Verdict(exercise.name, "missing", f"{path.name} defines no {exercise.name}")
    cases = exercise.cases()
    results: list[Any] = []
    for case in cases:
        results.append(attempt(exercise, solution, case, parts))
        if isinstance(results[-1], Raised) and results[-1].endless:  # once is enough to wait for
            return Verdict(exercise.name, "raised", _raised(results[-1].error, path), case=case.name)
    right = [right_result(lesson, exercise, case, parts) for case in cases]
    if not alike(results, right, exercise.tolerance):
        return _explained(lesson, exercise, solution, results, right, path, parts)
    changed = next(filter(None, (changed_input(exercise, solution, case, parts) for case in cases)), "")
    if changed:
        return Verdict(exercise.name, "wrong", f"the result is right, but {changed} {_CHANGED}")
    return Verdict(exercise.name, "right")


def _explained(
    lesson: Lesson,
    exercise: Exercise,
    solution: Any,
    results: Sequence[Any],
    right: Sequence[Any],
    path: Path,
    parts: Modules,
) -> Verdict:
    """What a wrong result comes from: wrong parts, an error, a mistake that has a name, or what can be seen."""
    if parts and not alike(results_with(lesson, exercise, [], parts) or (), right, exercise.tolerance):
        says = "the lesson's own solution would be wrong here, too, with your functions of earlier lessons"
        return Verdict(exercise.name, "parts", says)
    compared = zip(exercise.cases(), results, right, strict=True)
    case, result, expected = next(one for one in compared if differs(one[1], one[2], exercise.tolerance))
    mistakes = named(lesson, exercise, results, parts)
    if mistakes:
        facts = {"ratio": _said_ratio(result, expected), **case.facts}
        says = "\n".join(_format(one.says, facts) for one in mistakes)
        return Verdict(exercise.name, "named", says, tuple(one.name for one in mistakes), case.name)
    if isinstance(result, Raised):
        return Verdict(exercise.name, "raised", _raised(result.error, path), case=case.name)
    says = differs(result, expected, exercise.tolerance)
    for number, name in enumerate(exercise.returns):
        says = says.replace(f"the result[{number}]", name)
    if exercise.use is not call:  # what was found out about it has a name, and is no dict of the learner's
        says = re.sub(r"the result\['([^']+)'\]", r"\1", says)
    changed = changed_input(exercise, solution, case, parts)
    says += f"\nand {changed} {_CHANGED}" if changed else ""
    return Verdict(exercise.name, "wrong", says, case=case.name)


def _said_ratio(result: Any, right: Any) -> str:
    found = None if isinstance(result, Raised) else ratio(result, right)
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
