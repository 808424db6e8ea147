"""Memory that weights, cache and training take, checked before it is taken."""

from __future__ import annotations

import torch
from torch import nn

from ojito.config import DecoderConfig, TrainConfig
from ojito.device import available_memory, dtype_name
from ojito.errors import OjitoError
from ojito.inference.quantize import QuantizedEmbedding, QuantizedLinear
from ojito.model import VLM

TRAINING = {"adamw": 16, "muon": 12}
"""Bytes for each trained parameter, by optimizer: weight, gradient and two moments (Muon: one), float32 each."""


def check_memory(name: str, model: VLM, dtype: torch.dtype, device: torch.device) -> None:
    """Check that a model's weights fit into memory, before the system ends the process.

    Raises:
        OjitoError: Too little memory.
    """
    purpose = f"for its weights in {dtype_name(dtype)}"
    _check(name, weight_bytes(model, dtype), purpose, device, "use a smaller model, quantize it or free memory")


def check_training_memory(name: str, model: VLM, config: TrainConfig, device: torch.device) -> None:
    """Check that a model can be trained in float32; its activations come on top.

    Raises:
        OjitoError: Too little memory.
    """
    purpose = "for training (weights, gradients and the optimizer's moments)"
    remedy = "freeze a part (train.freeze=[vision]), use a smaller model or free memory"
    _check(name, training_bytes(model, config), purpose, device, remedy)


def training_bytes(model: VLM, config: TrainConfig) -> int:
    """Return the bytes of weights, gradients and the optimizer's moments in training, without activations."""
    frozen = sum(parameters(model.parts[part]) for part in config.freeze)
    return frozen * torch.float32.itemsize + (parameters(model) - frozen) * TRAINING[config.optimizer]


def cache_bytes(config: DecoderConfig, tokens: int, dtype: torch.dtype) -> int:
    """Return the bytes of the key-value cache for one row of so many tokens: keys and values of every layer."""
    return 2 * config.layers * config.kv_heads * config.head_dim * tokens * dtype.itemsize


def parameters(module: nn.Module) -> int:
    """Return the number of parameters; a quantized matrix counts as what it stands for."""
    return sum(parameter.numel() for parameter in module.parameters()) + sum(
        rows * columns for rows, columns in (found.quantized.shape for found in _quantized(module))
    )


def weight_bytes(module: nn.Module, dtype: torch.dtype) -> int:
    """Return the bytes of a module's weights: the quantized ones as they are, the others in this dtype."""
    floats = sum(parameter.numel() for parameter in module.parameters())
    return floats * dtype.itemsize + sum(found.quantized.nbytes for found in _quantized(module))


def _quantized(module: nn.Module) -> list[QuantizedLinear | QuantizedEmbedding]:
    return [found for found in module.modules() if isinstance(found, (QuantizedLinear, QuantizedEmbedding))]


def _check(name: str, needed: int, purpose: str, device: torch.device, remedy: str) -> None:
    free = available_memory(device)
    if free is not None and needed > free:
        sizes = f"{needed / 2**30:.1f} GiB {purpose}, and {free / 2**30:.1f} GiB are free on {device}"
        raise OjitoError(name, f"needs {sizes}", remedy)
