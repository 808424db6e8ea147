"""Memory that weights, cache, answers and training take, told before it is taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ojito.activations import activation_bytes
from ojito.config import DecoderConfig, TrainConfig
from ojito.device import available_memory, dtype_name
from ojito.errors import OjitoError
from ojito.model import VLM
from ojito.model.decoder import Decoder

TRAINING = {"adamw": 16, "muon": 12}
"""Bytes for each trained parameter, by optimizer: weight, gradient and two moments (Muon: one), float32 each."""

Quantize = Literal["none", "int8", "int4"]
"""How the matrices of a model are stored: in its dtype; a byte a number; half of one."""

_INT8_ROW = 4  # bytes of the scale of a row
_INT4_GROUP, _INT4_GROUP_BYTES = 32, 32 // 2 + 2 * 2  # numbers of a group; theirs, its scale and its minimum


@dataclass(frozen=True)
class AnswerMemory:
    """Memory of an answer, bytes.

    Attributes:
        weights: Of the model, as they are stored.
        cache: Keys and values of prompt and answer.
        activations: Hidden states at the fullest moment.
        baseline: Python and PyTorch themselves.
    """

    weights: int
    cache: int
    activations: int
    baseline: int

    @property
    def peak(self) -> int:
        """All of them: the most that is taken at once."""
        return self.weights + self.cache + self.activations + self.baseline

    def to_dict(self) -> dict[str, int]:
        """Return the bytes by name, and their peak."""
        names = ("weights", "cache", "activations", "baseline", "peak")
        return {name: getattr(self, name) for name in names}


def check_memory(name: str, model: VLM, dtype: torch.dtype, device: torch.device) -> None:
    """Check that a model's weights fit into memory, before the system ends the process.

    Raises:
        OjitoError: Too little memory.
    """
    purpose = f"for its weights in {dtype_name(dtype)}"
    _check(name, parameters(model) * dtype.itemsize, purpose, device, "use a smaller model or free memory")


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


def weight_bytes(model: nn.Module, dtype: torch.dtype, quantize: Quantize = "none") -> int:
    """Return the bytes of a module's weights.

    Args:
        model: The module, or a part of one; on `meta` will do.
        dtype: Of all that is not quantized: norms, biases, convolutions, tables of embeddings and positions.
        quantize: How the matrices of `nn.Linear` are stored, and the embeddings that are the head's as well.
    """
    matrices: list[Tensor] = [part.weight for part in model.modules() if isinstance(part, nn.Linear)]
    decoders = [part for part in model.modules() if isinstance(part, Decoder)]
    matrices += [decoder.embedding.weight for decoder in decoders if decoder.config.tied_head]
    kept = parameters(model) - sum(matrix.numel() for matrix in matrices)
    return kept * dtype.itemsize + sum(matrix_bytes(matrix, dtype, quantize) for matrix in matrices)


def matrix_bytes(matrix: Tensor, dtype: torch.dtype, quantize: Quantize) -> int:
    """Return the bytes of one matrix, (outputs, inputs)."""
    rows, columns = matrix.shape
    if quantize == "int8":
        return rows * (columns + _INT8_ROW)
    if quantize == "int4":
        return rows * -(-columns // _INT4_GROUP) * _INT4_GROUP_BYTES
    return rows * columns * dtype.itemsize


def answer_memory(
    model: VLM,
    dtype: torch.dtype,
    *,
    batch: int = 1,
    prompt: int,
    tokens: int,
    images: int | None = None,
    quantize: Quantize = "none",
    baseline: int = 0,
) -> AnswerMemory:
    """Tell the memory that answering takes.

    Args:
        model: Shapes alone count: on `meta` will do.
        dtype: Of hidden states, cache, and weights that are not quantized.
        batch: Rows.
        prompt: Tokens of a row before its answer, image tokens included.
        tokens: Of a row's answer, at the most.
        images: Of all rows together; None means one a row.
        quantize: See `weight_bytes`.
        baseline: Bytes that the process takes without a model.
    """
    images = batch if images is None else images
    return AnswerMemory(
        weights=weight_bytes(model, dtype, quantize),
        cache=batch * cache_bytes(model.config.decoder, prompt + tokens - 1, dtype),  # the last token is not read
        activations=activation_bytes(model.config, dtype, batch, prompt, images),
        baseline=baseline,
    )


def parameters(module: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def _check(name: str, needed: int, purpose: str, device: torch.device, remedy: str) -> None:
    free = available_memory(device)
    if free is not None and needed > free:
        sizes = f"{needed / 2**30:.1f} GiB {purpose}, and {free / 2**30:.1f} GiB are free on {device}"
        raise OjitoError(name, f"needs {sizes}", remedy)
