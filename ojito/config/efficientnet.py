"""The settings of an EfficientNet as vision tower."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ojito.config.rules import not_negative, positive
from ojito.errors import ConfigError

_STRIDE = 32
_STAGES = 7


@dataclass(frozen=True)
class EfficientNetConfig:
    """An EfficientNet-Lite (Tan and Le 2019): seven stages of MBConv blocks, the last feature map read as patches.

    Attributes:
        kind: Chooses this tower.
        image_size: Side of the square image, pixels.
        stem_width: Channels after the first convolution.
        widths: Channels of each stage.
        blocks: MBConv blocks of each stage.
        head_width: Channels of the 1x1 convolution after the last stage (1280 in the published models); 0 leaves it
            out, and the patches are the last stage's.
        norm_eps: Added to the variance in every batch norm.
    """

    kind: Literal["efficientnet"] = "efficientnet"
    image_size: int = 224
    stem_width: int = 32
    widths: tuple[int, ...] = (16, 24, 40, 80, 112, 192, 320)
    blocks: tuple[int, ...] = (1, 2, 2, 3, 3, 4, 1)
    head_width: int = 0
    norm_eps: float = 1e-3

    def __post_init__(self) -> None:
        positive(self, "image_size", "stem_width", "widths", "blocks", "norm_eps")
        not_negative(self, head_width="no convolution after the last stage")
        for name in ("widths", "blocks"):
            found = list(getattr(self, name))
            if len(found) != _STAGES:
                raise ConfigError(name, f"{found} is not one number for each of {_STAGES} stages", f"give {_STAGES}")

    @property
    def width(self) -> int:
        """Width of a patch."""
        return self.head_width or self.widths[-1]

    @property
    def grid(self) -> int:
        """Patches along one side; where 32 does not divide the image, one more."""
        return -(-self.image_size // _STRIDE)
