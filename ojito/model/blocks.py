"""How the vision transformer and the decoder call their blocks: training may put another way in place of this one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

CallBlock = Callable[..., Tensor]
"""Takes a block and its arguments, and returns what the block does."""


def call_block(block: nn.Module, *args: Any) -> Tensor:
    """Call the block."""
    output: Tensor = block(*args)
    return output
