"""Which answers a model takes for which others."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from ojito.evaluate.metrics.words import normalize
from ojito.evaluate.runner import Graded, Report, groups

MOST_ANSWERS = 50
"""Different answers that a closed set of them has at most."""


@dataclass(frozen=True)
class Confused:
    """A wrong answer that was given several times in place of the same right one.

    Attributes:
        kind: Kind of the questions.
        expected: The right answer, as exact match sees it.
        given: The wrong one.
        count: How often.
        of: How often that answer was expected.
    """

    kind: str
    expected: str
    given: str
    count: int
    of: int


def confusion(report: Report, most: int = 12) -> list[Confused]:
    """Return the most frequent wrong answers to questions whose answers come from a closed set.

    Args:
        report: The evaluation.
        most: How many at most.
    """
    found: list[Confused] = []
    for kind, asked in groups(report.graded).items():
        closed = [one for one in asked if one.overlap is None and len(one.turn.answers) == 1]
        expected = Counter(_expected(one) for one in closed)
        # Where answers hardly ever come back, no two of them can be told to be confused.
        if not closed or len(expected) > min(MOST_ANSWERS, len(closed) / 2):
            continue
        pairs = Counter((_expected(one), normalize(one.given)) for one in closed if not one.right)
        found += [Confused(kind, *pair, count, expected[pair[0]]) for pair, count in pairs.items() if count > 1]
    return sorted(found, key=lambda pair: -pair.count)[:most]


def _expected(one: Graded) -> str:
    return normalize(one.turn.answers[0])
