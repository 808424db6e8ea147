"""The key-value cache: what decoding one token needs of all tokens before it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ojito.config import DecoderConfig
from ojito.errors import OjitoError
from ojito.model.masks import AttentionMetadata
from ojito.records import PADDING

if TYPE_CHECKING:  # shapes are checked by the tests only
    from jaxtyping import Float, Int


REACH = 128
"""Columns that steps of a fixed shape (`fixed_cache.py`) read more of at once, and that memory on CUDA comes in."""


@dataclass(frozen=True)
class Columns:
    """What a cache holds of T tokens of one row; L layers.

    Attributes:
        keys: Of every layer.
        values: Of every layer.
        positions: See `AttentionMetadata`.
        segments: See there.
        blocks: See there.
    """

    keys: Float[Tensor, "L G T K"]
    values: Float[Tensor, "L G T K"]
    positions: Int[Tensor, " T"]
    segments: Int[Tensor, " T"]
    blocks: Int[Tensor, " T"]

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def nbytes(self) -> int:
        """Bytes that they take."""
        return sum(one.nbytes for one in (self.keys, self.values, self.positions, self.segments, self.blocks))

    def copy(self) -> Columns:
        """The same in memory of their own, whatever becomes of the cache."""
        return Columns(
            self.keys.clone(), self.values.clone(), self.positions.clone(), self.segments.clone(), self.blocks.clone()
        )


class KVCache:
    """Keys, values and attention metadata of the tokens that a decoder has read, in memory that is allocated once.

    A forward pass first calls `extend` with the metadata of its tokens, then `update` once in every layer. Row i's
    tokens stand in columns 0 to lengths[i]; what follows is padding, which no token reads.

    Rows come and go: there may be memory for more of them than there are, and `keys`, `values` and `metadata` are those
    of the rows that there are.

    Attributes:
        keys: (L, B, G, S, K), S the capacity.
        values: As the keys.
        metadata: (B, S) each.
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
        """An empty cache for `rows` rows of up to `length` tokens; on CUDA of so many that steps can be recorded."""
        length = length_on(device, length)
        shape = (config.layers, rows, config.kv_heads, length, config.head_dim)
        self._keys = torch.zeros(shape, dtype=dtype, device=device)
        self._values = torch.zeros(shape, dtype=dtype, device=device)
        self._metadata = _padding(rows, length, self._keys.device)
        self._new: tuple[slice | Tensor, slice | Tensor] = (slice(None), slice(0))  # rows, columns of the last tokens
        self._hold([0] * rows)

    def _hold(self, lengths: list[int]) -> None:
        """Have so many rows, the first of those that there is memory for."""
        rows, all_ = len(lengths), self._metadata
        self.lengths, self.capacity = lengths, self._keys.shape[3]
        self.keys, self.values = self._keys[:, :rows], self._values[:, :rows]
        # One by one: views that come together may not be written to with gradients.
        self._layers = [[one[layer] for layer in range(len(one))] for one in (self.keys, self.values)]
        self.metadata = AttentionMetadata(all_.positions[:rows], all_.segments[:rows], all_.blocks[:rows])

    @property
    def rows(self) -> int:
        """Rows that there is memory for."""
        return self._keys.shape[1]

    @property
    def length(self) -> int:
        """Tokens of the longest row."""
        return max(self.lengths, default=0)

    def extend(self, metadata: AttentionMetadata) -> AttentionMetadata:
        """Make room for T more tokens in every row; return the metadata of all tokens so far.

        Raises:
            OjitoError: They do not fit, or they are for another number of rows.
        """
        rows, new = metadata.positions.shape
        if rows != len(self.lengths):
            raise OjitoError("cache", f"holds {len(self.lengths)} rows but got {rows}", f"make one for {rows} rows")
        starts = self.lengths
        self.advance(new)
        if min(starts) == max(starts):
            self._new = (slice(None), slice(starts[0], starts[0] + new))
        else:
            device = metadata.positions.device
            first = torch.tensor(starts, device=device)[:, None]
            self._new = (torch.arange(rows, device=device)[:, None], first + torch.arange(new, device=device))
        self.metadata.positions[self._new] = metadata.positions
        self.metadata.segments[self._new] = metadata.segments
        self.metadata.blocks[self._new] = metadata.blocks
        length = self.length
        return AttentionMetadata(
            self.metadata.positions[:, :length], self.metadata.segments[:, :length], self.metadata.blocks[:, :length]
        )

    def advance(self, new: int) -> None:
        """Count T more tokens in every row, which the caller writes.

        Raises:
            OjitoError: They do not fit.
        """
        if self.length + new > self.capacity:
            problem = f"is full: it holds {self.length} of at most {self.capacity} tokens and got {new} more"
            raise OjitoError("cache", problem, f"make one with a length of {self.length + new} or more")
        self.lengths = [length + new for length in self.lengths]

    @property
    def address(self) -> tuple[int, ...]:
        """Where its memory lies, and of what shape that is: everything that tells it from other memory."""
        numbers = self._metadata
        tensors = (self._keys, self._values, numbers.positions, numbers.segments, numbers.blocks)
        return (*(one.data_ptr() for one in tensors), *self._keys.shape)

    def memory(self, rows: int, length: int) -> tuple[Tensor, Tensor, AttentionMetadata]:
        """Keys (L, B, G, S, K), values and metadata of the first rows and columns that there is memory for."""
        every = self._metadata
        metadata = AttentionMetadata(
            every.positions[:rows, :length], every.segments[:rows, :length], every.blocks[:rows, :length]
        )
        return self._keys[:, :rows, :, :length], self._values[:, :rows, :, :length], metadata

    def update(
        self, layer: int, k: Float[Tensor, "B G T K"], v: Float[Tensor, "B G T K"]
    ) -> tuple[Float[Tensor, "B G S K"], Float[Tensor, "B G S K"]]:
        """Store a layer's new keys and values; return those of all tokens so far."""
        keys, values, (rows, columns) = self._layers[0][layer], self._layers[1][layer], self._new
        if isinstance(columns, slice):
            keys.narrow(2, columns.start, k.shape[2]).copy_(k)
            values.narrow(2, columns.start, v.shape[2]).copy_(v)
        else:
            keys.transpose(1, 2)[rows, columns] = k.transpose(1, 2)
            values.transpose(1, 2)[rows, columns] = v.transpose(1, 2)
        length = self.length
        return keys.narrow(2, 0, length), values.narrow(2, 0, length)

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
            self._keys, self._values = self.keys.index_select(1, order), self.values.index_select(1, order)
            self._metadata = AttentionMetadata(
                metadata.positions[order], metadata.segments[order], metadata.blocks[order]
            )
            self._hold(self.lengths)

    def truncate(self, row: int, length: int) -> None:
        """Forget a row's tokens from column `length` on: padding behind a prompt, or a text that has ended.

        The row's next token gets that column, whatever the lengths of the others.
        """
        self.lengths[row] = min(length, self.lengths[row])
        self.metadata.segments[row, length:] = PADDING

    def clear(self, rows: int) -> None:
        """Forget everything, and have so many empty rows, at most as many as there is memory for."""
        self._metadata.segments.fill_(PADDING)
        self._hold([0] * rows)

    def reserve(self, rows: int, length: int) -> None:
        """Have memory for so many rows of so many tokens: where there is less, everything moves once."""
        if rows <= self.rows and length <= self.capacity:
            return
        rows, length = max(rows, self.rows), max(length_on(self._keys.device, length), self.capacity)
        layers, _, heads, _, size = self._keys.shape
        have, used, dtype, device = len(self.lengths), self.length, self._keys.dtype, self._keys.device
        if not used:  # nothing moves, and the memory may be used again
            self._keys = self._values = self._keys[:, :0].clone()
            self._hold([])
        keys, values = (
            torch.zeros(layers, rows, heads, length, size, dtype=dtype, device=device) for _ in ("keys", "values")
        )
        metadata, before = _padding(rows, length, device), self.metadata
        if used:
            keys[:, :have, :, :used], values[:, :have, :, :used] = self.keys[..., :used, :], self.values[..., :used, :]
            metadata.positions[:have, :used] = before.positions[:, :used]
            metadata.segments[:have, :used] = before.segments[:, :used]
            metadata.blocks[:have, :used] = before.blocks[:, :used]
        lengths = self.lengths if used else [0] * have
        self._keys, self._values, self._metadata = keys, values, metadata
        self._hold(lengths)

    def columns(self, row: int, columns: slice) -> Columns:
        """What there is of a row's tokens in these columns, not copied."""
        metadata = self.metadata
        return Columns(
            self.keys[:, row, :, columns],
            self.values[:, row, :, columns],
            metadata.positions[row, columns],
            metadata.segments[row, columns],
            metadata.blocks[row, columns],
        )

    def write(self, row: int, tokens: Columns) -> None:
        """Go on with these tokens in a row, as if it had read them."""
        place = slice(self.lengths[row], self.lengths[row] + len(tokens))
        self.keys[:, row, :, place] = tokens.keys
        self.values[:, row, :, place] = tokens.values
        self.metadata.positions[row, place] = tokens.positions
        self.metadata.segments[row, place] = tokens.segments
        self.metadata.blocks[row, place] = tokens.blocks
        self.lengths[row] = place.stop

    def add_row(self) -> int:
        """Have one more row, empty, for which there must be memory; return its number."""
        row = len(self.lengths)
        self._metadata.segments[row] = PADDING
        self._hold([*self.lengths, 0])
        return row

    def drop(self, rows: Collection[int]) -> list[int]:
        """Give up rows. The last ones take their places, and nothing else is copied.

        Returns:
            For every row that there is now, the number that it had before.
        """
        staying = len(self.lengths) - len(rows)
        behind = [row for row in range(staying, len(self.lengths)) if row not in rows]
        order = [behind.pop() if row in rows else row for row in range(staying)]
        lengths = [self.lengths[row] for row in order]
        for row, source in enumerate(order):
            if row != source:
                metadata, used = self.metadata, slice(self.lengths[source])
                for tensor in (self.keys, self.values):
                    tensor[:, row, :, used] = tensor[:, source, :, used]
                for numbers in (metadata.positions, metadata.segments, metadata.blocks):
                    numbers[row] = numbers[source]
        self._hold(lengths)
        return order


def length_on(device: torch.device | str | None, length: int) -> int:
    """Return how many tokens there is memory for where so many are asked for.

    On CUDA it is a multiple of `REACH`, so that the memory of one answer is that of the next one, and steps that were
    recorded with it can be replayed.
    """
    kind = "cpu" if device is None else torch.device(device).type
    return -(-length // REACH) * REACH if kind == "cuda" else length


def _padding(rows: int, length: int, device: torch.device) -> AttentionMetadata:
    """Metadata of rows that hold no tokens."""
    return AttentionMetadata(
        positions=torch.zeros(rows, length, dtype=torch.int64, device=device),
        segments=torch.full((rows, length), PADDING, dtype=torch.int64, device=device),
        blocks=torch.full((rows, length), -1, dtype=torch.int64, device=device),
    )
