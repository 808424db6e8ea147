"""The one mask rule: who may attend to whom."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ojito.records import SHARED


@dataclass(frozen=True)
class Places:
    """What a mask depends on, for each place of each row.

    Attributes:
        positions: (B, T) int64, in reading order.
        segments: (B, T) int64: `SHARED`, 1, 2, ..., `PADDING`.
        prefix: (B, T) bool: image and prompt.
    """

    positions: Tensor
    segments: Tensor
    prefix: Tensor


def may_attend(queries: Places, keys: Places, mask: str, window: int = 0) -> Tensor:
    """Whether each query may attend to each key.

    A query reads the shared segment and its own. Within these it reads what came before it and itself, no further back
    than the window; in a prefix-LM the prefix reads all of the prefix besides, window or not.

    Causal, visual prefix and question, prefix-LM, packed blind turns and padding are all this one rule: padding is a
    segment that only padding reads. Every place reads itself, so that no row is all False.

    Args:
        queries: B rows of T places.
        keys: B rows of S places.
        mask: "causal" or "prefix".
        window: Latest tokens that are visible, the query itself included; 0 means all.

    Returns:
        (B, 1, T, S) bool, True where the query may attend to the key.
    """
    query_segment, key_segment = queries.segments[:, :, None], keys.segments[:, None, :]
    distance = queries.positions[:, :, None] - keys.positions[:, None, :]  # (B, T, S)
    visible = distance >= 0
    if window:
        visible = visible & (distance < window)
    if mask == "prefix":
        visible = visible | (queries.prefix[:, :, None] & keys.prefix[:, None, :])
    same = (key_segment == SHARED) | (key_segment == query_segment)
    return (visible & same)[:, None]


def to_add(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """The mask as numbers to add to attention scores: log(True) = 0 where it may attend, log(False) = -inf elsewhere."""
    return mask.to(dtype).log()
