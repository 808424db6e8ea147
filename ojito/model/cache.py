"""The key-value cache: what decoding one token needs of all tokens before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ojito.config import DecoderConfig
from ojito.model.masks import AttentionMetadata

if TYPE_CHECKING:  # shapes are checked by the tests only
    from jaxtyping import Float


class KVCache:
    """Keys, values and places of what a decoder has read, in memory that is allocated once.

    A forward pass first calls `extend` with the places of its tokens, then `update` once in every layer.

    Attributes:
        length: Tokens read so far, in every row.
        capacity: Tokens that fit.
    """

    def __init__(
        self,
        config: DecoderConfig,
        rows: int,
        length: int,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        """An empty cache for `rows` rows of up to `length` tokens."""
        shape = (config.layers, rows, config.num_kv_heads, length, config.head_size)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.places = AttentionMetadata(
            positions=torch.zeros(rows, length, dtype=torch.int64, device=device),
            segments=torch.zeros(rows, length, dtype=torch.int64, device=device),
            blocks=torch.zeros(rows, length, dtype=torch.int64, device=device),
        )
        self.capacity = length
        self.length = 0

    def extend(self, places: AttentionMetadata) -> AttentionMetadata:
        """Make room for the tokens at these places; return the places of all tokens so far.

        Raises:
            ValueError: They do not fit, or they are for another number of rows.
        """
        rows, new = places.positions.shape
        if rows != self.keys.shape[1]:
            raise ValueError(f"the cache holds {self.keys.shape[1]} rows but got {rows}; make one for {rows} rows")
        if self.length + new > self.capacity:
            raise ValueError(
                f"the cache is full: it holds {self.length} of at most {self.capacity} tokens and got {new} more; "
                f"make one with a length of {self.length + new} or more"
            )
        start, self.length = self.length, self.length + new
        self.places.positions[:, start : self.length] = places.positions
        self.places.segments[:, start : self.length] = places.segments
        self.places.blocks[:, start : self.length] = places.blocks
        return AttentionMetadata(
            self.places.positions[:, : self.length],
            self.places.segments[:, : self.length],
            self.places.blocks[:, : self.length],
        )

    def update(
        self, layer: int, k: Float[Tensor, "B G T K"], v: Float[Tensor, "B G T K"]
    ) -> tuple[Float[Tensor, "B G S K"], Float[Tensor, "B G S K"]]:
        """Store a layer's new keys and values; return those of all tokens so far."""
        start = self.length - k.shape[2]
        self.keys[layer, :, :, start : self.length] = k
        self.values[layer, :, :, start : self.length] = v
        return self.keys[layer, :, :, : self.length], self.values[layer, :, :, : self.length]
