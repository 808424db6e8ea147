"""Scores of a model while it is trained, on rows that it does not learn."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from ojito.config import Config
from ojito.data import Rows, Source, Stream, drawn_rows, find_split
from ojito.evaluate import NothingAskedError, evaluate
from ojito.generate.model import evaluating
from ojito.learned import Learned
from ojito.pipeline import Pipeline
from ojito.processor import ImageError, RowError
from ojito.records import Sample
from ojito.trainer import History, count_labels, token_loss
from ojito.trainer.history import LESS_IS_BETTER
from ojito.trainer.logs import Metrics
from ojito.trainer.progress import Display

_KEYS = 20_000  # rows of large data that are known again by their images, for which these are read
_TOGETHER = 8  # rows of one pass for the loss
_MOST_NATS = 700.0  # beyond which no float has the perplexity
_DRAWN = 50  # rows of a source without end, which show its kinds of questions


class Scoring:
    """Asks the rows of `data.eval_split`, or of another usual name of it; the same rows every time.

    Args:
        pipe: The model.
        config: The recipe.
        source: The rows.
        display: Names the rows that cannot be asked.

    Attributes:
        split: The split.
        possible: Whether the data have it.
        problems: Rows that could not be asked, each once.
    """

    def __init__(self, pipe: Pipeline, config: Config, source: Rows | Stream, display: Display) -> None:
        self._pipe, self._config, self._source, self._display = pipe, config, source, display
        known = getattr(source, "splits", ())
        self.split = find_split(known, config.data.eval_split)
        self.possible = self.split in known
        self.problems: list[str] = []

    def rows(self) -> Sequence[Sample]:
        """The rows, at most `train.eval_samples` of them, drawn by the recipe's seed."""
        train = self._config.train
        seed = {"seed": train.seed} if isinstance(self._source, Source) else {}
        return [*self._source.samples(self.split, train.eval_samples, **seed)]  # type: ignore[union-attr]

    def score(self) -> dict[str, Any]:
        """Return the scores, {"n": 0} if no row can be asked: what was learned is not to be lost for want of one."""
        values: dict[str, Any] = {"n": 0}
        rows = self.rows()
        try:
            with self._display.progress("evaluating") as progress:
                report = evaluate(self._pipe, rows, controls=(), progress=progress)
            found, values = report.problems, report.scores.to_dict()
        except NothingAskedError as error:
            found = error.details or (str(error),)
        if values["n"] and self._config.train.score in LESS_IS_BETTER:
            values |= self._loss(rows)
        for problem in found:
            if problem not in self.problems:
                self.problems.append(problem)
                self._display.say(f"not asked in the evaluation: {problem}")
        return values

    @torch.no_grad()
    def _loss(self, samples: Sequence[Sample]) -> dict[str, float]:
        """The mean loss of the rows' first answers over their tokens, nats, and the perplexity that it makes."""
        processor, model = self._pipe.processor, self._pipe.model
        rows = []
        for sample in samples:
            with suppress(ImageError, RowError):  # which were named when they were asked
                rows.append(processor.row(sample, training=True))
        total, labels = 0.0, 0
        with evaluating(model):
            for first in range(0, len(rows), _TOGETHER):
                batch = processor.batch(rows[first : first + _TOGETHER]).to(model.device)
                total += float(token_loss(model, batch))
                labels += count_labels(batch)
        loss = total / max(labels, 1)
        return {"loss": round(loss, 6), "perplexity": round(math.exp(min(loss, _MOST_NATS)), 6)}

    def learned_among_them(self) -> int:
        """Return how many of the rows show an image that the model has learned."""
        learned = self._pipe.learned
        return learned.count(self.rows()) if learned and isinstance(self._source, Source) else 0


def scores_at(history: History, step: int) -> dict[str, Any] | None:
    """Return the scores of the evaluation after a step, if there was one."""
    for line in history.evaluations:
        if line["step"] == step:
            return {name: score for name, score in line.items() if name not in ("step", "seconds")}
    return None


def write_scores(scores: Mapping[str, Any], history: History, folder: Path | str | None) -> None:
    """Add the scores at the end of a run to its metrics.jsonl.

    Args:
        scores: As `Scoring.score` returns them.
        history: The record of the run.
        folder: Where metrics.jsonl is; None writes nothing.
    """
    if scores["n"]:
        with Metrics(folder, after=history.steps) as metrics:
            metrics.write({"evaluation": True, "step": history.steps, "seconds": round(history.seconds, 3), **scores})


def learned_of(source: Rows | Stream, config: Config, held_out: Sequence[Sample], before: Learned | None) -> Learned:
    """Return what the model will have learned; of a source without end, a few rows tell the kinds of its questions."""
    if isinstance(source, Stream):
        some = itertools.islice(source.stream(config.data.split, config.train.seed), _DRAWN)
        return Learned.of(some, before=before, keys=False)
    rows = drawn_rows(source.samples(config.data.split), _KEYS)
    return Learned.of(rows, drawn_rows(held_out, _KEYS), before, rule=getattr(source, "held", ""))
