"""Lesson 10: masks. Read lesson.md first; `ojito learn check` says whether it is right, and what is wrong."""

import torch
from torch import Tensor

PREDICTION = ""  # a, b or c: your answer to the question at the end of lesson.md


def causal(length: int) -> Tensor:
    """The mask of a language model: a position sees itself and what came before.

    Args:
        length: Number of positions T.

    Returns:
        (T, T), True where the query of a line may attend to the key of a column.
    """
    positions = torch.arange(length)
    return ...  # (T, T)


def prefix(length: int, prefix_lengths: Tensor) -> Tensor:
    """The mask of PaliGemma: the prefix is read in both directions, what follows is causal.

    Args:
        length: Number of positions T.
        prefix_lengths: (B,), how many positions of each row are its prefix: image and question.

    Returns:
        (B, T, T), True where a query may attend to a key.
    """
    in_prefix = ...  # (B, T): whether a position is of its row's prefix
    both = ...  # (B, T, T): whether query and key are of the prefix
    return ...  # (B, T, T)


def with_padding(mask: Tensor, valid: Tensor) -> Tensor:
    """A mask that hides padding: it is seen by nobody but itself.

    Args:
        mask: (B, T, T), as if there were no padding; in it, every position sees itself already.
        valid: (B, T), False where there is padding, at either end.

    Returns:
        (B, T, T): the mask with the keys of padding hidden from all but themselves, so that no line is all False.
    """
    hidden = ...  # (B, T, T): without the keys of padding
    itself = ...  # (T, T): whether query and key are the same position
    return ...  # (B, T, T)


def packed(mask: Tensor, documents: Tensor) -> Tensor:
    """A mask for several documents in one row: none of them sees another.

    Args:
        mask: (B, T, T), as if each row were one document.
        documents: (B, T), the number of the document that a position belongs to; a document may be in several pieces.

    Returns:
        (B, T, T), True where a query may attend to a key.
    """
    same = ...  # (B, T, T): whether query and key are of one document
    return ...
