"""What is looked at now and then while a model is trained, beside its scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import nn

from ojito.trainer.history import History
from ojito.trainer.state import TrainState


class Watch(Protocol):
    """Something to look at while a model is trained. It changes neither weights nor random numbers nor the data.

    Attributes:
        name: What it is known by in the record of the run.
        every: Steps between two looks; 0 looks at the end of the run only. There it always looks.
    """

    name: str
    every: int

    def __call__(self, state: TrainState) -> Mapping[str, Any] | None:
        """Return what is seen, for the log; None for nothing."""
        ...


def due(watches: Sequence[Watch], history: History, *, last: bool) -> Watch | None:
    """Return a watch whose turn it is after the last step, and which has not looked yet; None if there is none.

    Args:
        watches: All of them.
        history: The record of the run.
        last: Whether the run is over.
    """
    step = history.steps
    for watch in watches:
        turn = last or (watch.every > 0 and step % watch.every == 0)
        if turn and history.seen.get(watch.name, {}).get("step", 0) < step:
            return watch
    return None


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Context with a model in evaluation mode; afterwards each module and all random numbers are as before.

    Args:
        model: In training, or in part.
    """
    training = [module for module in model.modules() if module.training]
    devices = sorted({p.device.index or 0 for p in model.parameters() if p.device.type == "cuda"})
    with torch.random.fork_rng(devices):
        model.eval()
        try:
            yield
        finally:
            for module in training:
                module.training = True
