"""Lesson 13, solved. In the library: ojito/trainer/loss.py, ojito/trainer/step.py."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

PREDICTION = "b"

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
    total = nn.functional.cross_entropy(logits[labelled], labels[labelled], reduction="sum")  # (): the sum in nats
    count = labelled.sum().clamp(min=1)  # (): what to divide by
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
        share = count / max(sum(counts), 1)  # of the step's labelled tokens
        part = loss(inputs, labels) * share  # (): what this micro-batch adds to the loss of the step
        part.backward()
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
    optimizer.zero_grad()
    loss = accumulate(batches, lambda inputs, labels: token_loss(model(inputs), labels))
    norm = nn.utils.clip_grad_norm_(model.parameters(), clip)  # (): before clipping, which happens here
    finite = norm.isfinite()  # whether the step may be taken
    if finite:
        optimizer.step()
    return loss, float(norm)
