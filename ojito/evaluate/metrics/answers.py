"""Scores of short answers: exact match, ANLS for text that is read, relaxed accuracy for numbers, multiple choice."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from ojito.errors import OjitoError
from ojito.evaluate.metrics.score import Score
from ojito.evaluate.metrics.words import normalize

_LETTER = re.compile(r"^\W*(?:(?:the\s+)?(?:answer|option|choice)\s*(?:is|:)?\s*)?\(?([A-Za-z])\)?(?:[.:,)\s]|$)", re.I)


def exact_match(answers: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
    """Return the share of answers, 0 to 1, that are one of their references, without case and marks at the end.

    Args:
        answers: The model's, one a question.
        references: The right answers of each question.

    Raises:
        OjitoError: The references do not fit the answers.
    """
    check_answers(answers, references)
    pairs = zip(answers, references, strict=True)
    return Score.mean([float(normalize(answer) in map(normalize, group)) for answer, group in pairs])


def anls(answers: Sequence[str], references: Sequence[Sequence[str]], threshold: float = 0.5) -> Score:
    """Return the average normalized Levenshtein similarity, 0 to 1: the usual score of text that is read in an image.

    An answer that is off by a few letters loses little; one below the threshold is wrong.

    Args:
        answers: The model's, one a question.
        references: The right answers of each question; the nearest counts.
        threshold: Similarity, 0 to 1.

    Source: Biten et al. 2019, https://arxiv.org/abs/1905.13648.

    Raises:
        OjitoError: The references do not fit the answers.
    """
    check_answers(answers, references)
    scores = []
    for answer, group in zip(answers, references, strict=True):
        best = max(_similarity(_folded(answer), _folded(reference)) for reference in group)
        scores.append(best if best >= threshold else 0.0)
    return Score.mean(scores)


def relaxed_accuracy(answers: Sequence[str], references: Sequence[Sequence[str]], tolerance: float = 0.05) -> Score:
    """Return the share of answers, 0 to 1, that are right, where numbers may be a little off: the score of ChartQA.

    Args:
        answers: The model's, one a question.
        references: The right answers of each question; one is enough.
        tolerance: By how much of the right number an answer may differ from it. Percent signs are read.

    Source: Masry et al. 2022, https://arxiv.org/abs/2203.10244.

    Raises:
        OjitoError: The references do not fit the answers.
    """
    check_answers(answers, references)
    pairs = zip(answers, references, strict=True)
    return Score.mean([float(any(_is_near(answer, one, tolerance) for one in group)) for answer, group in pairs])


def chosen(answer: str, options: Sequence[str]) -> int | None:
    """Return which option an answer chooses, by its letter ("B", "(b)", "the answer is B") or by its text; or None.

    Args:
        answer: What the model said.
        options: At most 26; the first is A.
    """
    texts = [normalize(option) for option in options]
    said = normalize(answer)
    if said in texts:
        return texts.index(said)
    match = _LETTER.match(answer.strip())
    if match and match.group().lower() != "a ":  # of "a dog", that is the article
        at = ord(match.group(1).upper()) - ord("A")
        return at if at < len(options) else None
    within = [at for at, text in enumerate(texts) if re.search(rf"(?<!\w){re.escape(text)}(?!\w)", said)]
    return within[0] if len(within) == 1 else None


def plain_answer(answer: str, options: Sequence[str]) -> str:
    """Return the letter of the option that an answer chooses; the answer itself where it chooses none."""
    at = chosen(answer, options) if options else None
    return answer if at is None else chr(ord("A") + at)


def circular(right: Sequence[Sequence[bool]]) -> Score:
    """Return the share of questions, 0 to 1, that are answered rightly in whatever order the options are.

    A model that has a liking for "A" gains nothing.

    Args:
        right: For each question, whether it was answered rightly in each rotation of its options.

    Source: Liu et al. 2023, https://arxiv.org/abs/2307.06281, CircularEval.
    """
    return Score.mean([float(bool(group) and all(group)) for group in right])


def check_answers(answers: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    """Refuse references that do not fit the answers.

    Raises:
        OjitoError: They are not as many, or a question has none.
    """
    if isinstance(answers, str) or any(isinstance(group, str) for group in references):
        raise OjitoError("references", "one text where a list of them is expected", "give a list for each question")
    if len(answers) != len(references):
        raise OjitoError(
            "references", f"{len(references)} groups for {len(answers)} answers", "give one group for each answer"
        )
    bare = [at for at, group in enumerate(references) if not group]
    if bare:
        raise OjitoError("references", f"answer {bare[0]} has none", "give each at least one, or leave it out")


def edit_distance(one: str, other: str) -> int:
    """Return how many characters are to be put in, left out or exchanged to make one text of the other."""
    line = np.arange(len(other) + 1)
    letters = np.array([ord(letter) for letter in other])
    steps = np.arange(len(other) + 1)
    for row, letter in enumerate(one, 1):
        changed = np.minimum(line[1:] + 1, line[:-1] + (letters != ord(letter)))
        # Left out characters add one a step: the smallest of all before, with the way from there.
        line = np.minimum.accumulate(np.concatenate(([row], changed)) - steps) + steps
    return int(line[-1])


def _similarity(answer: str, reference: str) -> float:
    longest = max(len(answer), len(reference))
    return 1 - edit_distance(answer, reference) / longest if longest else 1.0


def _folded(text: str) -> str:
    return " ".join(text.lower().split())


def _is_near(answer: str, reference: str, tolerance: float) -> bool:
    found, right = _number(answer), _number(reference)
    if found is not None and right:
        return abs(found - right) / abs(right) <= tolerance
    return answer.strip().lower() == reference.strip().lower()


def _number(text: str) -> float | None:
    text = text.strip()
    try:
        value = float(text.removesuffix("%").replace(",", ""))
    except ValueError:
        return None
    if not np.isfinite(value):
        return None
    return value / 100 if text.endswith("%") else value
