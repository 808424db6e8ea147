"""The key-value cache: what decoding one token needs of all tokens before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ojito.config import DecoderConfig
from ojito.errors import OjitoError
from ojito.model.masks import AttentionMetadata
from ojito.records import PADDING

if TYPE_CHECKING:  # shapes are checked by the tests only
    from jaxtyping import Float


class KVCache:
    """Keys, values and attention metadata of the tokens that a decoder has read, in memory that is allocated once.

    A forward pass first calls `extend` with the metadata of its tokens, then `update` once in every layer. Row i's
    tokens stand in columns 0 to lengths[i]; what follows is padding, which no token reads.

    Attributes:
        lengths: Tokens read so far, for each row; a list, so that nothing waits for the device.
        capacity: Tokens that fit into a row.
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
        shape = (config.layers, rows, config.kv_heads, length, config.head_dim)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.metadata = AttentionMetadata(
            positions=torch.zeros(rows, length, dtype=torch.int64, device=device),
            segments=torch.full((rows, length), PADDING, dtype=torch.int64, device=device),
            blocks=torch.full((rows, length), -1, dtype=torch.int64, device=device),
        )
        self.capacity = length
        self.lengths = [0] * rows
        self._new: tuple[slice | Tensor, slice | Tensor] = (slice(None), slice(0))  # rows, columns of the last tokens

    @property
    def length(self) -> int:
        """Tokens of the longest row."""
        return max(self.lengths)

    def extend(self, metadata: AttentionMetadata) -> AttentionMetadata:
        """Make room for T more tokens in every row; return the metadata of all tokens so far.

        Raises:
            OjitoError: They do not fit, or they are for another number of rows.
        """
        rows, new = metadata.positions.shape
        if rows != len(self.lengths):
            raise OjitoError("cache", f"holds {len(self.lengths)} rows but got {rows}", f"make one for {rows} rows")
        if self.length + new > self.capacity:
            problem = f"is full: it holds {self.length} of at most {self.capacity} tokens and got {new} more"
            raise OjitoError("cache", problem, f"make one with a length of {self.length + new} or more")
        starts = self.lengths
        if min(starts) == max(starts):
            self._new = (slice(None), slice(starts[0], starts[0] + new))
        else:
            device = metadata.positions.device
            first = torch.tensor(starts, device=device)[:, None]
            self._new = (torch.arange(rows, device=device)[:, None], first + torch.arange(new, device=device))
        self.lengths = [start + new for start in starts]
        self.metadata.positions[self._new] = metadata.positions
        self.metadata.segments[self._new] = metadata.segments
        self.metadata.blocks[self._new] = metadata.blocks
        length = self.length
        return AttentionMetadata(
            self.metadata.positions[:, :length], self.metadata.segments[:, :length], self.metadata.blocks[:, :length]
        )

    def update(
        self, layer: int, k: Float[Tensor, "B G T K"], v: Float[Tensor, "B G T K"]
    ) -> tuple[Float[Tensor, "B G S K"], Float[Tensor, "B G S K"]]:
        """Store a layer's new keys and values; return those of all tokens so far."""
        keys, values, (rows, columns) = self.keys[layer], self.values[layer], self._new
        if isinstance(columns, slice):
            keys[:, :, columns] = k
            values[:, :, columns] = v
        else:
            keys.transpose(1, 2)[rows, columns] = k.transpose(1, 2)
            values.transpose(1, 2)[rows, columns] = v.transpose(1, 2)
        length = self.length
        return keys[:, :, :length], values[:, :, :length]

    def select(self, rows: Sequence[int], start: int = 0) -> None:
        """Take these rows, in this order, in place of those that there are: as beam search does with its beams.

        Args:
            rows: Numbers of rows; one may be taken several times, or not at all.
            start: Columns before it are not copied where the number of rows stays. A row must then hold there what
                the row holds that it is taken from.
        """
        before = len(self.lengths)
        if [*rows] == [*range(before)]:
            return
        self.lengths = [self.lengths[row] for row in rows]
        order = torch.tensor(rows, device=self.keys.device)
        metadata = self.metadata
        if len(rows) == before:
            taken = slice(start, self.length)
            for tensor in (self.keys, self.values):
                tensor[:, :, :, taken] = tensor[:, :, :, taken].index_select(1, order)
            for numbers in (metadata.positions, metadata.segments, metadata.blocks):
                numbers[:, taken] = numbers[:, taken].index_select(0, order)
        else:
            self.keys, self.values = self.keys.index_select(1, order), self.values.index_select(1, order)
            self.metadata = AttentionMetadata(
                metadata.positions[order], metadata.segments[order], metadata.blocks[order]
            )

    def truncate(self, row: int, length: int) -> None:
        """Forget a row's tokens from column `length` on: padding behind a prompt, or a text that has ended.

        The row's next token gets that column, whatever the lengths of the others.
        """
        self.lengths[row] = min(length, self.lengths[row])
        self.metadata.segments[row, length:] = PADDING
