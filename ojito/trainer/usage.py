"""What of a device a run uses: tokens, operations and memory, for the lines of its log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from ojito.flops import StepOperations
from ojito.meter.memory import peak_memory
from ojito.meter.products import peak_rate
from ojito.model.meta import on_meta
from ojito.records import PADDING, Batch
from ojito.trainer.history import Step, Window
from ojito.trainer.loss import count_labels
from ojito.trainer.optim import set_trainable
from ojito.trainer.schedule import Clock
from ojito.trainer.state import TrainState


class Usage:
    """Counts the work of the steps of a stage, of all ranks together, and looks up the limits of the device.

    Args:
        state: The run, at the beginning of the stage.
    """

    def __init__(self, state: TrainState) -> None:
        self._state = state
        # Of the model's shapes: here the model itself may be in parts, on several ranks.
        model = on_meta(state.model.config, "the model")
        set_trainable(model, state.config)
        self._operations = StepOperations(model)

    def of(self, step: Step, batches: Sequence[Batch]) -> Step:
        """Return the step with its tokens and operations.

        Args:
            step: What was done with the batches.
            batches: Its micro-batches of this rank.
        """
        lengths = [length for batch in batches for length in _lengths(batch)]
        images = sum(batch.num_images for batch in batches)
        encoded = all(batch.images is None for batch in batches)
        work = self._operations.of(images, lengths, sum(map(count_labels, batches)), encoded)
        tokens, every, language = self._state.ranks.sums(sum(lengths), work.total, work.language)
        return replace(step, tokens=int(tokens), operations=every, language_operations=language)

    def figures(self, window: Window, clock: Clock) -> dict[str, Any]:
        """Return what a line of the log tells of the steps since the last one.

        Args:
            window: Their sums.
            clock: Of the run.
        """
        state, seconds = self._state, max(clock.seconds - window.seconds, 1e-9)
        peak = peak_rate(state.device, state.bfloat16, state.config.peak_tflops) * state.ranks.count
        return {
            "tokens_per_second": round(window.tokens / seconds, 1),
            "mfu": round(window.operations / seconds / peak, 4),
            "mfu_language": round(window.language_operations / seconds / peak, 4),
            "peak_memory": peak_memory(state.device),
        }


def _lengths(batch: Batch) -> list[int]:
    """Tokens of each sample, without padding: of each row, or of each document of a packed one."""
    real = batch.segments != PADDING
    if batch.documents is None:
        return real.sum(dim=1).tolist()
    most = int(batch.documents.max()) + 1
    numbers = batch.documents + most * torch.arange(len(real), device=real.device)[:, None]
    return torch.bincount(numbers[real & (batch.documents != PADDING)], minlength=1).tolist()
