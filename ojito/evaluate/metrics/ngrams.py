"""Runs of one to four neighbouring words, which BLEU and CIDEr count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ojito.evaluate.metrics.answers import check_answers
from ojito.evaluate.metrics.ptb import tokenize

LONGEST = 4
"""Words of the longest run that is counted."""

Run = tuple[str, ...]


def runs(words: Sequence[str]) -> list[Counter[Run]]:
    """Return how often each run is in the words, for runs of 1, 2, 3 and 4."""
    return [
        Counter(tuple(words[at : at + length]) for at in range(len(words) - length + 1))
        for length in range(1, LONGEST + 1)
    ]


def tokenized(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]]
) -> tuple[list[Sequence[str]], list[list[Sequence[str]]]]:
    """Return the words of each hypothesis, and of each of its references.

    Args:
        hypotheses: A caption for each image.
        references: One or more for each image.

    Raises:
        OjitoError: They are not as many, or an image has no reference.
    """
    check_answers(hypotheses, references)
    return [tokenize(text) for text in hypotheses], [[tokenize(text) for text in group] for group in references]
