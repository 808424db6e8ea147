"""Weights that are known to be good, in case an update ruins those in use."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ojito.model import VLM
from ojito.records import Batch
from ojito.trainer.loss import token_loss
from ojito.trainer.parallel import local

MOST = 2**28
"""Bytes that the copy may take; of larger models none is kept."""


class LastGood:
    """A copy of the weights that last gave a finite loss and gradient, and the batch that they gave it for.

    An update can ruin weights although loss and gradient were finite, as one with a far too high learning rate does.
    That shows in the next step only: so what an update leaves is unproven until then, and at the end it is tried.

    Args:
        model: The model.
        loss: Computes its loss; where several ranks hold the model, each of them tries the weights at the same time.
    """

    def __init__(self, model: VLM, loss: Callable[[Batch], Tensor] | None = None) -> None:
        self._model, self._loss = model, loss or partial(token_loss, model)
        self._changing = [p for p in model.parameters() if p.requires_grad] + moving_buffers(model)
        self._small = sum(tensor.nbytes for tensor in self._changing) <= MOST
        self._copy: list[Tensor] = []
        self._batch: Batch | None = None

    @torch.no_grad()
    def keep(self, batch: Batch) -> None:
        """Keep the weights as they are, before an update: they gave a finite loss and gradient for this batch."""
        self._batch = batch
        if self._small and not self._copy:
            self._copy = [tensor.clone() for tensor in self._changing]
            return
        for copy, tensor in zip(self._copy, self._changing, strict=self._small):
            copy.copy_(tensor)

    def before(self) -> list[tuple[Tensor, Tensor]]:
        """Return what an update changes, each with its copy from before the last one; nothing of a large model."""
        return [*zip(self._changing, self._copy, strict=True)] if self._copy else []

    @torch.no_grad()
    def proves(self) -> bool:
        """Try the weights in use, as a model that answers uses them, on the batch of the last good step."""
        if self._batch is None:
            return True  # no update has changed them
        self._model.eval()
        try:
            return is_finite([*self._model.state_dict().values()]) and math.isfinite(float(self._loss(self._batch)))
        except RuntimeError:  # a device that has failed, or has no memory left
            return False

    @torch.no_grad()
    def restore(self) -> bool:
        """Go back to the weights before the last update. Returns whether there are any."""
        for copy, tensor in zip(self._copy, self._changing, strict=self._small):
            tensor.copy_(copy)
        return bool(self._copy) and self.proves()


def moving_buffers(model: VLM) -> list[Tensor]:
    """The buffers that a step changes: the running statistics of batch norms in training mode."""
    training = (module for module in model.modules() if module.training)
    return [buffer for module in training for buffer in module.buffers(recurse=False)]


def is_finite(tensors: list[Tensor]) -> bool:
    """Whether all numbers are. Waits for the device once."""
    return not tensors or bool(torch.stack([local(tensor).isfinite().all() for tensor in tensors]).all())
