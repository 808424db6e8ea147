"""Memory that weights, cache, answers and training need, computed before it is allocated."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from ojito.activations import activation_bytes
from ojito.config import DecoderConfig, TrainConfig
from ojito.device import available_memory, dtype_name
from ojito.errors import OjitoError
from ojito.inference import copied_bytes
from ojito.inference.choice import is_large
from ojito.inference.quantize import QuantizedEmbedding, QuantizedLinear
from ojito.meter.foretold import Foretold
from ojito.model import VLM
from ojito.model.lora import is_adapter, target_layers

TRAINING = {"adamw": 16, "muon": 12}
"""Bytes for each trained parameter, by optimizer: weight, gradient and two moments (Muon: one), float32 each."""

_WORKSPACE = 100 * 10**6
"""Bytes, measured: the large matrices that kernels are compared with, and what kernels widen numbers into."""


@dataclass(frozen=True)
class AnswerMemory(Foretold):
    """Memory of an answer, bytes.

    Attributes:
        weights: Of the model, as they are stored.
        kernels: Of weights that a CPU's kernels pack, where the stored ones stay, and their workspace.
        cache: Keys and values of prompt and answer.
        activations: Hidden states at the fullest moment.
        baseline: Python and PyTorch themselves.
    """

    weights: int
    kernels: int
    cache: int
    activations: int
    baseline: int


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
    remedy = (
        "freeze a part (train.freeze=[vision]), learn by LoRA (train.lora.rank=8), use a smaller model or free memory"
    )
    _check(name, training_bytes(model, config), purpose, device, remedy)


def training_bytes(model: VLM, config: TrainConfig) -> int:
    """Return the bytes of weights, gradients and the optimizer's moments in training, without activations.

    Args:
        model: With adapters, or before it gets them; on `meta` will do.
        config: What learns, and how.

    Raises:
        ConfigError: `lora.targets` names no layer.
    """
    own = {name: sum(p.numel() for n, p in part.named_parameters() if not is_adapter(n))
           for name, part in model.parts.items()}  # fmt: skip
    still = sum(own[name] for name in {*config.frozen, *config.adapted})
    whole = (sum(own.values()) - still) * TRAINING[config.optimizer]
    return still * torch.float32.itemsize + whole + adapter_numbers(model, config) * TRAINING["adamw"]


def adapter_numbers(model: VLM, config: TrainConfig) -> int:
    """Return how many numbers the adapters of LoRA have that a model learns with these settings. Arguments as above.

    Raises:
        ConfigError: `lora.targets` names no layer.
    """
    layers = target_layers(model, config.lora, config.adapted) if config.adapted else {}
    return sum(config.lora.rank * (layer.in_features + layer.out_features) for layer in layers.values())


def cache_bytes(config: DecoderConfig, tokens: int, dtype: torch.dtype) -> int:
    """Return the bytes of the key-value cache for one row of so many tokens: keys and values of every layer."""
    return 2 * config.layers * config.kv_heads * config.head_dim * tokens * dtype.itemsize


def answer_memory(
    model: VLM,
    dtype: torch.dtype,
    *,
    batch: int = 1,
    prompt: int,
    tokens: int,
    images: int | None = None,
    baseline: int = 0,
    device: torch.device | None = None,
    mapped: bool = True,
) -> AnswerMemory:
    """Return the memory that answering takes.

    Args:
        model: Shapes alone count: on `meta` will do, with quantized modules or without.
        dtype: Of hidden states, cache, and weights that are not quantized.
        batch: Rows.
        prompt: Tokens of a row before its answer, image tokens included.
        tokens: Of a row's answer, at the most.
        images: Of all rows together; None means one a row.
        baseline: Bytes that the process takes without a model.
        device: That answers; packed copies are for a CPU alone. None means one.
        mapped: Whether weights lie in a file as they are used: not so if they are quantized while they are read.
    """
    images = batch if images is None else images
    return AnswerMemory(
        weights=weight_bytes(model, dtype),
        kernels=_kernel_bytes(model, dtype, mapped) if device is None or device.type == "cpu" else 0,
        cache=batch * cache_bytes(model.config.decoder, prompt + tokens - 1, dtype),  # the last token is not read
        activations=activation_bytes(model.config, dtype, batch, prompt, images),
        baseline=baseline,
    )


def _kernel_bytes(model: VLM, dtype: torch.dtype, mapped: bool) -> int:
    """Bytes of packed copies, and of the workspace where there are large matrices."""
    table = model.config.decoder.vocab_size * model.config.decoder.width
    return copied_bytes(model, dtype, mapped) + (_WORKSPACE if is_large(table) else 0)


def parameters(module: nn.Module) -> int:
    """Return the number of parameters; a quantized matrix counts as what it stands for."""
    return sum(parameter.numel() for parameter in module.parameters()) + sum(
        rows * columns for rows, columns in (found.quantized.shape for found in _quantized(module))
    )


def short_count(number: int) -> str:
    """Return a count in three or four digits: 1.85M, 222M, 2.92B."""
    for unit, size in (("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= size:
            return f"{number / size:.{2 if number < 10 * size else 1 if number < 100 * size else 0}f}{unit}"
    return str(number)


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
