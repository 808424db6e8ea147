"""What of an exercise is not written yet: gaps, marked `...`, and the prediction."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from ojito.learn.exercise import Question

PREDICTION = "PREDICTION"
"""The variable of an exercise that holds the letter of the answer to the lesson's question."""


@dataclass(frozen=True)
class Gap:
    """A statement, an argument or an entry of a dict whose value is `...`.

    Attributes:
        line: Its line in the file, from 1.
        text: The line.
    """

    line: int
    text: str


def open_gaps(source: str, name: str) -> list[Gap]:
    """Return the gaps of one function or class, in their order.

    `...` as an index, `x[..., 0]`, is none.

    Args:
        source: Text of the file, which must be Python.
        name: Of the function or class.
    """
    lines = source.splitlines()
    found = []
    for top in ast.parse(source).body:
        if isinstance(top, (ast.FunctionDef, ast.ClassDef)) and top.name == name:
            for node in ast.walk(top):
                value = getattr(node, "value", None) if isinstance(node, (ast.stmt, ast.keyword)) else None
                arguments = node.args if isinstance(node, ast.Call) else []
                arguments = node.values if isinstance(node, ast.Dict) else arguments
                for one in (value, *arguments):
                    if isinstance(one, ast.Constant) and one.value is ...:
                        found.append(one.lineno)
    return [Gap(line, lines[line - 1].strip()) for line in sorted(set(found))]


def prediction(source: str) -> str:
    """Return what the learner put into `PREDICTION`, in small letters; empty if there is nothing.

    Args:
        source: Text of the file, which must be Python.
    """
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and PREDICTION in {getattr(target, "id", "") for target in node.targets}:
            # A letter without quotes is a name for Python, and plain enough to a reader.
            value = getattr(node.value, "value", None) or getattr(node.value, "id", None) or ""
            return str(value).strip().lower()
    return ""


def ask(question: Question, given: str) -> str:
    """Return what is to be said of a prediction before anything is checked; empty if it is one of the choices."""
    if given in question.choices:
        return ""
    choices = "\n".join(f"  {letter}  {text}" for letter, text in question.choices.items())
    wrong = f"{given!r} is none of the answers. " if given else ""
    return f"{wrong}Predict first, then run. Put a letter into {PREDICTION}:\n{question.text}\n{choices}"
