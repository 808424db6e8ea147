"""Two models on the same questions, such as a quantized model and the one that it was made from.

Compared are their answers, and their logits at every token of the expected answers, which differ long before an answer
does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ojito.errors import OjitoError
from ojito.evaluate.likelihood import answer_logits, answer_row
from ojito.generate import evaluating
from ojito.records import Progress, Sample

if TYPE_CHECKING:
    from ojito.evaluate.runner import Report
    from ojito.pipeline import Pipeline
    from ojito.processor.prompts import Row


@dataclass(frozen=True)
class Expectations:
    """The logits of two models at the tokens of the expected answers.

    Attributes:
        tokens: How many tokens were compared.
        perplexity: Of the expected answers under the model; 1 is certainty.
        other_perplexity: Under the other model.
        cosine: Similarity of the two models' logits, mean over tokens.
        same_likeliest: Share of tokens at which both models find the same token the likeliest.
    """

    tokens: int
    perplexity: float
    other_perplexity: float
    cosine: float
    same_likeliest: float

    @property
    def perplexity_change(self) -> float:
        """How much higher the model's perplexity is: 0.01 is a hundredth."""
        return self.perplexity / self.other_perplexity - 1

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers by name."""
        return {**dataclasses.asdict(self), "perplexity_change": self.perplexity_change}


@torch.inference_mode()
def compare_expectations(
    pipe: Pipeline, other: Pipeline, samples: Sequence[Sample], batch_size: int = 8, progress: Progress | None = None
) -> Expectations:
    """Compare the logits of two models at every token of the samples' answers.

    Args:
        pipe: The one.
        other: The other, with the same tokenizer.
        samples: With answers; those that either model cannot read are left out.
        batch_size: Samples that are read at once.
        progress: Called with the samples that are done, and all of them.

    Raises:
        OjitoError: The models have different vocabularies, or read an answer as different tokens; no sample has an
            answer that can be read; a batch size below 1.
    """
    size = pipe.processor.tokenizer.size
    if size != other.processor.tokenizer.size:
        problem = f"has {other.processor.tokenizer.size} tokens, and {pipe.name} has {size}"
        raise OjitoError(other.name, problem, "compare models with one tokenizer")
    if batch_size < 1:
        raise OjitoError("batch_size", f"{batch_size} reads nothing", "use 1 or more")
    tokens, sums = 0, torch.zeros(4, dtype=torch.float64)
    with evaluating(pipe.model), evaluating(other.model):
        for start in range(0, len(samples), batch_size):
            pairs = [_rows(sample, pipe, other) for sample in samples[start : start + batch_size]]
            mine, others = [pair[0] for pair in pairs if pair], [pair[1] for pair in pairs if pair]
            if mine:
                count, part = _compare(pipe, mine, other, others)
                tokens, sums = tokens + count, sums + part
            if progress is not None:
                progress(min(start + batch_size, len(samples)), len(samples))
    if not tokens:
        raise OjitoError("samples", "have no answers that can be read", "give questions with answers")
    loss, other_loss, cosine, same = sums / tokens
    return Expectations(tokens, loss.exp().item(), other_loss.exp().item(), cosine.item(), same.item())


def _rows(sample: Sample, pipe: Pipeline, other: Pipeline) -> tuple[Row, Row] | None:
    """A sample as a row of either model; None where one of them cannot read it."""
    mine, others = answer_row(sample, pipe), answer_row(sample, other)
    return (mine, others) if mine and others else None


def _compare(pipe: Pipeline, rows: Sequence[Row], other: Pipeline, other_rows: Sequence[Row]) -> tuple[int, Tensor]:
    """Count the tokens of the answers, and sum over them both losses, the cosines, and where the likeliest is the same.

    Raises:
        OjitoError: The rows have different answers.
    """
    logits, targets, _ = answer_logits(pipe, rows)
    others, same_targets, _ = answer_logits(other, other_rows)
    if not torch.equal(targets, same_targets):
        raise OjitoError(other.name, f"reads answers otherwise than {pipe.name}", "compare alike models")
    sums = [
        F.cross_entropy(logits, targets, reduction="sum"),
        F.cross_entropy(others, targets, reduction="sum"),
        F.cosine_similarity(logits, others, dim=-1).sum(),
        (logits.argmax(-1) == others.argmax(-1)).sum(),
    ]
    return len(targets), torch.stack([one.double() for one in sums])


def same_answers(report: Report, other: Report) -> float:
    """Return the share of questions to which two models gave the same answer.

    Args:
        report: Of the one.
        other: Of the other, about the same samples.
    """
    given = {one.number: one.given for one in other.graded}
    both = [one for one in report.graded if one.number in given]
    return sum(one.given == given[one.number] for one in both) / max(len(both), 1)
