"""Models without memory for their weights, on PyTorch's device `meta`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ojito.config import ModelConfig
from ojito.model.vlm import VLM
from ojito.settings import ConfigError


def on_meta(config: ModelConfig, name: str) -> VLM:
    """Build a model without memory for its weights.

    Args:
        config: Of the model.
        name: What the model is called, for the error.

    Raises:
        ConfigError: The config's sizes are absurd.
    """
    try:
        with shapes_only():
            return VLM(config)
    except (RuntimeError, ValueError, OverflowError, TypeError):  # PyTorch's, on sizes beyond 64 bits
        problem = "the config's sizes are beyond any memory"
        raise ConfigError(name, problem, "use the config of a real model") from None


@contextmanager
def shapes_only() -> Iterator[None]:
    """Context in which modules are built on `meta`: with shapes, without weights, and without drawing any."""
    with torch.device("meta"), _Undrawn():
        yield


class _Undrawn(TorchFunctionMode):
    """Mode that draws no random numbers: `meta` cannot hold them, and PyTorch imports its compiler to find that out."""

    DRAWING = (nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_, nn.init.kaiming_normal_)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Leave a tensor that would be drawn as it is."""
        kwargs = kwargs or {}
        return [*args, *kwargs.values()][0] if func in self.DRAWING else func(*args, **kwargs)
