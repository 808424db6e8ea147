"""Scores for which a model is asked again, or reads the expected answers: they need the model, not its answers alone.

perplexity          of the expected answers, token by token; 1 is certainty
circular_choice     share of questions that are right in every rotation of their choices
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ojito.data.choices import LETTERS, with_choices, without_choices
from ojito.errors import OjitoError
from ojito.evaluate.likelihood import answer_losses, perplexity_score
from ojito.evaluate.metrics.answers import circular
from ojito.evaluate.metrics.score import Score
from ojito.evaluate.runner import Report, ask
from ojito.evaluate.scoring import PASSES
from ojito.generate import GenerateOptions
from ojito.records import Progress, Sample, Turn

if TYPE_CHECKING:
    from ojito.pipeline import Pipeline


def check_passes(names: Sequence[str], samples: Sequence[Sample]) -> None:
    """Refuse a score that the samples cannot have, before the time that the questions take.

    Raises:
        OjitoError: Circular choice is named, and there are no choices.
    """
    if "circular_choice" in names and not any(turn.choices for sample in samples for turn in sample.dialogue):
        problem = f"'circular_choice' needs questions with choices, and the {len(samples)} rows have none"
        raise OjitoError("metrics", problem, "leave it out, or see docs/data.md for rows with choices")


def pass_scores(
    pipe: Pipeline,
    samples: Sequence[Sample],
    report: Report,
    names: Sequence[str],
    options: GenerateOptions | None = None,
    batch_size: int = 64,
    progress: Progress = lambda done, total: None,
) -> dict[str, Score]:
    """Return those of the scores that are named.

    Args:
        pipe: The model.
        samples: The rows that it was asked.
        report: Its answers.
        names: Scores; those of `PASSES` are made.
        options: How it answers, as for `evaluate`.
        batch_size: Questions that are asked at once.
        progress: Called with what is done of a pass, and all of it.

    Raises:
        OjitoError: No sample has an answer that can be read, or none has choices.
    """
    check_passes(names, samples)
    found = {}
    for name in PASSES:
        if name not in names:
            continue
        if name == "perplexity":
            losses = answer_losses(pipe, samples, progress=progress)
            found[name] = perplexity_score([one for one in losses if one])
        else:
            found[name] = _circular_choice(pipe, report, options or GenerateOptions(), batch_size, progress)
    return found


def rotated(turn: Turn, by: int) -> Turn:
    """Return a question with its choices moved on, the last ones first, and the letter that is then right.

    Args:
        turn: A question with choices.
        by: How far.
    """
    choices, by = turn.choices, by % len(turn.choices)
    moved = (*choices[len(choices) - by :], *choices[: len(choices) - by])
    answers = tuple(LETTERS[(LETTERS.index(answer) + by) % len(choices)] for answer in turn.answers)
    prompt = with_choices(without_choices(turn.prompt, choices), moved)
    return dataclasses.replace(turn, prompt=prompt, answers=answers, choices=moved)


def _circular_choice(
    pipe: Pipeline, report: Report, options: GenerateOptions, batch_size: int, progress: Progress
) -> Score:
    """Ask each question with choices in the rotations that are left; one that cannot be asked is wrong."""
    asked = [one for one in report.graded if one.turn.choices]
    again, owners = [], []
    for at, one in enumerate(asked):
        for by in range(1, len(one.turn.choices)):
            turns = (*one.sample.dialogue[:-1], rotated(one.turn, by))
            again.append(dataclasses.replace(one.sample, prompt="", turns=turns))
            owners.append(at)
    options = dataclasses.replace(options, max_new_tokens=report.limit or options.max_new_tokens)
    right = defaultdict(list, {at: [one.right] for at, one in enumerate(asked)})
    answered = {one.number: one.right for one in ask(pipe, again, options, batch_size, progress)}
    for number, at in enumerate(owners):
        right[at].append(answered.get(number, False))
    return circular([*right.values()])
