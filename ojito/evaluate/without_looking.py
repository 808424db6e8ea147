"""What can be had without looking, learned from the training rows of the same data, beside what the model has.

constant_answer     the commonest answer of all, whatever is asked
question_prior      the commonest answer to the same question; of its kind, where the question is new; else of all
constant_caption    the caption that agrees most with the training captions, given for every image
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from ojito.data import Scenes, drawn_rows
from ojito.evaluate.held_out import CHOSEN_FROM, HeldOut
from ojito.evaluate.metrics.answers import exact_match
from ojito.evaluate.metrics.boxes import expects_boxes
from ojito.evaluate.metrics.cider import cider
from ojito.evaluate.metrics.consensus import most_agreed
from ojito.evaluate.metrics.score import Difference, Score, compare, signed
from ojito.evaluate.metrics.words import normalize
from ojito.evaluate.runner import Graded, Report
from ojito.records import Sample, Turn


@dataclass(frozen=True)
class Blind:
    """A score that was had without looking, beside the model's.

    Attributes:
        how: How, in words: 'always answering "no"'.
        metric: Name of the score.
        score: What it has.
        ahead: By how much the model is above it, on the same questions.
        per_kind: Both of each kind of question; empty where there is one kind.
        candidates: Among how many texts it was chosen; None where that is no choice of one.
    """

    how: str
    metric: str
    score: Score
    ahead: Difference
    per_kind: Mapping[str, tuple[Score, Difference]]
    candidates: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return values for JSON."""
        chosen = {} if self.candidates is None else {"candidates": self.candidates}
        kinds = {
            kind: {**score.to_dict(), "model_above": ahead.to_dict()} for kind, (score, ahead) in self.per_kind.items()
        }
        values = {"how": self.how, "metric": self.metric, **chosen, **self.score.to_dict()}
        return {**values, "model_above": self.ahead.to_dict(), "per_kind": kinds}


class Priors:
    """The commonest answers of training rows.

    Args:
        rows: Rows with questions and answers; captions and boxes are passed over. What several people answer to one
            question counts as one answer.
    """

    def __init__(self, rows: Iterable[Sample]) -> None:
        self._all: Counter[str] = Counter()
        self._of_kind: dict[str, Counter[str]] = defaultdict(Counter)
        self._of_question: dict[str, Counter[str]] = defaultdict(Counter)
        for row in rows:
            for turn in row.dialogue:
                if turn.answers and _is_answered_in_words(turn):
                    for answer in map(normalize, turn.answers):
                        for counts in (self._all, self._of_kind[turn.kind], self._of_question[_asked(turn)]):
                            counts[answer] += 1 / len(turn.answers)  # type: ignore[assignment]

    def __bool__(self) -> bool:
        return bool(self._all)

    @property
    def answers(self) -> int:
        """How many different answers there are."""
        return len(self._all)

    @property
    def constant(self) -> str:
        """The commonest answer of all."""
        return _commonest(self._all)

    def answer(self, turn: Turn) -> str:
        """Return the commonest answer to the same question, of its kind, or of all."""
        known = self._of_question.get(_asked(turn)) or self._of_kind.get(turn.kind) or self._all
        return _commonest(known)


def without_looking(held_out: HeldOut, report: Report) -> dict[str, Blind]:
    """Return what can be had without looking, by name; nothing where the data have no training split.

    Args:
        held_out: The rows that were asked, of a source whose training split is learned from.
        report: The model's answers.
    """
    source, split = held_out.source, held_out.split
    if isinstance(source, Scenes) or split == "train" or "train" not in source.splits:
        return {}
    train = drawn_rows(source.samples("train"), CHOSEN_FROM)
    found: dict[str, Blind] = {}
    questions = [one for one in report.graded if _is_answered_in_words(one.turn)]
    priors = Priors(train) if questions else None
    if priors:
        constant = priors.constant
        how = f'always answering "{constant}"'
        found["constant_answer"] = _beside(questions, [constant] * len(questions), how, priors.answers)
        how = "the commonest answer to the same question"
        found["question_prior"] = _beside(questions, [priors.answer(one.turn) for one in questions], how)
    captions = [one for one in report.graded if one.turn.wants_caption]
    known = [turn.answers for row in train for turn in row.dialogue if turn.wants_caption and turn.answers]
    if captions and known:
        chosen = most_agreed(known)
        references = [one.turn.answers for one in captions]
        score = cider([chosen.caption] * len(captions), references)
        ahead = compare(cider([one.given for one in captions], references), score)
        how = f'always saying "{chosen.caption}"'
        found["constant_caption"] = Blind(how, "cider", score, ahead, {}, chosen.candidates)
    return found


def without_looking_table(values: Mapping[str, Any]) -> str:
    """Return what `Blind.to_dict` gives of each as a table for people, and whether the model is ahead of the best."""
    lines = [f"{'without looking':<44}  {'score':<11}  {'value':>5}  {'95% interval':<14}  the model is ahead by"]
    for one in values.values():
        lines.append(
            f"{_short(one['how'], 44):<44}  {one['metric']:<11}  {one['score']:.3f}  {one['low']:.3f} to "
            f"{one['high']:.3f}  {signed(one['model_above'])}"
        )
    return "\n".join([*lines, *verdicts(values)])


def verdicts(values: Mapping[str, Any]) -> list[str]:
    """Say for each metric whether the model is ahead of the best that is had without looking."""
    said = []
    for metric in dict.fromkeys(one["metric"] for one in values.values()):
        best = max((one for one in values.values() if one["metric"] == metric), key=lambda one: one["score"])
        gap = best["model_above"]
        ahead = "ahead of" if gap["low"] > 0 else "behind" if gap["high"] < 0 else "not told apart from"
        said.append(f"{metric}: the model is {ahead} the best of these, {signed(gap)}, p = {gap['p']:.4f}")
    return said


def without_looking_html(values: Mapping[str, Any]) -> str:
    """Return the same as a section of a web page."""
    rows = ["<tr><th>Without looking<th>Score<th>Value<th>95% interval<th>The model is ahead by</tr>"]
    for one in values.values():
        rows.append(
            f"<tr><td>{escape(one['how'])}<td>{escape(one['metric'])}<td>{one['score']:.3f}"
            f"<td>{one['low']:.3f} to {one['high']:.3f}<td>{signed(one['model_above'])}</tr>"
        )
    said = "".join(f"<p>{escape(verdict)}.</p>" for verdict in verdicts(values))
    table = f'<div class="panel"><table>{"".join(rows)}</table></div>'
    return (
        "<h2>Without looking</h2><p>Learned from the training rows of the same data, and scored on these. Only what "
        f"the model has beyond it can come from looking.</p>{table}{said}"
    )


def _beside(questions: Sequence[Graded], answers: Sequence[str], how: str, candidates: int | None = None) -> Blind:
    """What these answers score on questions, beside the model's."""
    references = [one.turn.answers for one in questions]
    score = exact_match(answers, references)
    ours = Score.mean([float(one.right) for one in questions])
    kinds = np.array([one.kind for one in questions])
    per_kind = {}
    for kind in dict.fromkeys(kinds.tolist()):
        part = Score(score.counts[kinds == kind], score.combine)
        per_kind[kind] = (part, compare(Score(ours.counts[kinds == kind], ours.combine), part))
    return Blind(how, "exact_match", score, compare(ours, score), per_kind if len(per_kind) > 1 else {}, candidates)


def _is_answered_in_words(turn: Turn) -> bool:
    return not turn.wants_caption and not expects_boxes(turn)


def _asked(turn: Turn) -> str:
    return normalize(turn.prompt)


def _commonest(counts: Counter[str]) -> str:
    """The commonest text; of equally common ones the first in the alphabet, whatever the order of the rows."""
    return min(counts, key=lambda text: (-round(counts[text], 6), text))


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
