"""One step of training: batches in, weights changed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from ojito.records import Batch
from ojito.trainer.history import Step
from ojito.trainer.last_good import is_finite, moving_buffers
from ojito.trainer.loss import count_labels, token_loss
from ojito.trainer.optim import set_rate
from ojito.trainer.state import TrainState


def train_step(state: TrainState, batches: Sequence[Batch], rate: float) -> Step:
    """Update the weights once.

    Nothing changes when the loss or the gradient is not finite.

    Args:
        state: The run.
        batches: The micro-batches of this step, on the model's device.
        rate: Factor of the peak learning rates.
    """
    step = gradients(state, batches)
    update(state, step, rate)
    return step


def gradients(state: TrainState, batches: Sequence[Batch]) -> Step:
    """Compute the gradients of a step, clipped. Weights stay, and so does all else if the result is not finite.

    Args:
        state: The run.
        batches: The micro-batches of this step, on the model's device.
    """
    model, device = state.model, state.device
    # One count for all micro-batches, so that accumulation changes memory and time but never the gradient.
    labels = sum(count_labels(batch) for batch in batches)
    buffers = moving_buffers(model)
    statistics = [buffer.clone() for buffer in buffers]
    loss = torch.zeros((), device=device)
    finite = False
    try:
        for batch in batches:
            with torch.autocast(device.type, torch.bfloat16, enabled=state.bfloat16):
                part = token_loss(model, batch)
            (part / max(labels, 1)).backward()  # type: ignore[no-untyped-call]
            loss += part.detach()
        norm = nn.utils.clip_grad_norm_(state.learning, state.config.clip or math.inf)
        total = float(loss)
        finite = math.isfinite(total) and math.isfinite(float(norm)) and is_finite(buffers)
    finally:
        if not finite:  # or interrupted: the forward pass has moved batch norm's running statistics already
            for buffer, before in zip(buffers, statistics, strict=True):
                buffer.copy_(before)
    return Step(total, labels, sum(len(batch.tokens) for batch in batches), finite)


def update(state: TrainState, step: Step, rate: float) -> None:
    """Let the optimizers take the step, if it is finite, and drop its gradients.

    Args:
        state: The run.
        step: What `gradients` returned.
        rate: Factor of the peak learning rates.
    """
    if step.finite:
        set_rate(state.optimizers, rate)
        for optimizer in state.optimizers:
            optimizer.step()
    for optimizer in state.optimizers:
        optimizer.zero_grad()
