"""PaliGemma's mask decoder: sixteen codes of the language model to a small image of what is inside.

    codes 16 -> 4 x 4 x 512 -> 1x1 -> 128, ReLU -> two residual blocks
      -> 8 x 8 x 128 -> 16 x 16 x 64 -> 32 x 32 x 32 -> 64 x 64 x 16 -> 1x1 -> 64 x 64

Source: Ning et al. 2023, arXiv 2301.02229; sizes and order of big_vision,
`evaluators/proj/paligemma/transfers/segmentation.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:  # shapes are checked by the tests only
    from jaxtyping import Float, Int

CODES, CODE_DIM, GRID = 128, 512, 4
WIDTH, BLOCKS, DOUBLINGS = 128, 2, 4


class MaskDecoder(nn.Module):
    """Codes (N, 16), each from 0 to 127, to masks (N, 64, 64): near 1 inside the thing, near -1 outside, 0 between.

    The codes go row by row over a grid of 4 x 4. As in the reference nothing holds the values in [-1, 1]: they leave
    it a little.
    """

    def __init__(self) -> None:
        super().__init__()
        self.codebook = nn.Embedding(CODES, CODE_DIM)
        self.narrow = nn.Conv2d(CODE_DIM, WIDTH, 1)
        self.blocks = nn.ModuleList(ResidualBlock(WIDTH) for _ in range(BLOCKS))
        widths = [WIDTH] + [WIDTH // 2**i for i in range(DOUBLINGS)]
        self.doublings = nn.ModuleList(
            nn.ConvTranspose2d(widths[i], widths[i + 1], 4, stride=2, padding=1) for i in range(DOUBLINGS)
        )
        self.draw = nn.Conv2d(widths[-1], 1, 1)

    def forward(self, codes: Int[Tensor, "N 16"]) -> Float[Tensor, "N 64 64"]:
        """Decode the masks."""
        features = self.codebook(codes).transpose(1, 2).unflatten(2, (GRID, GRID))  # (N, 512, 4, 4)
        features = F.relu(self.narrow(features))
        for block in self.blocks:
            features = block(features)
        for double in self.doublings:
            features = F.relu(double(features))
        return self.draw(features).squeeze(1)


class ResidualBlock(nn.Module):
    """3x3, ReLU, 3x3, ReLU, 1x1, added to the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.third = nn.Conv2d(width, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(N, width, h, w) to the same."""
        return features + self.third(F.relu(self.second(F.relu(self.first(features)))))
