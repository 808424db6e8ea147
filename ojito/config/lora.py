"""Settings of LoRA: small matrices that learn beside weights that do not."""

from __future__ import annotations

import fnmatch
import typing
from dataclasses import dataclass

from ojito.config.model import Part
from ojito.config.rules import fraction, not_negative
from ojito.settings import ConfigError

_GROUPS = {"attention": "*.attention.*", "mlp": "*.mlp.*", "all-linear": "*"}
_HEAD = "untied_head"


@dataclass(frozen=True)
class LoraConfig:
    """Settings of LoRA.

    Attributes:
        rank: Rank of the adapters, r in the paper; 0 means that there are none. Parts that `parts` names keep their
            weights and learn adapters, those in train.freeze learn nothing, and all others learn in full.
        alpha: An adapter's product is scaled by alpha / rank; 0 means `rank`, a factor of 1.
        rslora: Whether it is scaled by alpha / sqrt(rank), which suits high ranks (arXiv 2312.03732).
        dropout: Share of an adapter's input that training drops.
        targets: Linear layers that get an adapter: all-linear (all but the head), attention, mlp, or the end of a
            layer's name, such as attention.q, where * stands for anything.
        parts: Parts whose layers get adapters. Those that train.freeze names get none.
    """

    rank: int = 0
    alpha: float = 0.0
    rslora: bool = False
    dropout: float = 0.0
    targets: tuple[str, ...] = ("all-linear",)
    parts: tuple[Part, ...] = ("vision", "connector", "decoder")

    def __post_init__(self) -> None:
        not_negative(self, rank="no adapters", alpha="the rank")
        fraction(self, "dropout")
        for name, known in (("targets", [*_GROUPS]), ("parts", typing.get_args(Part))):
            if not getattr(self, name):
                raise ConfigError(name, "is empty", f"name some of {', '.join(known)}")

    def scale(self, rank: int | None = None) -> float:
        """Return the factor on an adapter's product.

        Args:
            rank: Of the adapter, where it is not `rank`.
        """
        rank = rank or self.rank
        return (self.alpha or rank) / (rank**0.5 if self.rslora else rank)

    def difference(self, other: LoraConfig) -> tuple[str, str] | None:
        """Return in what other adapters are of another form, and these and those in it; None if they are of one.

        Args:
            other: The settings of the others.
        """
        if self.rank != other.rank:
            return f"rank {self.rank}", f"rank {other.rank}"
        if self.scale() != other.scale():
            return f"scale {self.scale():g}", f"scale {other.scale():g} (train.lora.alpha, train.lora.rslora)"
        return None


def is_target(target: str, name: str) -> bool:
    """Tell whether an entry of `targets` means a layer.

    Args:
        target: The entry.
        name: The layer's name in the model, "decoder.blocks.0.attention.q".
    """
    if target in _GROUPS:
        return not name.endswith(_HEAD) and fnmatch.fnmatchcase(name, _GROUPS[target])
    return fnmatch.fnmatchcase(name, target) or fnmatch.fnmatchcase(name, f"*.{target}")
