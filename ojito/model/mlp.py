"""The two feed-forward networks of a transformer block."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ojito.model.backward import in_autocast

if TYPE_CHECKING:  # shapes are checked by the tests only
    from jaxtyping import Float


def relu2(hidden: Tensor) -> Tensor:
    """ReLU, squared. Source: So et al. 2021 (Primer), arXiv 2109.08668."""
    return F.relu(hidden).square()


def quick_gelu(hidden: Tensor) -> Tensor:
    """CLIP's approximation of GELU: x * sigmoid(1.702 x)."""
    return hidden * torch.sigmoid(1.702 * hidden)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "quick_gelu": quick_gelu,
    "silu": F.silu,
    "relu2": relu2,
}


class PlainMLP(nn.Module):
    """down(activation(up(hidden)))."""

    def __init__(self, width: int, mlp_dim: int, activation: str, bias: bool) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.up = nn.Linear(width, mlp_dim, bias=bias)
        self.down = nn.Linear(mlp_dim, width, bias=bias)

    def forward(self, hidden: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        """Each position on its own."""
        return self.down(self.activation(self.up(hidden)))


class GatedMLP(nn.Module):
    """down(activation(gate(hidden)) * up(hidden)): SwiGLU with SiLU, GeGLU with GELU.

    Source: Shazeer 2020, arXiv 2002.05202.
    """

    def __init__(self, width: int, mlp_dim: int, activation: str, bias: bool) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.gate = nn.Linear(width, mlp_dim, bias=bias)
        self.up = nn.Linear(width, mlp_dim, bias=bias)
        self.down = nn.Linear(mlp_dim, width, bias=bias)

    def forward(self, hidden: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        """Each position on its own."""
        hidden = in_autocast(hidden)
        return self.down(self.activation(self.gate(hidden)) * self.up(hidden))


MLPS = {"plain": PlainMLP, "gated": GatedMLP}
