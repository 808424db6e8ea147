"""Questions with choices: how a prompt lists them, and which of them an answer means.

    what is it?
    A. a kite
    B. a dog

The answer to such a question is a letter.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

from ojito.data.keys import BadRow, all_texts, list_of

LETTERS = string.ascii_uppercase
"""Those of the choices, in their order."""


def with_choices(question: str, choices: Sequence[str]) -> str:
    """Return the prompt that asks a question and lists its choices, one a line after it."""
    return question + _listed(choices)


def without_choices(prompt: str, choices: Sequence[str]) -> str:
    """Return the question of such a prompt."""
    return prompt.removesuffix(_listed(choices))


def choices_of(values: dict[str, Any]) -> tuple[str, ...]:
    """The choices of a row; none where it has no such key.

    Raises:
        BadRow: They cannot be used.
    """
    if "choices" not in values:
        return ()
    choices = all_texts("choices", list_of(values, "choices"))
    if not 2 <= len(choices) <= len(LETTERS):
        raise BadRow(f"has {len(choices)} choices", f"give 2 to {len(LETTERS)}")
    if len(set(choices)) < len(choices):
        raise BadRow("has a choice twice", "leave one of them out")
    if any("\n" in choice for choice in choices):
        raise BadRow("has a choice of several lines", "write it on one")
    return choices


def letters_of(answers: Sequence[str], choices: Sequence[str]) -> tuple[str, ...]:
    """Return answers as letters: each is the text of a choice or its letter.

    Raises:
        BadRow: One is none of the choices.
    """
    return tuple(_letter(answer, choices) for answer in answers)


def _letter(answer: str, choices: Sequence[str]) -> str:
    if answer in choices:
        return LETTERS[choices.index(answer)]
    letter = answer.upper()
    if len(letter) == 1 and letter in LETTERS[: len(choices)]:
        return letter
    raise BadRow(
        f"answer {answer[:40]!r} is none of its {len(choices)} choices",
        f"write the text of a choice or its letter, A to {LETTERS[len(choices) - 1]}",
    )


def _listed(choices: Sequence[str]) -> str:
    return "".join(f"\n{letter}. {choice}" for letter, choice in zip(LETTERS, choices, strict=False))
