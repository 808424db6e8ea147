"""The one mask rule: who may attend to whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ojito.records import SHARED

if TYPE_CHECKING:  # shapes are checked by the tests only
    from jaxtyping import Bool, Float, Int


@dataclass(frozen=True)
class Places:
    """What a mask depends on, for each place of each row.

    Attributes:
        positions: In reading order.
        segments: `SHARED`, 1, 2, ..., `PADDING`.
        prefix: Whether it is image or prompt.
    """

    positions: Int[Tensor, "B T"]
    segments: Int[Tensor, "B T"]
    prefix: Bool[Tensor, "B T"]


def may_attend(queries: Places, keys: Places, mask: str, window: int = 0) -> Bool[Tensor, "B 1 T S"]:
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
        True where the query may attend to the key.
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


def to_add(mask: Bool[Tensor, "*shape"], dtype: torch.dtype) -> Float[Tensor, "*shape"]:
    """The mask as numbers to add to scores: 0 where a query may attend, -inf elsewhere."""
    return torch.where(mask, 0.0, float("-inf")).to(dtype)
