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
class AttentionMetadata:
    """The numbers of each token that decide which others it may attend to.

    Attributes:
        positions: In reading order.
        segments: `SHARED`, 1, 2, ..., `PADDING`.
        blocks: Tokens with the same number attend to each other in both directions; -1 is none.
        documents: Of packed rows: 0, 1, 2, ..., `PADDING`. None means that a row is one document.
    """

    positions: Int[Tensor, "B T"]
    segments: Int[Tensor, "B T"]
    blocks: Int[Tensor, "B T"]
    documents: Int[Tensor, "B T"] | None = None


def bidirectional_blocks(mask: str, prefix: Bool[Tensor, "B T"], is_image: Bool[Tensor, "B T"]) -> Int[Tensor, "B T"]:
    """Return the blocks of `AttentionMetadata`.

    Args:
        mask: "causal" has none; with "prefix", the prefix is one; with "image", every run of image tokens is one.
        prefix: Whether a token is of an image or the prompt.
        is_image: Whether it is of an image.
    """
    if mask == "causal":
        return torch.full_like(prefix, -1, dtype=torch.int64)
    if mask == "prefix":
        return prefix.long() - 1
    begins = is_image.long().diff(dim=1, prepend=is_image.new_zeros(len(is_image), 1).long()) == 1
    return (begins.cumsum(1) - 1).masked_fill(~is_image, -1)


def may_attend(
    queries: AttentionMetadata, keys: AttentionMetadata, window: int = 0, cut_blocks: bool = False
) -> Bool[Tensor, "B 1 T S"]:
    """Return whether each query may attend to each key.

    Of its document, a query attends to the shared segment and its own: in these to itself and to earlier tokens, no
    further back than the window, and besides to all of its block. Causal, prefix-LM, images in both directions, blind
    turns side by side, packed samples and padding are all this one rule; padding is a segment that only padding attends
    to. Every token attends to itself, so no row is all False.

    An image of two tokens, a question, an answer, and one token of padding; x marks what a query (a line) attends to:

                    mask="causal"      mask="prefix"      mask="image"
                    i i q q a -        i i q q a -        i i q q a -
        image   i   x                  x x x x            x x
        image   i   x x                x x x x            x x
        question q  x x x              x x x x            x x x
        question q  x x x x            x x x x            x x x x
        answer  a   x x x x x          x x x x x          x x x x x
        padding -   x x x x x x        x x x x x x        x x x x x x

    Two documents in one row, the second with two blind turns after what they share:

                      mask="causal"          mask="prefix"
        document      0 0 0 1 1 1 1 1 -      0 0 0 1 1 1 1 1 -
        segment       0 0 0 0 0 1 1 2 -      0 0 0 0 0 1 1 2 -
                      i q a i q q a a -      i q a i q q a a -
        image    i    x                      x x
        question q    x x                    x x
        answer   a    x x x                  x x x
        image    i          x                      x x
        question q          x x                    x x
        question q          x x x                  x x x
        answer   a          x x x x                x x x x
        answer   a          x x     x              x x     x
        padding  -                    x                      x

    Args:
        queries: B rows of T tokens.
        keys: B rows of S tokens.
        window: Latest tokens that are visible, the query itself included; 0 means all.
        cut_blocks: Whether the window holds within the block, too.

    Returns:
        True where the query may attend to the key.
    """
    query_segment, key_segment = queries.segments[:, :, None], keys.segments[:, None, :]
    position, key_position = queries.positions[:, :, None], keys.positions[:, None, :]
    block = queries.blocks[:, :, None]
    # Comparisons of (B, T, 1) with (B, 1, S): a matrix of distances would take eight times the memory of the mask.
    same_block = (block == keys.blocks[:, None, :]) & (block >= 0)
    visible = position >= key_position
    if window and cut_blocks:
        visible = (visible | same_block) & (position - window < key_position)
    elif window:
        visible = (visible & (position - window < key_position)) | same_block
    else:
        visible = visible | same_block
    allowed = visible & ((key_segment == SHARED) | (key_segment == query_segment))
    if queries.documents is not None and keys.documents is not None:
        allowed = allowed & (queries.documents[:, :, None] == keys.documents[:, None, :])
    return allowed[:, None]


def mask_to_bias(mask: Bool[Tensor, "*shape"], dtype: torch.dtype) -> Float[Tensor, "*shape"]:
    """Return the mask as numbers to add to scores: 0 where a query may attend, -inf elsewhere."""
    return torch.where(mask, 0.0, float("-inf")).to(dtype)
