"""Memory that weights, cache and training take, checked before it is taken."""

from __future__ import annotations

import torch
from torch import nn

from ojito.config import DecoderConfig, TrainConfig
from ojito.device import available_memory
from ojito.model import VLM

LEARNING = {"adamw": 16, "muon": 12}
"""Bytes a parameter that learns: weight, gradient and the optimizer's moments, two or one, float32 each."""


def check_memory(name: str, model: VLM, dtype: torch.dtype, device: torch.device) -> None:
    """Tells before the system kills the process.

    Raises:
        ValueError: Too little memory.
    """
    what = f"for its weights in {str(dtype).removeprefix('torch.')}"
    _check(name, _count(model) * dtype.itemsize, what, device, "use a smaller model or free memory")


def check_training_memory(name: str, model: VLM, config: TrainConfig, device: torch.device) -> None:
    """As `check_memory`, of a model that is trained in float32; its activations come on top.

    Raises:
        ValueError: Too little memory.
    """
    frozen = sum(_count(model.parts[part]) for part in config.freeze)
    needed = frozen * torch.float32.itemsize + (_count(model) - frozen) * LEARNING[config.optimizer]
    remedy = "freeze a part, as with train.freeze=[vision], use a smaller model or free memory"
    _check(name, needed, "to be trained, weights, gradients and the optimizer's moments", device, remedy)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _check(name: str, needed: int, what: str, device: torch.device, remedy: str) -> None:
    free = available_memory(device)
    if free is not None and needed > free:
        raise ValueError(
            f"{name} needs {needed / 2**30:.1f} GiB {what}, and {free / 2**30:.1f} GiB are free on {device}; {remedy}"
        )


def cache_per_token(config: DecoderConfig) -> int:
    """Numbers that the cache keeps of one token: keys and values of every layer."""
    return 2 * config.layers * config.kv_heads * config.head_dim
