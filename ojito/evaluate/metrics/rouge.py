"""ROUGE-L: the longest sequence of words that a caption and a reference have in this order, gaps allowed.

Source: Lin 2004, https://aclanthology.org/W04-1013; as in COCO's evaluation, recall counts more (beta 1.2), and the
best precision and the best recall of any reference are taken.
"""

from __future__ import annotations

from collections.abc import Sequence

from ojito.evaluate.metrics.ngrams import tokenized
from ojito.evaluate.metrics.score import Score

_BETA = 1.2


def rouge_l(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
    """Return ROUGE-L, 0 to 1.

    Args:
        hypotheses: A caption for each image.
        references: One or more for each image.

    Raises:
        OjitoError: The references do not fit the captions.
    """
    scores = []
    for words, group in zip(*tokenized(hypotheses, references), strict=True):
        shared = [_longest(words, reference) for reference in group]
        precision = max(shared) / max(len(words), 1)
        recall = max(found / max(len(reference), 1) for found, reference in zip(shared, group, strict=True))
        divisor = recall + _BETA**2 * precision
        scores.append((1 + _BETA**2) * precision * recall / divisor if divisor else 0.0)
    return Score.mean(scores)


def _longest(words: Sequence[str], reference: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    line = [0] * (len(reference) + 1)
    for word in words:
        before = 0
        for at, other in enumerate(reference):
            here = line[at + 1]
            line[at + 1] = before + 1 if word == other else max(here, line[at])
            before = here
    return line[-1]
