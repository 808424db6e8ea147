"""A model folder with random weights, of any shape, written as fast as the disk takes it and without holding it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from ojito.checkpoint.files import CONFIG, WEIGHTS
from ojito.checkpoint.native import FORMAT
from ojito.checkpoint.saving import check_room
from ojito.config import Config
from ojito.loading import plain_tokenizer
from ojito.model.meta import on_meta
from ojito.model.norms import RMSNormPlusOne
from ojito.processor import Processor
from ojito.settings import write

_BLOCK = 2**20 + 7  # numbers that are drawn; a prime number of steps until tensors begin alike
_NAMES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.int64: "I64"}


def write_random_model(folder: Path, config: Config, dtype: torch.dtype, seed: int = 0) -> None:
    """Write the folder of a model whose answers mean nothing, for measuring.

    Drawing billions of numbers takes minutes: these are the same million over and over, from another one on in each
    tensor, and as large as initialization draws them, so that nothing overflows.

    Args:
        folder: Of the model; it exists.
        config: Its recipe.
        dtype: Of its weights.
        seed: Of the numbers.

    Raises:
        CheckpointError: The disk has no room for it.
    """
    model = on_meta(config.model, config.name)
    values = {"format": FORMAT, "name": config.name, "model": write(config.model)}
    (folder / CONFIG).write_text(json.dumps(values), encoding="utf-8")
    Processor.for_model(config.processor, plain_tokenizer(config), config.model).save(folder)
    shifted = {f"{name}.weight" for name, part in model.named_modules() if isinstance(part, RMSNormPlusOne)}
    block = torch.randn(_BLOCK, generator=torch.Generator().manual_seed(seed))
    state = {
        key: tensor.to(dtype) if tensor.is_floating_point() else tensor for key, tensor in model.state_dict().items()
    }
    check_room(folder, sum(tensor.numel() * tensor.itemsize for tensor in state.values()))
    with (folder / WEIGHTS).open("wb") as file:
        file.write(_header(state))
        for number, (key, tensor) in enumerate(state.items()):
            for piece in _pieces(key, tensor, block.roll(1009 * number), key in shifted):
                file.write(piece)


def _header(state: dict[str, Tensor]) -> bytes:
    """The beginning of a file of safetensors: the length of its JSON, and that."""
    entries, end = dict[str, object](), 0
    for key, tensor in state.items():
        start, end = end, end + tensor.numel() * tensor.itemsize
        entries[key] = {"dtype": _NAMES[tensor.dtype], "shape": [*tensor.shape], "data_offsets": [start, end]}
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text


def _pieces(key: str, tensor: Tensor, block: Tensor, shifted: bool) -> Iterator[bytes]:
    """The bytes of a tensor, a few million at a time."""
    numbers = tensor.numel()
    if tensor.ndim > 1:
        block = block * (3 * numbers / len(tensor)) ** -0.5
    else:  # a norm's weights leave what they multiply, and its variance is 1; biases and means are 0
        one = key.endswith(("weight", "running_var")) and not shifted
        block = torch.full_like(block, float(one))
    drawn = block.to(tensor.dtype).view(torch.uint8).numpy().tobytes()
    size = numbers * tensor.itemsize
    for start in range(0, size, len(drawn)):
        yield drawn[: size - start]
