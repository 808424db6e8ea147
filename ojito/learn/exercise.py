"""What a lesson asks for: exercises with cases, hints, and the mistakes that are likely."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Parts = Mapping[str, Any]
"""What the learner wrote in earlier lessons, by the lesson's name: a module each."""


@dataclass(frozen=True)
class Case:
    """Inputs to try a solution with.

    Attributes:
        name: What is special about them, "two rows of unequal length".
        inputs: Arguments by name.
        facts: Numbers that the text of a mistake may name: `{"root": 4.0}` for "{root}x too large".
    """

    name: str
    inputs: Mapping[str, Any]
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Mistake:
    """A wrong solution that looks right: the solution's source, edited.

    Attributes:
        name: A few words, "scores not scaled".
        says: What to tell who made it, in shapes and numbers. `{ratio}` is by how much the result is too large, and
            every fact of the case can be named likewise.
        edits: Texts of the solution, each with what stands in its place.
    """

    name: str
    says: str
    edits: Mapping[str, str]


def call(solution: Any, inputs: Mapping[str, Any]) -> Any:
    """Use a solution in the usual way: a function, called with the inputs of a case by name."""
    return solution(**inputs)


@dataclass(frozen=True)
class Exercise:
    """One function or class to write.

    Attributes:
        name: Its name in `exercise.py` and in `solution.py`.
        cases: Returns the inputs to try it with; the same ones every time.
        mistakes: Wrong solutions to tell the learner's from; those of `mistakes.py`, if left out.
        hints: From a nudge to nearly the answer.
        reference: The library's own, which decides what is right; None where the library has none.
        use: How a solution is used with the inputs of a case: calls it, if left out.
        tolerance: Largest difference from the right result, relative and absolute.
        returns: What the entries of a result are called, where it is a tuple: ("ids", "labels").
    """

    name: str
    cases: Callable[[], Sequence[Case]]
    mistakes: Sequence[Mistake] = ()
    hints: Sequence[str] = ()
    reference: Callable[..., Any] | None = None
    use: Callable[[Any, Mapping[str, Any]], Any] = call
    tolerance: float = 1e-5
    returns: Sequence[str] = ()


@dataclass(frozen=True)
class Question:
    """What to predict before anything is run.

    Attributes:
        text: The question.
        choices: Answers, by letter.
        answer: The right letter.
        why: Shown when the lesson is done.
    """

    text: str
    choices: Mapping[str, str]
    answer: str
    why: str


@dataclass(frozen=True)
class Milestone:
    """What the learner's own parts do, put together.

    Attributes:
        needs: Lessons whose parts it is made of.
        show: Called with them once the exercises pass, and with a function that prints a line.
    """

    needs: Sequence[str]
    show: Callable[[Parts, Callable[[str], None]], None]
