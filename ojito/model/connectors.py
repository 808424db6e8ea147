"""From the vision tower's patches to the decoder's visual tokens: reduce their number, normalize, project."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from ojito.config import AveragePoolConfig, ModelConfig, PerceiverConfig, PixelShuffleConfig
from ojito.model.attention import Attention
from ojito.model.mlp import PlainMLP
from ojito.model.norms import make_norm

if TYPE_CHECKING:  # shapes are checked by the tests only
    from jaxtyping import Float


class Connector(nn.Module):
    """Patches (N, P, vision width) to visual tokens (N, P', decoder width)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        c, width = config.connector, config.vision.width
        self.reduce: nn.Module = nn.Identity()
        if isinstance(c, PixelShuffleConfig):
            self.reduce, width = PixelShuffle(config.vision.grid, c.factor), width * c.factor**2
        elif isinstance(c, AveragePoolConfig):
            self.reduce = AveragePool(config.vision.grid, c.factor)
        elif isinstance(c, PerceiverConfig):
            self.reduce = Perceiver(width, c.queries, c.layers, c.heads)
        self.norm = nn.Identity() if c.norm == "none" else make_norm(c.norm, width, c.norm_eps)
        self.project = make_projection(width, config.decoder.width, c.project, c.mlp_dim, c.bias)

    def forward(self, patches: Float[Tensor, "N P vision"]) -> Float[Tensor, "N visual D"]:
        """Visual tokens."""
        return self.project(self.norm(self.reduce(patches)))


def make_projection(width_in: int, width: int, kind: str, mlp_dim: int, bias: bool) -> nn.Module:
    """Build one matrix ("linear"), or two with a GELU between them ("mlp", `mlp_dim` wide)."""
    if kind == "linear":
        return nn.Linear(width_in, width, bias=bias)
    return nn.Sequential(nn.Linear(width_in, mlp_dim, bias=bias), nn.GELU(), nn.Linear(mlp_dim, width, bias=bias))


class PixelShuffle(nn.Module):
    """Folds each block of factor x factor patches into one token: its channels, row by row, one after another.

    Source: the order of channels is that of Idefics3 (transformers) and nanoVLM.
    """

    def __init__(self, grid: int, factor: int) -> None:
        super().__init__()
        self.grid, self.factor = grid, factor

    def forward(self, patches: Float[Tensor, "N P D"]) -> Float[Tensor, "N visual folded"]:
        """(N, P, D) to (N, P / factor^2, D factor^2)."""
        side = self.grid // self.factor
        blocks = patches.view(len(patches), side, self.factor, side, self.factor, -1)  # row, dy, column, dx, channel
        return blocks.transpose(2, 3).reshape(len(patches), side * side, -1)


class AveragePool(nn.Module):
    """Averages each block of factor x factor patches."""

    def __init__(self, grid: int, factor: int) -> None:
        super().__init__()
        self.grid, self.factor = grid, factor

    def forward(self, patches: Float[Tensor, "N P D"]) -> Float[Tensor, "N visual D"]:
        """(N, P, D) to (N, P / factor^2, D)."""
        side = self.grid // self.factor
        blocks = patches.view(len(patches), side, self.factor, side, self.factor, -1)  # row, dy, column, dx, channel
        return blocks.mean(dim=(2, 4)).flatten(1, 2)


class Perceiver(nn.Module):
    """Learned queries read the patches through layers of cross-attention: any number of patches, `queries` tokens.

    Source: Jaegle et al. 2021, arXiv 2103.03206; as a resampler in Alayrac et al. 2022 (Flamingo), arXiv 2204.14198.
    """

    def __init__(self, width: int, queries: int, layers: int, heads: int) -> None:
        super().__init__()
        self.queries = nn.Embedding(queries, width)
        self.patch_norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(PerceiverBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, patches: Float[Tensor, "N P D"]) -> Float[Tensor, "N queries D"]:
        """Visual tokens: the queries after the last layer."""
        context = self.patch_norm(patches)
        hidden = self.queries.weight.expand(len(patches), -1, -1)
        for block in self.blocks:
            hidden = block(hidden, context)
        return self.norm(hidden)


class PerceiverBlock(nn.Module):
    """Queries attend to the patches, then pass an MLP."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = PlainMLP(width, 4 * width, "gelu", bias=True)

    def forward(
        self, hidden: Float[Tensor, "N queries D"], context: Float[Tensor, "N P D"]
    ) -> Float[Tensor, "N queries D"]:
        """One layer."""
        hidden = hidden + self.attention(self.attention_norm(hidden), context=context)
        return hidden + self.mlp(self.mlp_norm(hidden))
