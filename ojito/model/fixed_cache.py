"""A cache's memory for steps of a fixed shape: which columns are written stands in a tensor, not in Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ojito.model.cache import KVCache
from ojito.model.masks import AttentionMetadata
from ojito.records import PADDING

if TYPE_CHECKING:  # shapes are checked by the tests only
    from jaxtyping import Float, Int


class FixedCache(KVCache):
    """The memory of a `KVCache`, with what a forward pass calls: `extend` and `update`.

    A pass with it does the same operations on the same addresses whatever the rows' lengths are, so it can be recorded.
    It reads a fixed number of columns; those behind a row's newest token are padding to it, whatever they hold.

    Args:
        cache: Whose memory it is. It does not hear of the new tokens: `KVCache.advance` tells it.
        reach: Columns that are read.
        columns: Where each row's new tokens go, below `reach`. There may be more rows than the cache has: they are
            written to rows that there is memory for.
    """

    def __init__(self, cache: KVCache, reach: int, columns: Int[Tensor, "B T"]) -> None:
        self.keys, self.values, self.metadata = cache.memory(len(columns), reach)
        self.capacity, self._columns = reach, columns

    def extend(self, metadata: AttentionMetadata) -> AttentionMetadata:
        """Write the metadata of T more tokens of every row; return that of all columns."""
        mine = self.metadata
        mine.positions.scatter_(1, self._columns, metadata.positions)
        mine.segments.scatter_(1, self._columns, metadata.segments)
        mine.blocks.scatter_(1, self._columns, metadata.blocks)
        behind = torch.arange(self.capacity, device=self._columns.device) > self._columns[:, -1:]
        return AttentionMetadata(mine.positions, mine.segments.masked_fill(behind, PADDING), mine.blocks)

    def update(
        self, layer: int, k: Float[Tensor, "B G T K"], v: Float[Tensor, "B G T K"]
    ) -> tuple[Float[Tensor, "B G S K"], Float[Tensor, "B G S K"]]:
        """Store a layer's new keys and values; return those of all columns."""
        keys, values = self.keys[layer], self.values[layer]
        columns = self._columns[:, None, :, None].expand(k.shape)
        keys.scatter_(2, columns, k.to(keys.dtype))
        values.scatter_(2, columns, v.to(values.dtype))
        return keys, values
