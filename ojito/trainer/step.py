"""One step of training: batches in, weights changed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from ojito.records import Batch
from ojito.trainer.history import Step
from ojito.trainer.last_good import is_finite, moving_buffers
from ojito.trainer.loss import count_labels
from ojito.trainer.norms import clip_gradients
from ojito.trainer.optim import set_rate
from ojito.trainer.parallel import syncing
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
    model, device, ranks = state.model, state.device, state.ranks
    # One count for all micro-batches of all ranks, so that accumulation and ranks never change the gradient.
    counts = sum(map(count_labels, batches)), sum(batch.num_samples for batch in batches)
    labels, samples = map(int, ranks.sums(*counts))
    buffers = moving_buffers(model)
    statistics = [buffer.clone() for buffer in buffers]
    loss = torch.zeros((), device=device)
    finite = False
    try:
        for number, batch in enumerate(batches, 1):
            with syncing(state.engine, last=number == len(batches)), ranks.watched():
                with torch.autocast(device.type, torch.bfloat16, enabled=state.bfloat16):
                    part = state.engine(batch)
                # The engines average over the ranks what is to be summed.
                (part * (ranks.count / max(labels, 1))).backward()
            loss += part.detach()
        norms = clip_gradients(model, state.config.clip)
        total, bad = ranks.sums(float(loss), not is_finite(buffers))
        finite = math.isfinite(total) and math.isfinite(norms["all"]) and not bad
    finally:
        if not finite:  # or interrupted: the forward pass has moved batch norm's running statistics already
            for buffer, before in zip(buffers, statistics, strict=True):
                buffer.copy_(before)
    return Step(total, labels, samples, finite, norms)


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
