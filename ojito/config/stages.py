"""Settings of the stages of a run."""

from __future__ import annotations

import typing
from dataclasses import dataclass
from typing import Any, Literal

from ojito.config.rules import fraction, not_negative, positive
from ojito.settings import ConfigError


@dataclass(frozen=True)
class StageConfig:
    """Settings of one stage of a run: what learns in it, for how long and at which rates.

    The schedule begins anew in every stage, and so do the optimizers. What a stage does not say is as in `train`.

    Attributes:
        name: For the log.
        steps: Optimizer steps.
        freeze: Parts that do not learn in it, in place of train.freeze.
        lr: Peak learning rate; 0 means train.lr.
        vision_lr, connector_lr, decoder_lr: Peak learning rate of this part; 0 means `lr`, or, where that is 0, too,
            what `train` says of the part.
        warmup: Share of the stage over which the rate rises from 0; below 0 means train.warmup.
    """

    steps: int
    name: str = ""
    freeze: tuple[Literal["vision", "connector", "decoder"], ...] = ()
    lr: float = 0.0
    vision_lr: float = 0.0
    connector_lr: float = 0.0
    decoder_lr: float = 0.0
    warmup: float = -1.0

    def __post_init__(self) -> None:
        positive(self, "steps")
        not_negative(self, lr="train.lr", vision_lr="lr", connector_lr="lr", decoder_lr="lr")
        if self.warmup >= 0:
            fraction(self, "warmup")
        if len(set(self.freeze)) == len(_PARTS):
            raise ConfigError("freeze", f"{list(self.freeze)} leaves nothing to train", "leave one part out")

    def settings(self) -> dict[str, Any]:
        """Return what the stage says over `train`."""
        rates = {f"{part}_lr": getattr(self, f"{part}_lr") for part in _PARTS}
        said: dict[str, Any] = {"steps": self.steps, "freeze": self.freeze}
        if self.lr:
            said |= {"lr": self.lr, **rates}
        else:
            said |= {name: rate for name, rate in rates.items() if rate}
        return said | ({"warmup": self.warmup} if self.warmup >= 0 else {})


_PARTS = ("vision", "connector", "decoder")


def steps_of(stages: typing.Sequence[StageConfig], steps: int, usual: int, others: dict[str, float]) -> int:
    """Return how many steps a run has: those of its stages, where there are any.

    Args:
        stages: Of the run.
        steps: Of the run.
        usual: Of a run that says nothing.
        others: Its other lengths, by name.

    Raises:
        ConfigError: It says another length than its stages.
    """
    if not stages:
        return steps
    total = sum(stage.steps for stage in stages)
    if steps not in (usual, 0, total):
        raise ConfigError("steps", f"{steps}, and the stages have {total} together", "leave it out, or change theirs")
    for name, value in others.items():
        if value > 0:
            raise ConfigError(name, f"{value} beside train.stages, which have steps", f"leave {name} out")
    return total
