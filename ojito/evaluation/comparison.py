"""One model beside another one on the same questions, such as a quantized model beside the one that it was made from.

What both answer is compared, and before that what they expect: at every token of the expected answers, the logits of
both. These differ where no answer does yet.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ojito.errors import OjitoError
from ojito.processor import ImageError, RowError
from ojito.records import IGNORE, Progress, Sample

if TYPE_CHECKING:
    from ojito.evaluation.runner import Report
    from ojito.pipeline import Pipeline


@dataclass(frozen=True)
class Expectations:
    """What two models expect at the tokens of the expected answers.

    Attributes:
        tokens: Tokens that were looked at.
        perplexity: Of the model's expectations: 1 is certainty of every token.
        other_perplexity: Of the other model's.
        cosine: Of the two models' logits, on average.
        same_likeliest: Share of tokens at which both hold the same one for the likeliest.
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
    """Compare what two models expect at every token of the samples' answers.

    Args:
        pipe: The one.
        other: The other, with the same tokenizer.
        samples: With answers; those that cannot be read are left out.
        batch_size: Samples that are read at once.
        progress: Called with the samples that are done, and all of them.

    Raises:
        OjitoError: The models have different vocabularies, or no sample has an answer that can be read.
    """
    size = pipe.processor.tokenizer.size
    if size != other.processor.tokenizer.size:
        problem = f"has {other.processor.tokenizer.size} tokens, and {pipe.name} has {size}"
        raise OjitoError(other.name, problem, "compare models with one tokenizer")
    tokens, sums = 0, torch.zeros(4, dtype=torch.float64)
    for start in range(0, len(samples), batch_size):
        part = _readable(pipe, samples[start : start + batch_size])
        if part:
            logits, targets = _labelled(pipe, part, size)
            others, same_targets = _labelled(other, part, size)
            if not torch.equal(targets, same_targets):
                raise OjitoError(other.name, f"reads answers otherwise than {pipe.name}", "compare alike models")
            tokens += len(targets)
            sums += torch.stack(
                [
                    F.cross_entropy(logits, targets, reduction="sum"),
                    F.cross_entropy(others, targets, reduction="sum"),
                    F.cosine_similarity(logits, others, dim=-1).sum(),
                    (logits.argmax(-1) == others.argmax(-1)).sum(),
                ]
            ).cpu()
        if progress is not None:
            progress(min(start + batch_size, len(samples)), len(samples))
    if not tokens:
        raise OjitoError("samples", "have no answers that can be read", "give questions with answers")
    loss, other_loss, cosine, same = (sums / tokens).tolist()
    return Expectations(tokens, math.exp(loss), math.exp(other_loss), cosine, same)


def same_answers(report: Report, other: Report) -> float:
    """Return the share of questions to which two models gave the same answer.

    Args:
        report: Of the one.
        other: Of the other, about the same samples.
    """
    given = {one.number: one.given for one in other.graded}
    both = [one for one in report.graded if one.number in given]
    return sum(one.given == given[one.number] for one in both) / max(len(both), 1)


def _readable(pipe: Pipeline, samples: Sequence[Sample]) -> list[Sample]:
    """The samples that are rows with answers."""
    found = []
    for sample in samples:
        try:
            row = pipe.processor.batch([pipe.processor.row(sample, training=True)])
        except (ImageError, RowError):
            continue
        if bool((row.targets != IGNORE).any()):
            found.append(sample)
    return found


def _labelled(pipe: Pipeline, samples: Sequence[Sample], size: int) -> tuple[Tensor, Tensor]:
    """Logits (n, size) and targets (n,) at the tokens of the answers."""
    batch = pipe.processor(samples, training=True)
    model = pipe.prepared()
    hidden = model.features(batch)
    labelled = batch.targets.to(hidden.device) != IGNORE
    return model.head(hidden[labelled])[:, :size], batch.targets.to(hidden.device)[labelled]
