"""Which kinds of question a model answers no better than without looking."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ojito.evaluate.metrics.words import normalize
from ojito.evaluate.runner import Graded, Report, groups

FEWEST = 20
"""Questions of a kind below which luck and skill look alike."""

_NOISE = 2.0  # standard errors that a score must lie above what needs no looking


@dataclass(frozen=True)
class AtChance:
    """A kind of question whose score is not above what is had without looking.

    Attributes:
        kind: The kind.
        score: Share of right answers; of captions, mean word overlap.
        without: The best of the scores without looking.
        how: How that was had, "a blank image".
    """

    kind: str
    score: float
    without: float
    how: str

    @property
    def said(self) -> str:
        """The finding in a sentence."""
        form = ".3f" if self.kind == "caption" else ".0%"
        return f"{self.kind}: {self.score:{form}}, no better than {self.without:{form}} for {self.how}"


def kinds_at_chance(report: Report) -> list[AtChance]:
    """Return the kinds at chance, in the order in which they come.

    A score counts as better where it lies two standard errors above the best of these: the same questions about a blank
    image, about the image of another row, and always giving the one answer that is right most often.
    """
    found = []
    for kind, asked in groups(report.graded).items():
        if len(asked) < FEWEST or not any(one.sample.images for one in asked):
            continue
        caption = all(one.overlap is not None for one in asked)
        values = _values(asked, caption)
        others = [
            (_values(again, caption), how)
            for again, how in (
                (groups(report.blank).get(kind, ()), "a blank image"),
                (groups(report.exchanged).get(kind, ()), "the image of another row"),
            )
            if len(again) >= FEWEST
        ]
        if not caption:
            answer, right = most_often_right(asked)
            others.append((right, f'always answering "{answer}"'))
        if not others:
            continue
        without, how = max(others, key=lambda other: _mean(other[0]))
        noise = _NOISE * math.sqrt(_variance(values) / len(values) + _variance(without) / len(without))
        if _mean(values) <= _mean(without) + noise:
            found.append(AtChance(kind, _mean(values), _mean(without), how))
    return found


def most_often_right(asked: Sequence[Graded]) -> tuple[str, list[float]]:
    """Return the answer that is right for most of the questions, and for each of them whether it is."""
    accepted = [{normalize(answer): answer for answer in one.turn.answers} for one in asked]
    counts = Counter(answer for answers in accepted for answer in answers)
    best, _ = counts.most_common(1)[0]
    spelled = next(answers[best] for answers in accepted if best in answers)
    return spelled, [float(best in answers) for answers in accepted]


def _values(graded: Iterable[Graded], caption: bool) -> list[float]:
    return [float(one.overlap or 0.0) if caption else float(one.right) for one in graded]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _variance(values: Sequence[float]) -> float:
    mean = _mean(values)
    return sum((value - mean) ** 2 for value in values) / len(values)
