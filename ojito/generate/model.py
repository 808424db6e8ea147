"""What generation needs of a model: all that the engine calls, said once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ojito.config import ModelConfig
from ojito.model import KVCache
from ojito.records import Batch


class Model(Protocol):
    """A `VLM`, or what answers like one.

    Attributes:
        config: Its decoder's part says how large a cache is, how many positions there are, and who attends to whom.
        training: Whether it is in training mode; generation puts it into evaluation mode meanwhile.
    """

    config: ModelConfig
    training: bool

    @property
    def device(self) -> torch.device:
        """The device that it computes on, and that batches are moved to."""

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of keys and values."""

    def features(self, batch: Batch, cache: KVCache | None = None, last: bool = False) -> Tensor:
        """(B, T, D) hidden states of a batch, whose tokens are added to the cache; with `last` (B, 1, D)."""

    def head(self, hidden: Tensor) -> Tensor:
        """(..., V) logits of hidden states (..., D), in float32."""

    def check(self, batch: Batch) -> None:
        """Refuse a batch whose images do not fill its placeholders, or whose positions the decoder does not have."""

    def encode(self, images: Tensor) -> Tensor:
        """(N, P, D) visual tokens of images."""

    def modules(self) -> Iterator[nn.Module]:
        """All modules, each of which has a mode."""

    def train(self, mode: bool) -> Any:
        """Put it, and all of its modules, into training mode or evaluation mode."""


@contextmanager
def evaluating(model: Model | nn.Module) -> Iterator[None]:
    """Context with the model in evaluation mode; afterwards every module has the mode that it had before."""
    training = [module for module in model.modules() if module.training]  # frozen parts do not train
    if training:
        model.train(False)
    try:
        yield
    finally:
        for module in training:
            module.training = True
