"""The settings of a connector: one class for each way to reduce the number of visual tokens, told apart by `reduce`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from ojito.config.rules import not_negative, positive
from ojito.errors import ConfigError

Grid = tuple[int, int]
"""Rows and columns of an image's patches."""

_FEW = 1000  # candidates that a message looks among for others that fit


@dataclass(frozen=True)
class ConnectorConfig:
    """From patches (N, P, vision width) to visual tokens (N, P', decoder width): reduce, normalize, project.

    This one reduces nothing: a patch is a token. Those that do are its subclasses.

    Attributes:
        reduce: Which of the classes it is, in a file.
        norm: Before the projection; "rms_plus_one" is Gemma 3's.
        norm_eps: Added to the variance in that norm, so that nothing divides by zero.
        project: One matrix, or two with a GELU between them.
        mlp_dim: Width between the two. Left out or 0 in a file, the decoder's.
        bias: Whether the projections have a bias.
    """

    TAG: ClassVar[str] = "reduce"
    UNUSED: ClassVar[tuple[str, ...]] = ("factor", "queries", "layers", "heads")
    """Settings of the other classes. Files of earlier versions hold all of them, and a change of `reduce` leaves
    those of the class before."""

    reduce: Literal["none", "pixel_shuffle", "average_pool", "perceiver"] = "none"
    norm: Literal["none", "layer", "rms", "rms_plus_one"] = "none"
    norm_eps: float = 1e-6
    project: Literal["linear", "mlp"] = "linear"
    mlp_dim: int = 0
    bias: bool = True

    def __post_init__(self) -> None:
        if self.reduce != type(self).reduce:
            problem = f"{self.reduce} is another class than {type(self).__name__}"
            raise ConfigError("reduce", problem, "use PixelShuffleConfig, AveragePoolConfig or PerceiverConfig")
        positive(self, "norm_eps")
        not_negative(self, mlp_dim="the decoder's width")

    def tokens(self, grid: Grid) -> int:
        """Return the number of visual tokens of an image with this grid of patches."""
        rows, columns = grid
        return rows * columns

    def check_fit(self, grid: Grid, width: int) -> None:
        """Check that the patches can be reduced so.

        Args:
            grid: Rows and columns of patches.
            width: Of the vision tower.

        Raises:
            ConfigError: They cannot.
        """


@dataclass(frozen=True)
class _BlocksConfig(ConnectorConfig):
    """One token for each block of `factor` x `factor` patches."""

    UNUSED: ClassVar[tuple[str, ...]] = ("queries", "layers", "heads")

    factor: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "factor")
        if self.factor < 2:
            problem = f"{self.factor} reduces nothing with reduce={self.reduce}"
            raise ConfigError("factor", problem, "use 2 or more")

    def tokens(self, grid: Grid) -> int:
        """Return the number of blocks."""
        rows, columns = grid
        return (rows // self.factor) * (columns // self.factor)

    def check_fit(self, grid: Grid, width: int) -> None:
        """Check that whole blocks cover the grid.

        Raises:
            ConfigError: They do not.
        """
        rows, columns = grid
        if rows % self.factor or columns % self.factor:
            fits = [f for f in range(2, min(rows, columns, _FEW) + 1) if rows % f == columns % f == 0]
            problem = f"{self.factor} does not divide the vision tower's grid of {rows}x{columns} patches"
            remedy = f"use one of {fits}" if fits else "use connector.reduce=none"
            raise ConfigError("factor", problem, remedy)


@dataclass(frozen=True)
class PixelShuffleConfig(_BlocksConfig):
    """Fold each block of patches into one token: its channels one after another.

    Attributes:
        factor: Side of the square of patches that becomes one visual token.
    """

    reduce: Literal["pixel_shuffle"] = "pixel_shuffle"


@dataclass(frozen=True)
class AveragePoolConfig(_BlocksConfig):
    """Average each block of patches.

    Attributes:
        factor: Side of the square of patches that becomes one visual token.
    """

    reduce: Literal["average_pool"] = "average_pool"


@dataclass(frozen=True)
class PerceiverConfig(ConnectorConfig):
    """Read the patches with learned queries, each a token, whatever the number of patches.

    Attributes:
        queries: Learned queries, and so visual tokens of an image.
        layers: Cross-attention layers.
        heads: Attention heads; they divide the width of the vision tower.
    """

    UNUSED: ClassVar[tuple[str, ...]] = ("factor",)

    reduce: Literal["perceiver"] = "perceiver"
    queries: int = 64
    layers: int = 2
    heads: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "queries", "layers", "heads")

    def tokens(self, grid: Grid) -> int:
        """Return the number of queries."""
        return self.queries

    def check_fit(self, grid: Grid, width: int) -> None:
        """Check that the heads share the vision tower's width.

        Raises:
            ConfigError: They do not.
        """
        if width % self.heads:
            fits = [h for h in range(1, min(self.heads, _FEW)) if width % h == 0]
            problem = f"{self.heads} does not divide vision.width {width}"
            raise ConfigError("heads", problem, f"use one of {fits}, or more")
