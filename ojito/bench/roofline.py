"""The roofline: how much of what the machine allows an answer makes use of.

A prompt is bound by the rate of matrix products, and a step of decoding by the rate at which the weights are read: a
step multiplies each of them once or a few times, and that is done before the next one has come from memory.

Source: Williams, Waterman and Patterson 2009, "Roofline".
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import torch

from ojito.inference.kernels import IntInt8
from ojito.memory import cache_bytes, weight_bytes
from ojito.meter.speed import product_rate, read_rate
from ojito.model import VLM
from ojito.model.masks import AttentionMetadata


@dataclass(frozen=True)
class Limits:
    """What the machine does at the most.

    Attributes:
        bytes_per_second: Read from memory.
        operations_per_second: Of matrix products; a multiplication and an addition are two.
    """

    bytes_per_second: float
    operations_per_second: float

    def faster(self, other: Limits) -> Limits:
        """Return the higher limits of two measurements."""
        read = max(self.bytes_per_second, other.bytes_per_second)
        return Limits(read, max(self.operations_per_second, other.operations_per_second))


def measure_limits(dtype: torch.dtype, device: torch.device, quantize: str, seconds: float = 0.3) -> Limits:
    """Measure what the device does at the most, in so many seconds for each of two or three figures.

    With quantized weights the products of bytes count, too, where they are the faster ones.
    """
    rates = [product_rate(dtype, device, seconds=seconds)]
    if quantize != "none" and (device.type != "cpu" or IntInt8.available()):
        with suppress(RuntimeError):  # not every device multiplies bytes
            rates.append(product_rate(torch.int8, device, seconds=seconds))
    return Limits(read_rate(device, seconds=seconds), max(rates))


def prompt_operations(model: VLM, batch: int, prompt: int, images: int) -> int:
    """Return the operations of matrix products and convolutions up to the first token.

    Args:
        model: On `meta`, where it computes shapes alone.
        batch: Rows.
        prompt: Tokens of a row, image tokens included.
        images: Of all rows together.
    """
    from torch.utils.flop_counter import FlopCounterMode  # takes seconds to import

    size, decoder = model.config.vision.image_size, model.decoder
    with torch.no_grad(), torch.device("meta"), FlopCounterMode(display=False) as counter:
        if images:
            model.encode(torch.empty(images, 3, size, size, dtype=model.dtype))
        numbers = torch.zeros(batch, prompt, dtype=torch.int64)
        hidden = torch.empty(batch, prompt, decoder.config.width, dtype=model.dtype)
        decoder(hidden, AttentionMetadata(numbers, numbers, numbers))
        model.head(hidden[:, -1])
    return int(counter.get_total_flops())


def step_bytes(model: VLM, dtype: torch.dtype, batch: int, length: int) -> int:
    """Return the bytes that one step of decoding reads: the decoder's weights once, and the cache of every row.

    Args:
        model: On `meta` will do, with quantized modules or without.
        dtype: Of the cache, and of weights that are not quantized.
        batch: Rows.
        length: Tokens of a row that are in the cache.
    """
    decoder = model.decoder
    tables = [] if decoder.config.tied_head else [decoder.embedding]  # of these a row a token is read
    tables += [] if decoder.positions is None else [decoder.positions]
    weights = weight_bytes(decoder, dtype) - sum(weight_bytes(table, dtype) for table in tables)
    return weights + batch * cache_bytes(decoder.config, length, dtype)
