"""Published scores of an evaluation's answers, chosen by what the data have, with intervals and the grounding gap."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from ojito.errors import OjitoError, nearest
from ojito.evaluate.controls import CONTROLS
from ojito.evaluate.metrics.answers import anls, check_answers, exact_match, plain_answer, relaxed_accuracy
from ojito.evaluate.metrics.bleu import bleu
from ojito.evaluate.metrics.boxes import average_precision, boxes_in, expects_boxes, mean_iou
from ojito.evaluate.metrics.cider import cider
from ojito.evaluate.metrics.hallucination import Pope, pope
from ojito.evaluate.metrics.overlap import overlap
from ojito.evaluate.metrics.rouge import rouge_l
from ojito.evaluate.metrics.score import Difference, Score, compare, signed
from ojito.evaluate.metrics.vqa import vqa_accuracy
from ojito.evaluate.metrics.words import normalize
from ojito.evaluate.runner import Report
from ojito.locate.boxes import Box
from ojito.records import Turn

_PEOPLE = 10
"""Answers of different people to one question, from which on VQA accuracy is meant."""


class Answered(Protocol):
    """A question with the model's answer."""

    @property
    def turn(self) -> Turn:
        """The question with its answers."""

    @property
    def given(self) -> str:
        """The model's answer."""


@dataclass(frozen=True)
class Metric:
    """A way to score answers.

    Attributes:
        score: The score of answers with their references.
        fits: Whether it is the usual one for such a turn; others are used where they are named.
    """

    score: Callable[[Sequence[str], Sequence[Sequence[str]]], Score]
    fits: Callable[[Turn], bool] = lambda turn: False


def _is_question(turn: Turn) -> bool:
    return not (turn.wants_caption or turn.choices or expects_boxes(turn))


def _has_choices(turn: Turn) -> bool:
    return bool(turn.choices)


def _is_asked_of_many(turn: Turn) -> bool:
    return _is_question(turn) and len(turn.answers) >= _PEOPLE


def _is_yes_or_no(turn: Turn) -> bool:
    return _is_question(turn) and {normalize(answer) for answer in turn.answers} <= {"yes", "no"}


def _wants_caption(turn: Turn) -> bool:
    return turn.wants_caption


def _overlap(answers: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
    check_answers(answers, references)
    return Score.mean([overlap(answer, group) for answer, group in zip(answers, references, strict=True)])


def _pope(part: Callable[[Pope], Score], answers: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
    check_answers(answers, references)
    return part(pope(answers, [normalize(group[0]) == "yes" for group in references]))


def _boxes(
    score: Callable[[Sequence[Sequence[Box]], Sequence[Sequence[Box]]], Score],
    answers: Sequence[str],
    references: Sequence[Sequence[str]],
) -> Score:
    check_answers(answers, references)
    return score([boxes_in(answer) for answer in answers], [boxes_in(group[0]) for group in references])


METRICS: Mapping[str, Metric] = {
    "exact_match": Metric(exact_match, _is_question),
    "choice": Metric(exact_match, _has_choices),
    "vqa_accuracy": Metric(vqa_accuracy, _is_asked_of_many),
    "pope_f1": Metric(partial(_pope, lambda found: found.f1), _is_yes_or_no),
    "yes_rate": Metric(partial(_pope, lambda found: found.yes_rate), _is_yes_or_no),
    "cider": Metric(cider, _wants_caption),
    "bleu_1": Metric(partial(bleu, n=1)),
    "bleu_2": Metric(partial(bleu, n=2)),
    "bleu_3": Metric(partial(bleu, n=3)),
    "bleu_4": Metric(partial(bleu, n=4), _wants_caption),
    "rouge_l": Metric(rouge_l, _wants_caption),
    "overlap": Metric(_overlap, _wants_caption),
    "mean_iou": Metric(partial(_boxes, mean_iou), expects_boxes),
    "ap_50": Metric(partial(_boxes, average_precision), expects_boxes),
    "anls": Metric(anls),
    "relaxed_accuracy": Metric(relaxed_accuracy),
}
"""The scores by name, in the order in which they are told."""

_COLUMNS = 2  # controls beside a score, in a table for people

_NOT_BETTER = {"yes_rate"}
"""Scores of which more is not better: there is no gap to tell."""


PASSES = ("perplexity", "circular_choice")
"""Scores for which the model itself is needed; see `passes`."""


def check_metrics(names: Sequence[str], passes: bool = False) -> None:
    """Refuse names that are not of a metric.

    Args:
        names: What is asked for.
        passes: Whether the model is there, so that scores of `PASSES` can be made.

    Raises:
        OjitoError: One of them is not.
    """
    known = (*METRICS, *PASSES) if passes else (*METRICS,)
    for name in names:
        if name in PASSES and not passes:
            raise OjitoError("metrics", f"{name!r} needs the model, and here are answers alone", "use `ojito eval`")
        if name not in known:
            raise OjitoError("metrics", f"{name!r} is not one of {', '.join(known)}", nearest(name, known))


def score_answers(graded: Sequence[Answered], names: Sequence[str] | None = None) -> dict[str, Score]:
    """Return the scores of answers by name.

    Args:
        graded: The questions with their answers.
        names: Metrics, for all questions; None for the usual ones, each for the questions that it fits.

    Raises:
        OjitoError: An unknown metric.
    """
    check_metrics(names or ())
    found = {}
    for name, metric in METRICS.items():
        chosen = [one for one in graded if (metric.fits(one.turn) if names is None else name in names)]
        if chosen:
            answers = [plain_answer(one.given, one.turn.choices) for one in chosen]
            found[name] = metric.score(answers, [one.turn.answers for one in chosen])
    return found


def grounding_gap(report: Report, control: str, names: Sequence[str] | None = None) -> dict[str, Difference]:
    """Return by how much each score is above that of the same questions in a control, with its interval.

    Args:
        report: The evaluation.
        control: "blank", "exchanged".
        names: As for `score_answers`.
    """
    again = {one.number: one for one in getattr(report, control)}
    asked = [one for one in report.graded if one.number in again]
    theirs = score_answers([again[one.number] for one in asked], names)
    ours = score_answers(asked, names)
    return {name: compare(ours[name], theirs[name]) for name in ours if name not in _NOT_BETTER}


def scores_to_dict(report: Report, names: Sequence[str] | None = None) -> dict[str, Any]:
    """Return for JSON each score with its interval, and its gap above each control that was run."""
    gaps = {control: grounding_gap(report, control, names) for control in CONTROLS if getattr(report, control)}
    values: dict[str, Any] = {}
    for name, score in score_answers(report.graded, names).items():
        values[name] = score.to_dict()
        for control, found in gaps.items():
            if name in found:
                values[name][f"above_{control}"] = found[name].to_dict()
    return values


def kinds_to_dict(report: Report, names: Sequence[str] | None = None) -> dict[str, Any]:
    """Return for JSON what `scores_to_dict` gives of each kind of question, each scored by itself."""
    return {kind: scores_to_dict(report.of_kind(kind), names) for kind in report.per_kind}


def scores_table(values: Mapping[str, Any]) -> str:
    """Return what `scores_to_dict` gives as a table for people."""
    controls = [key.removeprefix("above_") for key in next(iter(values.values()), {}) if key.startswith("above_")]
    controls = controls[:_COLUMNS]
    width = max(map(len, values), default=0)
    head = f"{'':<{width}}  {'score':>7}  {'95% interval':<16}" + "".join(f"  {'above ' + c:<25}" for c in controls)
    lines = [head.rstrip()]
    for name, one in values.items():
        line = f"{name:<{width}}  {one['score']:>7.3f}  {one['low']:.3f} to {one['high']:.3f}"
        for control in controls:
            gap = one.get(f"above_{control}")
            said = "" if gap is None else signed(gap)
            line = f"{line:<{width + 27}}" if control == controls[0] else line
            line += f"  {said:<25}"
        lines.append(line.rstrip())
    return "\n".join(lines)
