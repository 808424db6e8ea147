"""Lesson 13: a training step. Read lesson.md first; `ojito learn check` says whether it is right, and what is wrong."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

PREDICTION = ""  # a, b or c: your answer to the question at the end of lesson.md

IGNORE = -100  # the label of a position that does not count


def token_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of the labelled tokens, in nats.

    Args:
        logits: (B, T, V).
        labels: (B, T), the token that the logits at the same position are to predict, or IGNORE.

    Returns:
        A tensor of one number, (): the sum over all labelled tokens, divided by their count. 0 where there are none.
    """
    labelled = labels != IGNORE  # (B, T)
    total = ...  # (): the sum in nats
    count = ...  # (): what to divide by
    return total / count


def accumulate(batches: Sequence[tuple[Tensor, Tensor]], loss: Callable[[Tensor, Tensor], Tensor]) -> float:
    """Compute the gradients of a step's micro-batches: the same as of one batch that holds them all.

    Args:
        batches: Micro-batches: inputs (b, t, ...) and labels (b, t) each, of different sizes. Some, or all of
            them, may have no label at all.
        loss: Takes inputs and labels of a micro-batch, and returns the mean over its labelled tokens, as `token_loss`.

    Returns:
        The loss of the step: the mean over the labelled tokens of all micro-batches.
    """
    counts = [int((labels != IGNORE).sum()) for _, labels in batches]  # labelled tokens of each micro-batch
    total = 0.0
    for (inputs, labels), count in zip(batches, counts, strict=True):
        share = ...  # of the step's labelled tokens
        part = ...  # (): what this micro-batch adds to the loss of the step
        ...  # a statement: add its gradients to those that are there
        total += part.item()
    return total


def train_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, batches: Sequence[tuple[Tensor, Tensor]], clip: float
) -> tuple[float, float]:
    """Move the weights once. They stay where they are if a gradient is infinite or NaN.

    Args:
        model: Takes inputs (b, t, ...) and returns logits (b, t, V).
        optimizer: Of all its parameters; these may have gradients from before.
        batches: The micro-batches of the step, as for `accumulate`.
        clip: Greatest norm of all gradients together.

    Returns:
        The loss, and the norm of all gradients together before it was clipped.
    """
    ...  # a statement: what the last step left must not be added to this one
    loss = accumulate(batches, ...)  # a function of inputs and labels that returns their token_loss
    norm = ...  # (): before clipping, which happens here
    finite = ...  # whether the step may be taken
    if finite:
        optimizer.step()
    return loss, float(norm)
