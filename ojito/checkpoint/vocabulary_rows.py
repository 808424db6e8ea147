"""More rows for a vocabulary that is full."""

from __future__ import annotations

import torch
from torch import Tensor

EMBEDDING, HEAD = "decoder.embedding.weight", "decoder.untied_head.weight"
VOCABULARY = (EMBEDDING, HEAD)
"""The tensors that have a row for each id."""


def with_rows(table: Tensor, rows: int) -> Tensor:
    """Return an embedding table, or a head, with so many rows: new ones are the mean of the others."""
    if rows == len(table):
        return table
    mean = table.float().mean(dim=0, keepdim=True).to(table.dtype)
    return torch.cat((table, mean.expand(rows - len(table), -1)))
