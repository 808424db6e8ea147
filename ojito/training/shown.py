"""What a model says while it learns: its answers to a few rows, beside those that are expected."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from ojito.answering import Answer
from ojito.config import TrainConfig
from ojito.errors import one_line
from ojito.pipeline import Pipeline
from ojito.records import Sample
from ojito.trainer import TrainState
from ojito.trainer.progress import Display

_TOKENS = 64  # of an answer
_REFERENCES = 5  # of a row that are written down
_WIDTH = 70  # characters of a text on the display


class Shown:
    """Answers to a few rows, always the same; a `trainer.watch.Watch`.

    Of a row with several turns, the first one with answers is asked.

    Args:
        pipe: The model in training.
        config: The recipe's `train`: how many rows, and how often.
        samples: Rows to choose from.
        display: Shows the answers.

    Attributes:
        every: As of a `Watch`.
    """

    name = "shown"

    def __init__(self, pipe: Pipeline, config: TrainConfig, samples: Sequence[Sample], display: Display) -> None:
        self.every = config.show_every
        self._pipe, self._display = pipe, display
        self._questions: list[Sample] = []
        for sample in samples:
            number = next((i for i, turn in enumerate(sample.dialogue) if turn.answers), None)
            if number is not None and len(self._questions) < config.show_rows:
                turns = (*sample.dialogue[: number + 1],)
                self._questions.append(dataclasses.replace(sample, prompt="", turns=turns))

    def __call__(self, state: TrainState) -> dict[str, Any] | None:
        """Return the questions with what is said and what is expected; None where none can be asked."""
        shown = []
        answers = self._pipe.generate_each(self._questions, max_new_tokens=_TOKENS) if self._questions else ()
        for question, answer in zip(self._questions, answers, strict=True):
            if not isinstance(answer, Answer):
                continue  # the evaluation names the rows that cannot be asked
            turn = question.turns[-1]
            expected = [*turn.answers[:_REFERENCES]]
            shown.append(
                {"origin": question.origin, "prompt": turn.prompt, "answer": str(answer), "references": expected}
            )
            asked = f'"{_short(turn.prompt)}"' if turn.prompt else "caption"
            self._display.say(
                f'step {state.clock.step}: {_short(question.origin)} {asked}: "{_short(str(answer))}" '
                f'(expected "{_short(expected[0])}")'
            )
        return {"shown": shown} if shown else None


def _short(text: str) -> str:
    text = one_line(" ".join(text.split()))
    return text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."
