"""Written rows to the tensors of a `Batch`: padded to one length, or packed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ojito.processor.prompts import Row
from ojito.records import IGNORE, PADDING


def collate(rows: Sequence[Row], pad: int, left: bool = False) -> dict[str, torch.Tensor]:
    """The columns of a `Batch` of which each row is one sample, as long as the longest.

    Args:
        rows: The samples, at least one.
        pad: Token of padding.
        left: Whether the padding stands on the left.
    """
    length = max(len(row.tokens) for row in rows)
    columns = _padding(len(rows), length, pad)
    for number, row in enumerate(rows):
        _put(columns, number, length - len(row.tokens) if left else 0, row)
    return {name: torch.from_numpy(column) for name, column in columns.items()}


def collate_packed(packs: Sequence[Sequence[Row]], length: int, pad: int) -> dict[str, torch.Tensor]:
    """The columns of a `Batch` of which each row holds samples one after another, with their `documents`.

    Args:
        packs: The samples of each row, of at most `length` tokens together. A row without any is padding.
        length: Tokens of a row.
        pad: Token of padding.
    """
    columns = _padding(len(packs), length, pad)
    columns["documents"] = np.full((len(packs), length), PADDING, np.int64)
    for number, rows in enumerate(packs):
        start = 0
        for document, row in enumerate(rows):
            end = start + len(row.tokens)
            _put(columns, number, start, row)
            columns["documents"][number, start:end] = document
            start = end
    return {name: torch.from_numpy(column) for name, column in columns.items()}


def _padding(rows: int, length: int, pad: int) -> dict[str, np.ndarray]:
    shape = (rows, length)  # (B, T)
    return {
        "tokens": np.full(shape, pad, np.int64),
        "positions": np.zeros(shape, np.int64),
        "segments": np.full(shape, PADDING, np.int64),
        "prefix": np.zeros(shape, np.bool_),
        "targets": np.full(shape, IGNORE, np.int64),
    }


def _put(columns: dict[str, np.ndarray], number: int, start: int, row: Row) -> None:
    """Write a sample into row `number`, from column `start` on."""
    place = (number, slice(start, start + len(row.tokens)))
    columns["tokens"][place] = row.tokens
    columns["positions"][place] = row.positions
    columns["segments"][place] = row.segments
    columns["prefix"][place] = row.prefix
    columns["targets"][place] = row.targets
