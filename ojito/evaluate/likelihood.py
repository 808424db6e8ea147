"""How likely a model finds the expected answers: their loss, with the image and with less of it.

A loss tells more than a score while a model is weak: it changes long before an answer does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ojito.errors import OjitoError
from ojito.evaluate.controls import Control, altered
from ojito.evaluate.metrics.score import Score, compare, ratio
from ojito.evaluate.runner import Report, Scores
from ojito.generate import evaluating
from ojito.processor import ImageError, RowError
from ojito.records import IGNORE, Progress, Sample

if TYPE_CHECKING:
    from ojito.pipeline import Pipeline
    from ojito.processor.prompts import Row


@torch.inference_mode()
def answer_losses(
    pipe: Pipeline, samples: Sequence[Sample], batch_size: int = 8, progress: Progress | None = None
) -> list[tuple[float, int] | None]:
    """Return for each sample the loss of its answers, in nats, over all their tokens, and how many there are.

    Args:
        pipe: The model.
        samples: With answers; None is returned for one that the model cannot read, or that has none.
        batch_size: Samples that are read at once.
        progress: Called with the samples that are done, and all of them.

    Raises:
        OjitoError: A batch size below 1.
    """
    if batch_size < 1:
        raise OjitoError("batch_size", f"{batch_size} reads nothing", "use 1 or more")
    found: list[tuple[float, int] | None] = []
    with evaluating(pipe.model):
        for start in range(0, len(samples), batch_size):
            rows = [answer_row(sample, pipe) for sample in samples[start : start + batch_size]]
            losses: list[tuple[float, int]] = []
            if any(rows):
                logits, targets, counts = answer_logits(pipe, [row for row in rows if row])
                every = F.cross_entropy(logits.float(), targets, reduction="none").double()
                losses = [(part.sum().item(), len(part)) for part in torch.split(every, counts)]
            read = iter(losses)
            found += [next(read) if row else None for row in rows]
            if progress is not None:
                progress(len(found), len(samples))
    return found


def answer_row(sample: Sample, pipe: Pipeline) -> Row | None:
    """Return a sample as a row with its answer; None where the model cannot read it, or it has no answer.

    Args:
        sample: An image with questions and answers.
        pipe: The model.
    """
    try:
        row = pipe.processor.row(sample, training=True)
    except (ImageError, RowError):
        return None
    return row if any(target != IGNORE for target in row.targets) else None


def answer_logits(pipe: Pipeline, rows: Sequence[Row]) -> tuple[Tensor, Tensor, list[int]]:
    """Return what a model says at the tokens of the answers, on the CPU.

    Args:
        pipe: The model.
        rows: With answers.

    Returns:
        Logits (n, V of the tokenizer) and targets (n,) at the n tokens of all answers, and how many each row has.
    """
    batch = pipe.processor.batch(rows)
    model = pipe.prepared()
    labelled = batch.targets != IGNORE
    hidden = model.features(batch)
    logits = model.head(hidden[labelled.to(hidden.device)])[:, : pipe.processor.tokenizer.size]
    return logits.cpu(), batch.targets[labelled], labelled.sum(dim=1).tolist()


def loss_score(losses: Sequence[tuple[float, int]]) -> Score:
    """Return the mean loss of a token, in nats; its exponential is the perplexity."""
    return Score(np.array(losses, dtype=np.float64).reshape(-1, 2), ratio)


def perplexity_score(losses: Sequence[tuple[float, int]]) -> Score:
    """Return the perplexity of a token: the exponential of the mean loss, 1 for certainty.

    Raises:
        OjitoError: There are no losses.
    """
    if not losses:
        raise OjitoError("perplexity", "no row has an answer that can be read", "give rows with answers")
    return Score(np.array(losses, dtype=np.float64).reshape(-1, 2), _perplexity)


def losses_beside(
    pipe: Pipeline,
    report: Report,
    controls: Sequence[Control],
    seed: int = 0,
    batch_size: int = 8,
    progress: Progress | None = None,
) -> dict[str, tuple[Score, Score]]:
    """Return for each control the mean loss with the image and with less of it, of the questions that both can ask.

    Args:
        pipe: The model.
        report: An evaluation of it, whose questions are taken.
        controls: What to compare with.
        seed: Of the controls, as it was for the evaluation.
        batch_size: Questions that are read at once.
        progress: Called with the questions that are done, and all of them.
    """
    asked = [one.sample for one in report.graded if one.sample.images]
    whole, done = len(asked) * (1 + len(controls)), 0

    def losses(samples: Sequence[Sample]) -> list[tuple[float, int] | None]:
        nonlocal done
        told = (lambda n, _: progress(done + n, whole)) if progress is not None else None
        made = answer_losses(pipe, samples, batch_size, told)
        done += len(asked)
        return made

    own = losses(asked)
    found: dict[str, tuple[Score, Score]] = {}
    for control in controls:
        changed = altered(control, asked, pipe, seed)
        there = iter(losses([sample for sample in changed if sample]))
        others = [next(there) if sample else None for sample in changed]
        pairs = [(mine, other) for mine, other in zip(own, others, strict=True) if mine and other]
        if pairs:
            found[control] = loss_score([mine for mine, _ in pairs]), loss_score([other for _, other in pairs])
    return found


def grounding_to_dict(report: Report, control: str, losses: Mapping[str, tuple[Score, Score]]) -> dict[str, Any]:
    """Return for JSON the scores of a control, its loss, and by how much that is above the loss with the image.

    Args:
        report: The evaluation.
        control: One that was asked.
        losses: What `losses_beside` found.
    """
    own, other = losses[control]
    gap = compare(other, own)
    return {
        **Scores.of(getattr(report, control)).to_dict(),
        "loss_seen": round(own, 4),
        "loss": round(other, 4),
        "loss_above": {"difference": round(gap.difference, 4), "low": round(gap.low, 4), "high": round(gap.high, 4)},
    }


def _perplexity(sums: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # what a model holds impossible is infinite
        return np.exp(ratio(sums))
